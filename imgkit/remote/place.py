"""Places elsewhere that a new image can go to: objects of an S3 store, files of what fsspec can write to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from imgkit.errors import OutputError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgkit.remote.begun import UploadNote
    from imgkit.remote.url import Url
    from imgkit.storage.copy import Progress
    from imgkit.storage.result import Result


class Place(Protocol):
    """The place that one URL names. All methods raise OutputError for what the store refuses."""

    def identity(self) -> str | None:
        """What tells what is there now from what is there later; None if nothing is there, or could be."""
        ...

    def check(self) -> None:
        """Raise OutputError if it is known already that nothing can be written there."""
        ...

    def put(
        self, result: Result, *, ready: Callable[[], None], force: bool, progress: Progress, begun: UploadNote
    ) -> None:
        """Write a new image there. It appears when it is whole, or not at all.

        `ready` is called before it appears, and may raise. Without `force` nothing is replaced. `begun` notes what
        would be left if we were killed.
        """
        ...

    def clear_away(self, begun: UploadNote) -> None:
        """Remove what a kill left of a `put`. What is complete stays."""
        ...

    def remove(self) -> None:
        """Remove what is there."""
        ...

    def matching(self) -> list[Url]:
        """What is there of the names that this one, as a pattern, matches; sorted. `*` ends at a `/`, `**` does not."""
        ...


def open_place(url: Url) -> Place:
    """The place of a URL. Raises OutputError for what cannot be written to, UnsupportedError without its library."""
    if url.scheme in ("http", "https"):
        raise OutputError(
            f"{url}: writing is not supported over {url.scheme}",
            hint="Write a file, or to an object store: -o s3://BUCKET/KEY.",
        )
    try:
        if url.scheme == "s3":
            from imgkit.remote.s3place import S3Place  # noqa: PLC0415 - an extra, and 0.3 s to import

            return S3Place(url)
        from imgkit.remote.filesystemplace import FilesystemPlace  # noqa: PLC0415 - as above
    except ImportError as error:
        raise missing_library(url, error) from error
    return FilesystemPlace(url)


def missing_library(url: Url, error: ImportError) -> UnsupportedError:
    """The error for an extra that is not installed."""
    extra = "s3" if url.scheme == "s3" else "remote"
    return UnsupportedError(
        f"{url}: images by such a URL need the Python library {'boto3' if extra == 's3' else error.name}",
        hint=f"Install it: pip install 'imgkit-vm[{extra}]'; or download the image.",
    )


def exists(url: Url) -> OutputError:
    """The error for a name that is taken."""
    return OutputError(f"{url}: exists", hint="Name another output, or use --force to replace it.")
