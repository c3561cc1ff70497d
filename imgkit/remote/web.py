"""The one HTTP client: a session of requests with our manners, and its failures in our words.

requests does the talking: connections that are kept, proxies, redirects, ~/.netrc. Here is what all who ask share:
which certificates are trusted, that no redirect leads from HTTPS to HTTP, that bytes come as the file has them, and
which failure may pass by itself.

The protocol: https://www.rfc-editor.org/rfc/rfc9110
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter

from imgkit import __version__
from imgkit.errors import UsageError
from imgkit.remote.url import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgkit.remote.object import RetryPolicy

_CA_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_MOST_REDIRECTS = 10
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_REMEDIES = {
    401: "Give user and password as https://USER:PASSWORD@HOST/..., or in ~/.netrc.",
    403: "The server denies access: check the URL and its permissions.",
    404: "Check the URL; a browser shows what is in the directory.",
    407: "The proxy requires a password: give it in https_proxy, as http://USER:PASSWORD@HOST:PORT.",
    410: "The file was removed: look for a newer one.",
}
_CERTIFICATES = "Check the name in the URL. A private authority's certificate is named by SSL_CERT_FILE."


@dataclass
class WebError(Exception):
    """What went wrong with a request, as the end of a sentence, with the remedy, "" for none.

    `passing` says that the same request may succeed later; `status` is the server's, 0 where it gave none.
    """

    why: str
    remedy: str = ""
    passing: bool = False
    status: int = 0

    def __str__(self) -> str:
        return self.why


class WebSession(requests.Session):
    """A session that looks at every hop of a redirect, not at the last address alone."""

    def __init__(self) -> None:
        super().__init__()
        self.max_redirects = _MOST_REDIRECTS
        self.headers["User-Agent"] = f"imgkit/{__version__}"
        self.headers["Accept-Encoding"] = "identity"  # ranges and sums are of the file itself
        self.mount("https://", _TrustingAdapter())

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """The environment's proxies; its certificates are the adapter's affair, for more variables than requests'."""
        return super().merge_environment_settings(url, proxies, stream, verify, cert) | {"verify": True}

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where the server sends us. Raises WebError for a hop from HTTPS to HTTP, or to neither."""
        target = super().get_redirect_target(resp)
        if target is None:
            return None
        # Completed as requests does it: a target may leave the scheme out.
        complete = urljoin(resp.url, target)
        allowed = ("https",) if resp.url.lower().startswith("https:") else ("https", "http")
        if urlsplit(complete).scheme.lower() not in allowed:
            resp.close()
            raise WebError(
                f"the server redirects to {shown(complete)}, which is less secure",
                "Use that address directly if you trust it.",
            )
        return target


def ask(
    session: WebSession,
    address: str,
    policy: RetryPolicy,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    user: tuple[str, str] | None = None,
) -> requests.Response:
    """A server's answer, whatever its status, its body not read yet. Raises WebError where none comes.

    `user` are name and password, which no other host gets to see.
    """
    try:
        return session.request(
            method,
            address,
            headers=headers,
            stream=True,
            auth=user,
            allow_redirects=True,
            timeout=(policy.connect, policy.silence),
        )
    except requests.TooManyRedirects as error:
        raise WebError("the server redirects in a loop", "Check the URL.") from error
    except requests.exceptions.SSLError as error:
        raise WebError("the server's certificate is not trusted (certificate verify failed)", _CERTIFICATES) from error
    except requests.exceptions.ProxyError as error:
        raise WebError("the proxy cannot be reached", "Check http_proxy and https_proxy.", passing=True) from error
    except requests.Timeout as error:
        raise WebError("the server timed out", passing=True) from error
    except requests.ConnectionError as error:
        why = f"the server cannot be reached, or closed the connection{_cause(error)}"
        raise WebError(why, passing=True) from error
    except (requests.RequestException, ValueError) as error:  # its text may hold the whole URL
        raise WebError(f"cannot be fetched ({type(error).__name__})", "Check the URL.") from error


def refusal(response: requests.Response) -> WebError:
    """What a status other than success means."""
    status = response.status_code
    reason = " ".join((response.reason or "").split())[:100]
    return WebError(
        f"the server answers {status} {reason}".rstrip(),
        _REMEDIES.get(status, "Try again later." if status in _TRANSIENT else "Check the URL."),
        passing=status in _TRANSIENT,
        status=status,
    )


def check_encoding(response: requests.Response) -> None:
    """Raise WebError for a body that the server has compressed, though asked not to."""
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise WebError(
            "the server sent the file compressed, although uncompressed data was requested", "Try another mirror."
        )


def split_user(address: str) -> tuple[str, tuple[str, str] | None]:
    """An address without user and password, and these two; None where it has none."""
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return address, None
    name, _, password = user.partition(":")
    return urlunsplit(parts._replace(netloc=host)), (unquote(name), unquote(password))


class _TrustingAdapter(HTTPAdapter):
    """Trusts the certificates that the environment names, by any of the usual variables, else the system's."""

    def init_poolmanager(self, *words: Any, **settings: Any) -> None:
        """As requests makes its pools, with our trust in them."""
        super().init_poolmanager(*words, **settings, ssl_context=_trust())

    def proxy_manager_for(self, proxy: str, **settings: Any) -> Any:
        """The same for what goes through a proxy."""
        return super().proxy_manager_for(proxy, **settings, ssl_context=_trust())

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Keep requests' own list of authorities out."""
        super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]
        conn.ca_certs = conn.ca_cert_dir = None


def _trust() -> ssl.SSLContext:
    """Whom to trust. Raises UsageError where a variable names what contains no certificates."""
    named = {name: path for name in _CA_VARIABLES if (path := os.environ.get(name))}
    if not named:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name, path in named.items():
        try:
            if Path(path).is_dir():
                context.load_verify_locations(capath=path)
            else:
                context.load_verify_locations(cafile=path)
        except OSError as error:
            raise UsageError(f"{name}={path}: contains no certificates", hint=f"Correct or unset {name}.") from error
    return context


def _cause(error: BaseException) -> str:
    """The system's own words for a connection that failed, in parentheses; "" where there are none."""
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None:
            break
        if isinstance(seen, OSError) and seen.strerror:
            return f" ({seen.strerror})"
        reason = getattr(seen, "reason", None) or (seen.args[0] if seen.args else None)
        seen = reason if isinstance(reason, BaseException) else seen.__cause__ or seen.__context__
    return ""
