"""Objects of S3 and of the stores that speak its language, read with range requests.

boto3 does the talking: credentials, regions, endpoints (AWS_ENDPOINT_URL for other stores), retries. Every answer has
to come from the same object, by its ETag, whether the store looks at If-Match or not.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
"""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

import boto3.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
    SSOError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

from imgkit.errors import OutputError, StaleImageError, UnclassifiedImageError
from imgkit.remote.object import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.remote.url import Url

CONNECTIONS = 8
_PIECE = 256 << 10
_SILENCE = 120  # seconds; some stores say nothing while they copy a part
_CREDENTIALS = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE. What is public can be read by its https:// URL."
)
_ENDPOINT = "Check the network, and AWS_ENDPOINT_URL if the store is not Amazon's."
_CONDITION = frozenset({"PreconditionFailed", "412"})
_MEANING = {
    "NoSuchBucket": ("there is no such bucket", "Check its name, and AWS_ENDPOINT_URL if the store is not Amazon's."),
    "NoSuchKey": ("no such object", "List what exists: `aws s3 ls`."),
    "404": ("no such object", "List what exists: `aws s3 ls`."),
    "AccessDenied": ("the store does not allow it", "Ask for the permission, or use other credentials: AWS_PROFILE."),
    "403": (
        "the store does not allow it",
        "Get s3:GetObject and s3:ListBucket, or other credentials: AWS_PROFILE.",
    ),
    "InvalidAccessKeyId": ("the store does not know the access key", _CREDENTIALS),
    "SignatureDoesNotMatch": ("the secret key does not belong to the access key", _CREDENTIALS),
    "ExpiredToken": ("the session token has expired", "Log in again for a new one."),
    "PermanentRedirect": ("the bucket is in another region", "Set AWS_REGION to the bucket's region."),
    "301": ("the bucket is in another region", "Set AWS_REGION to the bucket's region."),
    "NotImplemented": ("the store does not support this operation", "Download the image, and upload the result."),
}


@cache
def client() -> Any:
    """The client of this process; it may be used by several threads."""
    config = Config(
        connect_timeout=15,
        read_timeout=_SILENCE,
        max_pool_connections=CONNECTIONS,
        # The newer checksums are refused by many stores that are not Amazon's; parts carry a Content-MD5 instead.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.session.Session().client("s3", config=config)


def locate(url: Url) -> dict[str, str]:
    """Bucket and key of s3://BUCKET/KEY; neither is quoted in any way."""
    bucket, _, key = url.secret.partition("://")[2].partition("/")
    if not bucket or not key or key.endswith("/"):
        raise UnclassifiedImageError(f"{url}: names no object", hint="Write it as s3://BUCKET/KEY.")
    return {"Bucket": bucket, "Key": key}


class S3Object:
    """An object by its URL; see RemoteObject. Raises UnclassifiedImageError if it cannot be had."""

    def __init__(self, url: Url, retry_policy: RetryPolicy | None = None) -> None:
        self._url = url
        self._policy = retry_policy or RetryPolicy()
        self.where = locate(url)
        with translated(url):
            found = head(self.where)
        if found is None:
            check_bucket(url, UnclassifiedImageError)
            refuse(url, UnclassifiedImageError, "NoSuchKey")
        self._size, self.etag = int(found.get("ContentLength", 0)), str(found["ETag"])

    @property
    def size(self) -> int | None:
        """Length in bytes."""
        return self._size

    @property
    def has_ranges(self) -> bool:
        """All stores can."""
        return True

    @property
    def version(self) -> str:
        """The ETag."""
        return self.etag

    def stream(self, start: int, stop: int | None) -> Iterator[bytes]:
        """The bytes [start, stop). An answer that breaks off is taken up again."""
        stop = self._size if stop is None else stop
        failures, heard = 0, time.monotonic()
        while start < stop:
            before = start
            try:
                for piece in self._pieces(start, stop):
                    start += len(piece)
                    yield piece
                why = "the answer ended early"
            except _BrokenError as error:
                why = str(error)
            if start > before:
                failures, heard = 0, time.monotonic()
            failures += start < stop
            if self._policy.is_over(failures, heard):
                raise UnclassifiedImageError(f"{self._url}: {why}, at byte {start:,}", hint="Try again later.")
            if failures:
                self._policy.wait(failures)

    def check_unchanged(self) -> None:
        """Ask which object is there now."""
        with translated(self._url):
            found = head(self.where)
        if found is None or str(found["ETag"]) != self.etag:
            raise self.stale()

    def close(self) -> None:
        """Nothing to let go: the client is the process's."""

    def stale(self) -> StaleImageError:
        """The error for an object that was replaced."""
        return StaleImageError(
            f"{self._url}: the object was replaced since it was opened",
            hint="Nothing was written. Run the command again.",
        )

    def _pieces(self, start: int, stop: int) -> Iterator[bytes]:
        try:
            with translated(self._url, conditional=True):
                answer = client().get_object(**self.where, Range=f"bytes={start}-{stop - 1}", IfMatch=self.etag)
        except ConditionError as error:
            raise self.stale() from error
        if str(answer.get("ETag")) != self.etag:
            raise self.stale()
        if not str(answer.get("ContentRange", "")).startswith(f"bytes {start}-{stop - 1}/"):
            raise UnclassifiedImageError(
                f"{self._url}: the store sent a different range than requested",
                hint="Download it, and use the file.",
            )
        with closing(answer["Body"]) as body:
            try:
                for piece in body.iter_chunks(_PIECE):
                    yield piece[: stop - start]
                    start += len(piece)
            except (BotoCoreError, OSError) as error:
                raise _BrokenError("the connection broke or timed out") from error


def head(where: dict[str, str]) -> dict[str, Any] | None:
    """What the store says of an object; None if there is none, or no such bucket. Raises what boto3 raises."""
    try:
        found: dict[str, Any] = client().head_object(**where)
    except ClientError as error:
        if code_of(error) in ("404", "NoSuchKey", "NotFound"):
            return None
        raise
    field_of(found, "ETag")
    return found


def field_of(answer: dict[str, Any], name: str) -> str:
    """A text that an answer has to have."""
    if not isinstance(answer.get(name), str):
        raise ResponseParserError(f"no {name}")
    return str(answer[name])


def check_bucket(url: Url, kind: type[UnclassifiedImageError | OutputError]) -> None:
    """Raise `kind` unless the bucket of an object is there, and may be looked at."""
    with translated(url, kind):
        try:
            client().head_bucket(Bucket=locate(url)["Bucket"])
        except ClientError as error:
            if code_of(error) != "404":
                raise
            refuse(url, kind, "NoSuchBucket", error)


def code_of(error: ClientError) -> str:
    """The store's word for what is wrong; its status, where it says no more."""
    answer = error.response
    return str(answer.get("Error", {}).get("Code") or answer.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))


class ConditionError(Exception):
    """An If-Match or If-None-Match did not hold."""


@contextmanager
def translated(
    url: Url, kind: type[UnclassifiedImageError | OutputError] = UnclassifiedImageError, *, conditional: bool = False
) -> Iterator[None]:
    """What boto3 raises, as an error of class `kind` that names the way out.

    Where the requests are `conditional`, ConditionError is raised if a condition does not hold.
    """
    try:
        yield
    except ClientError as error:
        if conditional and code_of(error) in _CONDITION:
            raise ConditionError from error
        refuse(url, kind, code_of(error), error)
    except (NoCredentialsError, PartialCredentialsError, ProfileNotFound, SSOError, TokenRetrievalError) as error:
        raise kind(
            f"{url}: there are no credentials for the store ({type(error).__name__})", hint=_CREDENTIALS
        ) from error
    except SSLError as error:
        raise kind(
            f"{url}: the store's certificate is not trusted",
            hint="A private authority's certificate goes into AWS_CA_BUNDLE.",
        ) from error
    except (HTTPClientError, EndpointConnectionError) as error:
        raise kind(f"{url}: the store cannot be reached, or closed the connection", hint=_ENDPOINT) from error
    except ResponseParserError as error:
        raise kind(f"{url}: the store's answer is not one of S3's ({error})", hint=_ENDPOINT) from error
    except (BotoCoreError, ValueError) as error:  # a name or an endpoint that cannot be right
        raise kind(f"{url}: no request can be made of it ({type(error).__name__})", hint=_ENDPOINT) from error


def refuse(
    url: Url,
    kind: type[UnclassifiedImageError | OutputError],
    code: str,
    cause: Exception | None = None,
) -> NoReturn:
    """Raise the error that a store's code means."""
    message, hint = _MEANING.get(code, (f"the store answers {code or 'with an error'}", _ENDPOINT))
    if kind is OutputError:
        message = f"cannot be written: {message}"
    raise kind(f"{url}: {message}", hint=hint) from cause


class _BrokenError(Exception):
    """Something went wrong that may go right the next time."""
