"""Inside the kernel: process 1, which does what the engine asks over a serial line.

The root directory is the host's, read only, as far as the kernel's process may reach it; the image's file systems are
mounted below /mnt/NUMBER. What comes is a verb and its arguments; of each answer the first field is
empty, or the number of an error (errno, or 0) with its words behind it.

Only what starts in milliseconds is imported, as every look at a file of the host goes through two kernels.
"""

from __future__ import annotations

import mmap
import os
import stat
import sys
import termios

TYPE_CHECKING = False  # `typing` takes 20 ms to import here
if TYPE_CHECKING:
    from collections.abc import Callable

    from imgkit.guest.engines.uml.inside import syscalls, volumes, wire
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import syscalls
    import volumes
    import wire

_LINE = "/dev/ttyS0"
_DISK = "/dev/vda"
_LABEL = "security.selinux"


class Refused(Exception):  # noqa: N818 - not an error of this program
    """What was asked for cannot be done; the words are for the engine."""


def main() -> None:
    """Prepare the machine and serve the line until it closes."""
    for kind, point in (("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/run"), ("tmpfs", "/tmp"), ("tmpfs", "/mnt")):  # noqa: S108
        syscalls.mount(kind, point, kind)
    os.umask(0)
    syscalls.load_modules("virtio_blk")
    post = Post()
    post.send(wire.pack(b"", os.uname().release.encode()))
    while True:
        try:
            verb, *arguments = wire.unpack(post.receive())
        except EOFError:
            return
        post.send(_answer(verb, arguments))


def _answer(verb: bytes, arguments: list[bytes]) -> bytes:
    try:
        return wire.pack(b"", *VERBS[verb](*arguments))
    except OSError as error:
        return wire.pack(b"%d" % (error.errno or 0), (error.strerror or str(error)).encode())
    except Refused as error:
        return wire.pack(b"0", str(error).encode())
    except Exception as error:  # noqa: BLE001 - without this process the kernel ends, and says less
        return wire.pack(b"0", repr(error).encode())


class Post:
    """The line and the mailbox (see `wire`)."""

    def __init__(self) -> None:
        self._line = os.open(_LINE, os.O_RDWR | os.O_NOCTTY)
        settings = termios.tcgetattr(self._line)
        settings[0] = settings[1] = settings[3] = 0  # neither input, output nor local processing: eight clean bits
        termios.tcsetattr(self._line, termios.TCSANOW, settings)
        self._disk = os.open(_DISK, os.O_RDWR | os.O_DIRECT)
        self._buffer = mmap.mmap(-1, wire.MAILBOX_SIZE)  # direct I/O wants memory that is aligned

    def send(self, body: bytes) -> None:
        """Send a body."""
        if len(body) > wire.MAILBOX_SIZE:
            body = wire.pack(b"0", b"is too large for the uml engine")
        data = wire.LENGTH.pack(len(body))
        if len(body) > wire.INLINE:
            self._buffer[: len(body)] = body
            self._transfer(os.pwritev, len(body))
        else:
            data += body
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._line, rest) :]

    def receive(self) -> bytes:
        """The next body. Raises EOFError when the line has closed."""
        (length,) = wire.LENGTH.unpack(self._read(wire.LENGTH.size))
        if length <= wire.INLINE:
            return self._read(length)
        self._transfer(os.preadv, length)
        return self._buffer[:length]

    def _transfer(self, call: Callable[[int, list[memoryview], int], int], length: int) -> None:
        whole = -(-length // wire.BLOCK) * wire.BLOCK
        view = memoryview(self._buffer)[:whole]
        if call(self._disk, [view], wire.MAILBOX_START) != whole:
            raise OSError("the mailbox is cut off")

    def _read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            piece = os.read(self._line, length - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data


# Block devices and mounts


def _partitions(*ranges: bytes) -> list[bytes]:
    """Have the kernel see these ranges of the disk, START:LENGTH in bytes, as its partitions 1, 2, and so on."""
    disk = os.open(_DISK, os.O_RDWR)
    for number in sorted(_numbers_of_partitions()):
        syscalls.change_partition(disk, number, None)
    for number, text in enumerate(ranges, 1):
        start, length = map(int, text.split(b":"))
        syscalls.change_partition(disk, number, (start, length))
    os.close(disk)
    return []


def _numbers_of_partitions() -> list[int]:
    folder = f"/sys/block/{os.path.basename(_DISK)}"
    names = (name.removeprefix("vda") for name in os.listdir(folder))
    return [int(name) for name in names if name.isdigit()]


def _device_read(device: bytes, offset: bytes, length: bytes) -> list[bytes]:
    fd = os.open(device, os.O_RDONLY)
    try:
        return [os.pread(fd, int(length), int(offset))]
    finally:
        os.close(fd)


def _mount(device: bytes, kind: bytes, options: bytes, number: bytes, mode: bytes) -> list[bytes]:
    """Mount a device at /mnt/NUMBER; the answer says whether it can be written to."""
    syscalls.load_file_system(kind.decode())
    point = b"/mnt/" + number
    flags = syscalls.NOATIME | syscalls.NODEV | syscalls.NOSUID | (syscalls.READ_ONLY if mode == b"ro" else 0)
    os.makedirs(point, exist_ok=True)
    try:
        syscalls.mount(device, point, kind, flags, options)
    except OSError:
        os.rmdir(point)
        raise
    return [b"ro" if os.statvfs(point).f_flag & os.ST_RDONLY else b"rw"]


def _unmount(number: bytes) -> list[bytes]:
    syscalls.unmount(b"/mnt/" + number)
    os.rmdir(b"/mnt/" + number)
    return []


def _end() -> list[bytes]:
    """Unmount all and take all volumes apart, the last first: everything is on the disk then."""
    for number in sorted((int(name) for name in os.listdir("/mnt")), reverse=True):
        _unmount(b"%d" % number)
    volumes.take_apart()
    syscalls.forget_btrfs()
    os.sync()
    return _partitions()


# Files. Paths are those of the mount's own root; no link is followed at their end.


def _path(number: bytes, path: bytes) -> bytes:
    return b"/mnt/" + number + path


def _stat(number: bytes, path: bytes) -> list[bytes]:
    found = os.lstat(_path(number, path))
    return [
        b"%d" % value
        for value in (
            found.st_mode,
            found.st_uid,
            found.st_gid,
            found.st_size,
            found.st_mtime_ns // 10**9,
        )
    ]


def _open_file(path: bytes, flags: int) -> int:
    """A regular file, opened; whatever else is there is not opened, as that may do something or wait."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise Refused("is not a regular file")
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)


def _read(number: bytes, path: bytes, offset: bytes, length: bytes) -> list[bytes]:
    fd = _open_file(_path(number, path), os.O_RDONLY)
    try:
        return [os.pread(fd, int(length), int(offset))]
    finally:
        os.close(fd)


def _write(number: bytes, path: bytes, offset: bytes, time: bytes, data: bytes) -> list[bytes]:
    """Write a piece of a file; the first one (offset 0) makes or empties it."""
    full = _path(number, path)
    is_new = not os.path.lexists(full)
    if is_new:
        fd = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    else:
        fd = _open_file(full, os.O_WRONLY | (os.O_TRUNC if offset == b"0" else 0))
    try:
        rest, at = memoryview(data), int(offset)
        while rest:
            done = os.pwrite(fd, rest, at)
            rest, at = rest[done:], at + done
    finally:
        os.close(fd)
    if is_new:
        _settle(full)
    _stamp(full, time)
    return []


def _list(number: bytes, path: bytes) -> list[bytes]:
    full = _path(number, path)
    if not stat.S_ISDIR(os.lstat(full).st_mode):
        raise Refused("is not a directory")
    return [b"\0".join(os.listdir(full))]


def _read_link(number: bytes, path: bytes) -> list[bytes]:
    full = _path(number, path)
    if not stat.S_ISLNK(os.lstat(full).st_mode):
        raise Refused("is not a symbolic link")
    return [os.readlink(full)]


def _symlink(number: bytes, path: bytes, target: bytes, time: bytes) -> list[bytes]:
    full = _path(number, path)
    os.symlink(target, full)
    _settle(full)
    _stamp(full, time)
    return []


def _mkdir(number: bytes, path: bytes, time: bytes) -> list[bytes]:
    full = _path(number, path)
    os.mkdir(full, 0o755)
    _settle(full)
    _stamp(full, time)
    return []


def _remove(number: bytes, path: bytes) -> list[bytes]:
    full = _path(number, path)
    (os.rmdir if stat.S_ISDIR(os.lstat(full).st_mode) else os.unlink)(full)
    return []


def _attributes(number: bytes, path: bytes, mode: bytes, uid: bytes, gid: bytes, kind: bytes) -> list[bytes]:
    """Set mode, owner and the type of the label; on FAT, which has none of them, nothing."""
    full = _path(number, path)
    try:
        os.chown(full, int(uid), int(gid), follow_symlinks=False)
    except PermissionError:
        return []
    os.chmod(full, int(mode))
    parts = _label(full).split(b":", 3)
    if kind and len(parts) > 3:  # noqa: PLR2004 - user:role:type:level
        os.setxattr(full, _LABEL, b":".join((*parts[:2], kind, parts[3])), follow_symlinks=False)
    return []


def _settle(path: bytes) -> None:
    """Give something new its directory's owner, and the SELinux label of a file beside it, or of the directory."""
    parent = os.path.dirname(path)
    owner = os.stat(parent)
    try:
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
    except PermissionError:
        return  # FAT has no owners, and no labels
    label = _label(_neighbour(parent, path))
    if label:
        os.setxattr(path, _LABEL, label, follow_symlinks=False)


def _neighbour(parent: bytes, path: bytes) -> bytes:
    own = os.path.basename(path)
    for name in sorted(os.listdir(parent)):
        full = os.path.join(parent, name)
        if name != own and stat.S_ISREG(os.lstat(full).st_mode):
            return full
    return parent


def _label(path: bytes) -> bytes:
    try:
        return os.getxattr(path, _LABEL, follow_symlinks=False)
    except OSError:
        return b""  # there is none, or the file system has no extended attributes


def _stamp(path: bytes, time: bytes) -> None:
    moment = int(time) * 10**9
    os.utime(path, ns=(moment, moment), follow_symlinks=False)


VERBS: dict[bytes, Callable[..., list[bytes]]] = {
    b"partitions": _partitions,
    b"assemble": volumes.assemble,
    b"unlock": volumes.unlock,
    b"subvolumes": volumes.subvolumes,
    b"device-read": _device_read,
    b"mount": _mount,
    b"unmount": _unmount,
    b"end": _end,
    b"stat": _stat,
    b"read": _read,
    b"write": _write,
    b"list": _list,
    b"readlink": _read_link,
    b"symlink": _symlink,
    b"mkdir": _mkdir,
    b"remove": _remove,
    b"attributes": _attributes,
}

if __name__ == "__main__":
    main()
