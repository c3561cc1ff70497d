"""A vhost-user-blk device: the kernel's virtio disk, served by this process from a block device of ours.

The kernel's memory is a file that it hands over; it is read and written by pread(2) and pwrite(2), never mapped: a
kernel that truncates it then gets an error, where a mapping would end this process with SIGBUS. All that it says is
checked, as it may have been taken over by the image that it reads.

One queue; the structures are declared in `vhostuser_layout`.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.errors import EngineError, ImgkitError
from imgkit.guest.engines.uml import vhostuser_layout as layout
from imgkit.guest.engines.uml.vhostuser_layout import Message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.storage.device import BlockDevice

_FEATURES = (
    layout.FEATURE_SEG_MAX
    | layout.FEATURE_FLUSH
    | layout.FEATURE_INDIRECT
    | layout.FEATURE_PROTOCOL
    | layout.FEATURE_VERSION_1
)
_MOST_REGIONS, _MOST_ENTRIES = 8, 1024
_MOST_BYTES = 16 << 20  # of one request
_SECTOR = 512
_SEGMENTS = 126
_WAIT = 10.0  # seconds for the rest of a message


@dataclass(frozen=True, slots=True)
class _Region:
    """A part of the kernel's memory: where it is in the kernel's two ways to count, and in which file."""

    guest: int
    user: int
    size: int
    fd: int
    offset: int


class BlockServer:
    """Serves one disk to one kernel. `connection` and `kick` become readable when there is something to do.

    Raises EngineError where the kernel breaks the protocol.
    """

    def __init__(self, disk: BlockDevice, connection: socket.socket) -> None:
        self._disk = disk
        self.connection = connection
        self.connection.settimeout(_WAIT)
        self.kick: int | None = None
        self.requests = 0
        self._call: int | None = None
        self._channel: int | None = None  # kept open: nothing is sent over it
        self._regions: list[_Region] = []
        self._entries = 0
        self._addresses = (0, 0, 0)
        self._next = 0
        self._failure: ImgkitError | None = None

    def close(self) -> None:
        """Close the connection and all that came over it."""
        self.connection.close()
        self._forget_memory()
        for fd in (self.kick, self._call, self._channel):
            if fd is not None:
                os.close(fd)
        self.kick = self._call = self._channel = None

    def raise_failure(self) -> None:
        """Raise what reading or writing the image raised while the kernel was served; it was told of an I/O error."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    # The protocol's messages

    def answer_message(self) -> bool:
        """Take one message and answer it; False when the kernel has closed the connection."""
        try:
            head, fds, _, _ = socket.recv_fds(self.connection, layout.HEADER.size, _MOST_REGIONS)
            if not head:
                return False
            head += self._receive(layout.HEADER.size - len(head))
            request, _, size = layout.HEADER.unpack(head)
            if size > 1 << 16:
                raise _broken(f"a message of {size:,} bytes")
            payload = self._receive(size)
        except OSError as error:
            raise _broken(str(error)) from error
        self._answer(request, payload, fds)
        return True

    def _receive(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            piece = self.connection.recv(length - len(data))
            if not piece:
                raise _broken("a message is cut off")
            data += piece
        return data

    def _answer(self, request: int, payload: bytes, fds: list[int]) -> None:
        spare = list(fds)
        try:
            if not self._answer_question(request, payload):
                self._take_setting(request, payload, spare)
        except struct.error as error:
            raise _broken(f"message {request} of {len(payload)} bytes") from error
        finally:
            for fd in spare:
                os.close(fd)

    def _answer_question(self, request: int, payload: bytes) -> bool:
        """Answer a message that wants one; whether it was of that kind."""
        match request:
            case Message.GET_FEATURES:
                answer = layout.U64.pack(_FEATURES)
            case Message.GET_PROTOCOL_FEATURES:
                answer = layout.U64.pack(layout.PROTOCOL_BACKEND_CHANNEL | layout.PROTOCOL_CONFIG)
            case Message.GET_QUEUE_NUM:
                answer = layout.U64.pack(1)
            case Message.GET_CONFIG:
                answer = self._config(payload)
            case Message.GET_VRING_BASE:
                index, _ = layout.VRING_STATE.unpack(payload)
                answer = layout.VRING_STATE.pack(index, self._next)
            case _:
                return False
        self.connection.sendall(layout.HEADER.pack(request, layout.VERSION | layout.REPLY, len(answer)) + answer)
        return True

    def _take_setting(self, request: int, payload: bytes, spare: list[int]) -> None:
        match request:
            case Message.SET_MEM_TABLE:
                self._take_memory(payload, spare)
            case Message.SET_VRING_NUM:
                self._entries = self._state(payload, _MOST_ENTRIES)
            case Message.SET_VRING_BASE:
                self._next = self._state(payload, 0xFFFF)
            case Message.SET_VRING_ADDR:
                _, _, descriptors, used, available, _ = layout.VRING_ADDRESSES.unpack(payload)
                self._addresses = (descriptors, available, used)
            case Message.SET_VRING_KICK:
                self.kick = self._take_descriptor(payload, spare, self.kick)
            case Message.SET_VRING_CALL:
                self._call = self._take_descriptor(payload, spare, self._call)
            case Message.SET_BACKEND_REQ_FD if spare and self._channel is None:
                self._channel = spare.pop(0)
            case _:  # nothing that changes what is served
                pass

    def _config(self, payload: bytes) -> bytes:
        offset, size, flags = layout.CONFIG_HEAD.unpack_from(payload)
        if offset + size > 1 << 12:
            raise _broken(f"configuration of {size:,} bytes")
        capacity = self._disk.size // _SECTOR
        config = layout.CONFIG.pack(capacity, 0, _SEGMENTS, 0, 0, 0, _SECTOR).ljust(offset + size, b"\0")
        return layout.CONFIG_HEAD.pack(offset, size, flags) + config[offset : offset + size]

    @staticmethod
    def _state(payload: bytes, most: int) -> int:
        index, number = layout.VRING_STATE.unpack(payload)
        if index or number > most:
            raise _broken(f"queue {index} with {number}")
        return int(number)

    @staticmethod
    def _take_descriptor(payload: bytes, spare: list[int], old: int | None) -> int | None:
        (value,) = layout.U64.unpack(payload)
        if old is not None:
            os.close(old)
        return None if value & layout.NO_DESCRIPTOR or not spare else spare.pop(0)

    def _take_memory(self, payload: bytes, spare: list[int]) -> None:
        count, _ = layout.MEMORY_HEAD.unpack_from(payload)
        if count > _MOST_REGIONS or count != len(spare):
            raise _broken(f"{count} parts of memory with {len(spare)} files")
        self._forget_memory()
        for number in range(count):
            guest, size, user, offset = layout.MEMORY_REGION.unpack_from(
                payload, layout.MEMORY_HEAD.size + number * layout.MEMORY_REGION.size
            )
            self._regions.append(_Region(guest, user, size, spare.pop(0), offset))

    def _forget_memory(self) -> None:
        for region in self._regions:
            os.close(region.fd)
        self._regions.clear()

    # The queue

    def serve_queue(self) -> None:
        """Serve all requests that the kernel has put into the queue."""
        if self.kick is None or not self._entries:
            return
        with suppress(BlockingIOError):
            os.read(self.kick, 8)
        descriptors, available, used = self._addresses
        while True:
            flags, index = _pair(self._load(available, layout.RING_HEAD))
            pending = (index - self._next) & 0xFFFF
            if not pending:
                return
            if pending > self._entries:
                raise _broken(f"{pending} requests in a queue of {self._entries}")
            table = self._load(descriptors, self._entries * layout.DESCRIPTOR.size)
            for _ in range(pending):
                slot = self._next % self._entries
                (head,) = layout.U16.unpack(self._load(available + layout.RING_HEAD + 2 * slot, 2))
                written = self._serve(table, head)
                entry = layout.USED.pack(head, written)
                self._store(used + layout.RING_HEAD + slot * layout.USED.size, entry)
                self._next = (self._next + 1) & 0xFFFF
                self._store(used + 2, layout.U16.pack(self._next))
            if not flags & layout.NO_INTERRUPT and self._call is not None:
                with suppress(BlockingIOError):
                    os.write(self._call, layout.U64.pack(1))

    def _serve(self, table: bytes, head: int) -> int:
        """Carry out one request; how many bytes were written into the kernel's memory."""
        self.requests += 1
        chain = list(self._chain(table, head))
        to_read = [(address, length) for address, length, is_ours in chain if not is_ours]
        to_write = [(address, length) for address, length, is_ours in chain if is_ours]
        if not to_read or not to_write or sum(length for _, length in to_read + to_write) > _MOST_BYTES:
            raise _broken("a request without a head or a status, or of too many bytes")
        if to_read[0][1] < layout.REQUEST.size:
            raise _broken("a request with a short head")
        kind, _, sector = layout.REQUEST.unpack(self._load(to_read[0][0], layout.REQUEST.size))
        *targets, (status_address, _) = to_write
        status = layout.OK
        filled = 0
        try:
            match kind:
                case layout.READ:
                    filled = self._read(sector * _SECTOR, targets)
                case layout.WRITE:
                    self._write(sector * _SECTOR, to_read[1:])
                case layout.FLUSH:
                    pass  # what is written is in the layer at once
                case _:
                    status = layout.UNSUPPORTED
        except ValueError:
            status = layout.IO_ERROR
        except ImgkitError as error:  # a backing file that is damaged or gone: the caller hears of it
            self._failure = self._failure or error
            status = layout.IO_ERROR
        self._store(status_address, status)
        return filled + 1

    def _read(self, offset: int, targets: list[tuple[int, int]]) -> int:
        total = sum(length for _, length in targets)
        data = memoryview(self._disk.read_at(offset, total))
        at = 0
        for address, length in targets:
            self._store(address, data[at : at + length])
            at += length
        return total

    def _write(self, offset: int, sources: list[tuple[int, int]]) -> None:
        self._disk.write_at(offset, b"".join(self._load(address, length) for address, length in sources))

    def _chain(self, table: bytes, head: int) -> Iterator[tuple[int, int, bool]]:
        """The buffers of a request: address, length, and whether we write them."""
        index, left = head, self._entries + _SEGMENTS
        while True:
            left -= 1
            if left < 0 or (index + 1) * layout.DESCRIPTOR.size > len(table):
                raise _broken("a chain of descriptors leaves its table, or loops")
            address, length, flags, following = layout.DESCRIPTOR.unpack_from(table, index * layout.DESCRIPTOR.size)
            if flags & layout.INDIRECT:
                if length % layout.DESCRIPTOR.size or length > _MOST_ENTRIES * layout.DESCRIPTOR.size:
                    raise _broken(f"an indirect table of {length:,} bytes")
                table, index = self._load(address, length), 0
                continue
            yield address, length, bool(flags & layout.DEVICE_WRITES)
            if not flags & layout.NEXT:
                return
            index = following

    # The kernel's memory

    def _load(self, address: int, length: int) -> bytes:
        fd, offset = self._locate(address, length)
        data = os.pread(fd, length, offset)
        if len(data) != length:
            raise _broken("its memory became shorter")
        return data

    def _store(self, address: int, data: bytes | memoryview) -> None:
        fd, offset = self._locate(address, len(data))
        if os.pwrite(fd, data, offset) != len(data):
            raise _broken("its memory cannot be written")

    def _locate(self, address: int, length: int) -> tuple[int, int]:
        """The file and the offset in it of an address, counted as the kernel's programs or as its devices do."""
        for region in self._regions:
            if region.guest <= address and address + length <= region.guest + region.size:
                return region.fd, region.offset + address - region.guest
            if region.user <= address and address + length <= region.user + region.size:
                return region.fd, region.offset + address - region.user
        raise _broken(f"{length:,} bytes at {address:#x} are not in its memory")


def _pair(data: bytes) -> tuple[int, int]:
    return int.from_bytes(data[:2], "little"), int.from_bytes(data[2:4], "little")


def _broken(what: str) -> EngineError:
    return EngineError(
        f"the uml engine's kernel does not follow the vhost-user protocol ({what})",
        hint="The image may have crashed the kernel; try --engine guestfs.",
    )
