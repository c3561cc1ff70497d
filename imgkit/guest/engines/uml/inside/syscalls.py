"""Inside the kernel: what Python has no functions for: mounts, partitions, kernel modules, btrfs's tree search."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct

NODEV, NOSUID, NOATIME = 4, 2, 1024
READ_ONLY = 1

_FINIT_MODULE = 313  # x86-64
_EEXIST = 17

_CHANGE_PARTITION = 0x1269  # BLKPG
_ADD, _DELETE = 1, 2
_PARTITION = struct.Struct("@qqi64s64s4x")  # struct blkpg_partition
_ARGUMENT = struct.Struct("@iii4xP")  # struct blkpg_ioctl_arg

_libc = ctypes.CDLL(None, use_errno=True)

_MODULES = {
    "vfat": ("nls_cp437", "nls_ascii", "nls_iso8859-1", "nls_utf8", "vfat"),
    "f2fs": ("crc32_generic", "f2fs"),
    "ext4": ("crc32c_generic",),
}


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _check(result: int) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def mount(
    source: str | bytes, point: str | bytes, kind: str | bytes, flags: int = 0, options: str | bytes = b""
) -> None:
    """Mount a file system."""
    _check(_libc.mount(_bytes(source), _bytes(point), _bytes(kind), ctypes.c_ulong(flags), _bytes(options)))


def unmount(point: str | bytes) -> None:
    """Unmount what is mounted at a point."""
    _check(_libc.umount2(_bytes(point), 0))


def change_partition(disk: int, number: int, where: tuple[int, int] | None) -> None:
    """Have a disk have a partition at (start, length), in bytes, or, with None, not have it any more."""
    start, length = where or (0, 0)
    partition = ctypes.create_string_buffer(_PARTITION.pack(start, length, number, b"", b""))
    verb = _DELETE if where is None else _ADD
    fcntl.ioctl(disk, _CHANGE_PARTITION, _ARGUMENT.pack(verb, 0, _PARTITION.size, ctypes.addressof(partition)))


def load_file_system(kind: str) -> None:
    """Load the modules of a file system that is not built in."""
    with open("/proc/filesystems") as file:
        known = {line.split()[-1] for line in file}
    if kind not in known:
        load_modules(*_MODULES.get(kind, (kind,)))


def load_modules(*names: str) -> None:
    """Load kernel modules and what they depend on. One that is not there is built in, or will be missed later."""
    folder = f"/usr/lib/uml/modules/{os.uname().release}"
    with open(f"{folder}/modules.dep") as file:
        lines = [line.split(":") for line in file]
    needs = {path.rsplit("/", 1)[-1].split(".ko")[0]: [path, *rest.split()] for path, rest in lines}
    for name in names:
        for path in reversed(needs.get(name, [])):
            fd = os.open(f"{folder}/{path}", os.O_RDONLY)
            result = _libc.syscall(ctypes.c_long(_FINIT_MODULE), fd, b"", 0)
            os.close(fd)
            if result < 0 and ctypes.get_errno() != _EEXIST:
                _check(result)


# Device mapper: struct dm_ioctl. https://docs.kernel.org/admin-guide/device-mapper/, include/uapi/linux/dm-ioctl.h
_DM = struct.Struct("@IIIIIIiIIIQ128s129s7x")
_DM_REMOVE = 0xC138FD04


def remove_mapping(name: str) -> None:
    """Take a mapping of the device mapper away."""
    control = os.open("/dev/mapper/control", os.O_RDWR)
    try:
        request = bytearray(_DM.pack(4, 0, 0, _DM.size, _DM.size, 0, 0, 0, 0, 0, 0, name.encode(), b""))
        fcntl.ioctl(control, _DM_REMOVE, request)
    finally:
        os.close(control)


# btrfs's trees. https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html, include/uapi/linux/btrfs.h
_TREE_SEARCH, _INODE_LOOKUP, _FORGET = 0xD0009411, 0xD0009412, 0x50009405
_SEARCH_KEY = struct.Struct("=QQQQQQQIII36x")  # struct btrfs_ioctl_search_key
_SEARCH_SIZE = 4096
_ITEM_HEAD = struct.Struct("=QQQII")  # struct btrfs_ioctl_search_header
_ROOT_TREE, _TOP, _DEFAULT_FOLDER = 1, 5, 6
_DIR_ITEM, _ROOT_ITEM, _ROOT_BACKREF = 84, 132, 144
_ROOT_FLAGS = 208  # offset in struct btrfs_root_item
_READ_ONLY_ROOT = 1


def btrfs_subvolumes(root: int) -> tuple[int, list[tuple[int, bytes, bool]]]:
    """Of a file system with an open directory: the default subvolume, and all as (identifier, path, read-only)."""
    default = _TOP
    parents: dict[int, tuple[int, bytes]] = {}
    read_only = set()
    for _, kind, _, data in _search(root, _DEFAULT_FOLDER, _DEFAULT_FOLDER, _DIR_ITEM):
        if kind == _DIR_ITEM and data[30:37] == b"default":
            (default,) = struct.unpack_from("<Q", data)
    for identifier, kind, other, data in _search(root, 256, (1 << 64) - 257, _ROOT_ITEM, _ROOT_BACKREF):
        if kind == _ROOT_ITEM and struct.unpack_from("<Q", data, _ROOT_FLAGS)[0] & _READ_ONLY_ROOT:
            read_only.add(identifier)
        if kind == _ROOT_BACKREF:
            folder, _, length = struct.unpack_from("<QQH", data)
            parents[identifier] = other, _folder_path(root, other, folder) + data[18 : 18 + length]
    found = [(_TOP, b"/", False)]
    found += [(identifier, _full(identifier, parents), identifier in read_only) for identifier in parents]
    return default, found


def _full(identifier: int, parents: dict[int, tuple[int, bytes]]) -> bytes:
    path = b""
    for _ in range(64):  # a chain that loops ends here
        if identifier not in parents:
            break
        identifier, name = parents[identifier]
        path = b"/" + name + path
    return path


def _folder_path(root: int, tree: int, folder: int) -> bytes:
    """The path of a directory in its subvolume, with a slash at its end, "" for the subvolume's root."""
    request = bytearray(struct.pack("=QQ", tree, folder).ljust(_SEARCH_SIZE, b"\0"))
    fcntl.ioctl(root, _INODE_LOOKUP, request)
    return bytes(request[16:]).split(b"\0", 1)[0]


def _search(root: int, first: int, last: int, low: int, high: int = 0) -> list[tuple[int, int, int, bytes]]:
    """Items of the root tree with objects first..last and types low..high: object, type, offset, data."""
    found: list[tuple[int, int, int, bytes]] = []
    at = (first, low, 0)
    while True:
        key = _SEARCH_KEY.pack(
            _ROOT_TREE, at[0], last, at[2], (1 << 64) - 1, 0, (1 << 64) - 1, at[1], high or low, 4096
        )
        request = bytearray(key.ljust(_SEARCH_SIZE, b"\0"))
        fcntl.ioctl(root, _TREE_SEARCH, request)
        (count,) = struct.unpack_from("=I", request, 64)
        if not count:
            return found
        position = _SEARCH_KEY.size
        for _ in range(count):
            _, identifier, offset, kind, length = _ITEM_HEAD.unpack_from(request, position)
            position += _ITEM_HEAD.size
            found.append((identifier, kind, offset, bytes(request[position : position + length])))
            position += length
        at = (found[-1][0], found[-1][1], found[-1][2] + 1)


def forget_btrfs() -> None:
    """Have the kernel forget the btrfs devices that are not mounted: the next image may have the same identity."""
    try:
        control = os.open("/dev/btrfs-control", os.O_RDWR)
    except OSError:
        return
    try:
        fcntl.ioctl(control, _FORGET, bytearray(4096))
    except OSError:
        return
    finally:
        os.close(control)
