"""Images that are read from elsewhere: http, https, and whatever fsspec has a file system for.

`file.RemoteFile` is what takes a host file's place; it is imported only where a URL was given.
"""

from imgkit.remote.url import Address, Url, parse_address

__all__ = ["Address", "Url", "parse_address"]
