"""What came over a serial line: its end is kept, and searched while it grows. Bytes only; no machine here.

A guest may say more than there is memory for, so that only the end is kept. And it says it in crumbs: to search all of
it anew at each would take time that grows with the square of what came. So a search looks at what is new and at some
lines before that, and at everything only when that has doubled.

    ├─ dropped ─┤── consumed ──┤────── searched before ──────┤─ new ─┤
                                                ├──── looked at ─────┤
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re

KEEP = 16 << 20  # bytes; a boot says some 100 KiB
_BEFORE = 4096  # bytes before what is new
_SMALL = 1 << 16  # bytes that may be searched at every crumb


class Transcript:
    """The last bytes that came, `keep` of them at least, and how far they have been consumed. One user at a time."""

    def __init__(self, keep: int = KEEP) -> None:
        self.received = 0  # bytes that ever came
        self._keep = keep
        self._bytes = bytearray()
        self._consumed = 0  # these three count from the first byte that is kept
        self._searched = 0
        self._all_at = 0
        self._wanted: re.Pattern[bytes] | None = None

    def __bytes__(self) -> bytes:
        return bytes(self._bytes)

    def append(self, data: bytes) -> None:
        """Note what came."""
        self._bytes += data
        self.received += len(data)
        if len(self._bytes) > 2 * self._keep:
            self._drop(len(self._bytes) - self._keep)

    def tail(self, length: int) -> bytes:
        """The last bytes, `length` at most."""
        return bytes(self._bytes[-length:])

    def find(self, wanted: re.Pattern[bytes], *, last: bool = False) -> re.Match[bytes] | None:
        """The leftmost match in what has not been consumed, which is consumed then; None until there is one.

        Meant to be called again when more has come. A match that spans more than some lines may be seen later than it
        came; the `last` call sees it.
        """
        if self._wanted is not wanted:
            self._wanted, self._all_at = wanted, 0
        end = len(self._bytes)
        begin = self._consumed
        if last or end - begin <= _SMALL or end >= self._all_at:
            self._all_at = end + (end - begin)
        else:
            begin = self._begin()
        self._searched = end
        if not wanted.search(self._bytes, begin):
            return None
        # Once more: from where no word is cut, and in a copy, as a match refers to what it was found in.
        found = wanted.search(bytes(self._bytes), self._consumed)
        if found:
            self._consumed = found.end()
            self._wanted = None
        return found

    def _begin(self) -> int:
        """Where to look from: the begin of a line, if there is one nearby."""
        latest = max(self._searched - _BEFORE, self._consumed)
        earliest = max(latest - _BEFORE, self._consumed)
        return self._bytes.rfind(b"\n", earliest, latest) + 1 or latest

    def _drop(self, length: int) -> None:
        del self._bytes[:length]
        self._consumed = max(self._consumed - length, 0)
        self._searched = max(self._searched - length, 0)
        self._all_at = max(self._all_at - length, 0)
