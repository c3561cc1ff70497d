"""A new object of an S3 store: a multipart upload, of which the store copies by itself all that is not changed.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html

    create upload → stitches (small objects of temporary name) → parts → stitches removed → `ready` → complete

Only the last step lets the object appear. Whatever fails before it aborts the upload and removes the stitches. What a
kill leaves is in a note for the next run, if the caller keeps one; else a bucket's lifecycle rule ends it. That rule is
also for an upload that a kill leaves between the store's answer and our note of it: it has no parts, so it takes no
room, and nothing tells it from one that somebody else has just begun.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from imgkit.errors import OutputError
from imgkit.remote.file import RemoteFile
from imgkit.remote.place import exists
from imgkit.remote.s3 import (
    CONNECTIONS,
    ConditionError,
    S3Object,
    check_bucket,
    client,
    code_of,
    field_of,
    head,
    locate,
    translated,
)
from imgkit.remote.s3parts import Copy, Stitch, Upload, plan_parts
from imgkit.remote.url import Url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from imgkit.remote.begun import UploadNote
    from imgkit.remote.s3parts import Part
    from imgkit.storage.copy import Progress
    from imgkit.storage.host import ImageFile
    from imgkit.storage.result import Result

_MARK = "imgkit"  # the object's own metadata has under this name which upload made it
_FOREIGN = (ClientError, BotoCoreError, ResponseParserError)
_IN_MEMORY = 3  # parts that are sent at a time
_PART = re.compile(r"\*\*/?|\*|\?|\[[!^]?\]?[^\]]*\]|.", re.DOTALL)  # of a pattern of the shell's kind
_TAKEN = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})


class S3Place:
    """Where a new object goes; see Place."""

    def __init__(self, url: Url) -> None:
        self._url = url
        self._where = locate(url)

    def identity(self) -> str | None:
        """The object's ETag."""
        with translated(self._url, OutputError):
            found = head(self._where)
        return str(found["ETag"]) if found else None

    def check(self) -> None:
        """Look for the bucket."""
        check_bucket(self._url, OutputError)

    def remove(self) -> None:
        """Delete the object."""
        with translated(self._url, OutputError):
            client().delete_object(**self._where)

    def matching(self) -> list[Url]:
        """The objects of the bucket whose keys match."""
        bucket, pattern = self._where["Bucket"], self._where["Key"]
        fixed = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
        wanted = re.compile(_translated_pattern(pattern), re.DOTALL)
        with translated(self._url):
            pages = client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=fixed)
            keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return [Url(f"s3://{bucket}/{key}") for key in sorted(keys) if wanted.fullmatch(key)]

    def clear_away(self, begun: UploadNote) -> None:
        """Abort uploads, and delete stitches."""
        with translated(self._url, OutputError):
            for thing in begun.things():
                if "UploadId" not in thing:
                    client().delete_object(**thing)
                    continue
                try:
                    client().abort_multipart_upload(**thing)
                except ClientError as error:
                    if code_of(error) not in ("NoSuchUpload", "404"):
                        raise
        begun.clear()

    def put(
        self, result: Result, *, ready: Callable[[], None], force: bool, progress: Progress, begun: UploadNote
    ) -> None:
        """Make the object of parts; where the store cannot copy them, all of it is sent."""
        try:
            self._put(_Maker(result, _in_store(result.host), progress), ready, force=force, begun=begun)
        except _CannotCopyError:
            self._put(_Maker(result, None, progress), ready, force=force, begun=begun)
        begun.clear()

    def _put(self, maker: _Maker, ready: Callable[[], None], *, force: bool, begun: UploadNote) -> None:
        mark = secrets.token_hex(16)
        source = maker.source
        try:
            with (
                self._upload(self._where, {_MARK: mark}, begun) as upload,
                translated(self._url, OutputError, conditional=source is not None),
            ):
                with self._stitched(maker, begun) as stitches:
                    made = maker.make(upload, maker.parts, stitches)
                ready()
                self._complete(upload, made, mark, force=force)
        except ConditionError as error:
            assert source is not None  # conditions are on the source alone, but for what `_complete` tells itself
            raise source.stale() from error

    @contextmanager
    def _upload(self, where: dict[str, str], metadata: dict[str, str], begun: UploadNote) -> Iterator[dict[str, str]]:
        """A multipart upload; aborted if it is left by an exception."""
        with translated(self._url, OutputError):
            answer = client().create_multipart_upload(**where, Metadata=metadata)
            upload = {**where, "UploadId": field_of(answer, "UploadId")}
        begun.add(upload)
        try:
            yield upload
        except BaseException:
            with suppress(*_FOREIGN):  # what went wrong first is what is told
                client().abort_multipart_upload(**upload)
            raise

    @contextmanager
    def _stitched(self, maker: _Maker, begun: UploadNote) -> Iterator[dict[Stitch, dict[str, Any]]]:
        """The objects of all stitches, with what copies them whole; they are there only in the `with` block."""
        prefix = f"{self._where['Key']}.imgkit-new-{secrets.token_hex(8)}"
        objects: list[dict[str, str]] = []
        found: dict[Stitch, dict[str, Any]] = {}
        try:
            for part in maker.parts:
                if isinstance(part, Stitch):
                    where = self._where | {"Key": f"{prefix}-{len(objects)}"}
                    objects.append(where)
                    begun.add(where)
                    with self._upload(where, {}, begun) as upload:
                        made = maker.make(upload, [Copy(part.start, part.middle), Upload(part.middle, part.stop)])
                        done = client().complete_multipart_upload(**upload, MultipartUpload={"Parts": made})
                    found[part] = {"CopySource": where, "CopySourceIfMatch": field_of(done, "ETag")}
            yield found
            for where in objects:
                client().delete_object(**where)
        except BaseException:
            for where in objects:
                with suppress(*_FOREIGN):
                    client().delete_object(**where)
            raise

    def _complete(self, upload: dict[str, str], made: list[dict[str, Any]], mark: str, *, force: bool) -> None:
        if not force and head(self._where) is not None:  # for stores that do not look at If-None-Match
            raise exists(self._url)
        condition = {} if force else {"IfNoneMatch": "*"}
        try:
            self._say_complete(upload, made, condition)
        except _FOREIGN as error:
            # A retry may have met with the success of the try before it, whose answer was lost.
            found = head(self._where)
            if found is not None and found.get("Metadata", {}).get(_MARK) == mark:
                return
            if isinstance(error, ClientError) and code_of(error) in _TAKEN:
                raise exists(self._url) from error
            raise

    def _say_complete(self, upload: dict[str, str], made: list[dict[str, Any]], condition: dict[str, str]) -> None:
        try:
            client().complete_multipart_upload(**upload, MultipartUpload={"Parts": made}, **condition)
        except ClientError as error:
            if not condition or code_of(error) != "NotImplemented":
                raise
            client().complete_multipart_upload(**upload, MultipartUpload={"Parts": made})


_NO_STITCHES: Mapping[Stitch, dict[str, Any]] = MappingProxyType({})


class _Maker:
    """Makes parts, several at a time. Only the caller's thread reads from the image; others talk to the store."""

    def __init__(self, result: Result, source: S3Object | None, progress: Progress) -> None:
        self.source = source
        self.parts = plan_parts(result.changed() if source else [(0, result.size)], result.size)
        self._result = result
        self._progress = progress

    def make(
        self, upload: dict[str, str], parts: Sequence[Part], stitches: Mapping[Stitch, dict[str, Any]] = _NO_STITCHES
    ) -> list[dict[str, Any]]:
        """Make all parts of an upload; what completing it needs to know of them. Raises what boto3 raises."""
        etags: dict[int, str] = {}
        pending: dict[Future[str], tuple[int, Part]] = {}
        done = 0
        todo = deque(enumerate(parts, start=1))
        pool = ThreadPoolExecutor(CONNECTIONS)
        try:
            while todo or pending:
                while todo and _may_begin(todo[0][1], pending):
                    number, part = todo.popleft()
                    pending[self._begin(pool, {**upload, "PartNumber": number}, part, stitches)] = number, part
                finished, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in finished:
                    number, part = pending.pop(future)
                    etags[number] = future.result()
                    done += part.stop - part.start
                    if parts is self.parts:
                        self._progress(done, self._result.size)
        finally:
            pool.shutdown(cancel_futures=True)
        return [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]

    def _begin(
        self, pool: ThreadPoolExecutor, where: dict[str, Any], part: Part, stitches: Mapping[Stitch, dict[str, Any]]
    ) -> Future[str]:
        if isinstance(part, Upload):
            return pool.submit(_send, where, self._result.read_at(part.start, part.stop - part.start))
        if isinstance(part, Stitch):
            return pool.submit(_copy, {**where, **stitches[part]})
        assert self.source is not None
        wanted = {
            "CopySource": self.source.where,
            "CopySourceIfMatch": self.source.etag,
            "CopySourceRange": f"bytes={part.start}-{part.stop - 1}",
        }
        return pool.submit(_copy, {**where, **wanted})


def _may_begin(part: Part, pending: Mapping[Future[str], tuple[int, Part]]) -> bool:
    sent = sum(isinstance(other, Upload) for _, other in pending.values())
    return len(pending) < CONNECTIONS and (not isinstance(part, Upload) or sent < _IN_MEMORY)


def _in_store(host: ImageFile) -> S3Object | None:
    """The image, if it is an object that the store can copy from."""
    source = host.object if isinstance(host, RemoteFile) else None
    return source if isinstance(source, S3Object) else None


def _send(where: dict[str, Any], data: bytes) -> str:
    digest = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    return field_of(client().upload_part(**where, Body=data, ContentMD5=digest), "ETag")


def _copy(wanted: dict[str, Any]) -> str:
    try:
        return field_of(client().upload_part_copy(**wanted).get("CopyPartResult", {}), "ETag")
    except ClientError as error:
        if code_of(error) == "NotImplemented":
            raise _CannotCopyError from error
        raise


class _CannotCopyError(Exception):
    """The store does not make parts of what it has."""


def _translated_pattern(pattern: str) -> str:
    """A pattern of the shell's kind as a regular expression."""
    parts = _PART.findall(pattern)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(known.get(part) or _translated_set(part) for part in parts)


def _translated_set(part: str) -> str:
    if len(part) < 3:  # noqa: PLR2004 - a set has at least one member
        return re.escape(part)
    inside = part[1:-1].replace("\\", r"\\")
    return f"[^{inside[1:]}]" if inside[0] in "!^" else f"[{inside}]"
