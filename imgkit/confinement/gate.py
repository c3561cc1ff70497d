"""One connection to a Unix socket, and no other: for a program that has to reach us by a path before it is confined.

Landlock does not govern connect(2) to a path, and a filter cannot read the path. So the filter asks us: the first
connection, which the program makes before it has seen anything untrusted, goes on; then the gate is shut, and every
later one fails with ENOSYS. Other families, datagrams and listening are refused by the filter itself.

Reference: https://docs.kernel.org/userspace-api/seccomp_filter.html#userspace-notification (Linux 5.5), x86-64
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct

from imgkit.confinement.kernel import system_call

_SECCOMP, _SET_MODE_FILTER, _NEW_LISTENER = 317, 1, 8
_ASK, _ALLOW, _REFUSE = 0x7FC00000, 0x7FFF0000, 0x00050000 | errno.EACCES
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_NOTICE = struct.Struct("=QII64x")  # struct seccomp_notif: identifier, process, flags, struct seccomp_data
_ANSWER = struct.Struct("=QqiI")  # struct seccomp_notif_resp: identifier, value, error, flags
_CONTINUE = 1

_LOAD, _EQUAL, _AND, _RETURN = 0x20, 0x15, 0x54, 0x06
_SOCKET, _CONNECT, _BIND, _LISTEN = 41, 42, 49, 50
_STREAM, _TYPE_MASK = 1, 0xF
_PROGRAM = (
    (_LOAD, 0, 0, 0),
    (_EQUAL, 0, 1, _CONNECT),
    (_RETURN, 0, 0, _ASK),
    (_EQUAL, 1, 0, _BIND),
    (_EQUAL, 0, 1, _LISTEN),
    (_RETURN, 0, 0, _REFUSE),
    (_EQUAL, 0, 6, _SOCKET),
    (_LOAD, 0, 0, 16),
    (_EQUAL, 0, 3, socket.AF_UNIX),
    (_LOAD, 0, 0, 24),
    (_AND, 0, 0, _TYPE_MASK),
    (_EQUAL, 1, 0, _STREAM),
    (_RETURN, 0, 0, _REFUSE),
    (_RETURN, 0, 0, _ALLOW),
)


class Gate:
    """`enter` in the program's process before exec, `open` in ours after it; then `fd` is readable when it connects."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        program = b"".join(struct.pack("=HBBI", *instruction) for instruction in _PROGRAM)
        self._instructions = ctypes.create_string_buffer(program, len(program))
        self._filter = struct.pack("@HP", len(_PROGRAM), ctypes.addressof(self._instructions))
        self.fd: int | None = None

    def enter(self) -> None:
        """Put this process behind the filter; where the kernel has no such thing, it goes without."""
        fd = system_call(_SECCOMP, _SET_MODE_FILTER, _NEW_LISTENER, self._filter)
        if fd >= 0:
            socket.send_fds(self._theirs, [b"f"], [fd])
            os.close(fd)

    def open(self) -> None:
        """Take the gate over from the process that entered."""
        self._theirs.close()
        with self._ours:
            _, fds, _, _ = socket.recv_fds(self._ours, 1, 1)
        self.fd = fds[0] if fds else None

    def let_one_in(self) -> None:
        """Let the connection that waits go on, and shut the gate."""
        if self.fd is None:
            return
        notice = bytearray(_NOTICE.size)
        try:
            fcntl.ioctl(self.fd, _RECEIVE, notice)
            identifier, _, _ = _NOTICE.unpack(notice)
            fcntl.ioctl(self.fd, _SEND, bytearray(_ANSWER.pack(identifier, 0, 0, _CONTINUE)))
        except OSError as error:
            if error.errno != errno.ENOENT:  # the process has ended meanwhile
                raise
        finally:
            self.shut()

    def shut(self) -> None:
        """Let nobody in any more."""
        self._ours.close()
        self._theirs.close()
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None
