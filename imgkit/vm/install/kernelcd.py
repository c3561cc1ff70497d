"""A CD that starts a Linux kernel, its initial RAM disk and its command line, on a PC with a BIOS.

A kernel that QEMU is given directly is started at every reset, before any disk. Firmware starts this one only if what
comes before it in the boot order does not start: behind an empty disk it is an installer that runs once.

    ISO 9660, no files ── El Torito ── boot sector with table ── setup code + command line, kernel, initial RAM disk

Nothing here is for UEFI, and nothing for real hardware.

The kernel's boot protocol: https://docs.kernel.org/arch/x86/boot.html
ECMA-119 (ISO 9660), El Torito: see `imgkit.iso.layout`
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.errors import MachineError, OutputError, UnsupportedError, UsageError
from imgkit.iso.layout import BOOT_RECORD_DESCRIPTOR, EL_TORITO, SECTOR, VOLUME_DESCRIPTOR
from imgkit.storage.durable import no_space, sync_directory, write_all
from imgkit.storage.host import unreadable
from imgkit.storage.temporary import temporary_file
from imgkit.vm.install.bootsector import boot_sector
from imgkit.vm.install.bzimage import BZIMAGE, PROTOCOL, SETUP_SECTOR

if TYPE_CHECKING:
    from pathlib import Path

    from imgkit.vm.spec import DirectKernel

_MIB = 1 << 20
_DESCRIPTOR, _BOOT_RECORD, _END, _CATALOG, _LOADER, _ROOT, _L_TABLE, _M_TABLE, _FIRST = (
    16,
    17,
    18,
    19,
    20,
    21,
    22,
    23,
    24,
)
_SETUP_AT, _KERNEL_AT = 0x10000, 0x100000  # addresses of the setup code and of the kernel
_ARGUMENTS = 0xE000  # where the command line is behind the setup code; below it are that one's stack and heap
_PIECE = 0xE800  # bytes of setup code and command line together
_LOW_TOP = 2048 * _MIB  # q35 has at least as much memory below the devices' addresses, if there is as much at all
_FIRMWARE = 4 * _MIB  # what the firmware keeps at the top
_MAX_KERNEL = 256 * _MIB


@dataclass(frozen=True, slots=True)
class _Kernel:
    """A kernel's setup code, the rest of it, and where that wants its memory to end."""

    setup: bytearray
    rest: bytes
    memory_end: int
    initrd_limit: int


def write_kernel_cd(output: Path, start: DirectKernel, memory: int) -> None:
    """Write the CD for a machine of `memory` MiB; `output` must not exist, and appears when it is complete.

    Raises UnsupportedError for what is no such kernel, UsageError for a command line that it has no room for,
    MachineError where the memory does not suffice, LocationError and OutputError for files that cannot be used.
    """
    kernel = _read_kernel(start)
    size = 0
    try:
        size = start.initrd.stat().st_size if start.initrd else 0
    except OSError as error:
        raise unreadable(start.initrd or start.kernel, error) from error
    address = _initrd_address(kernel, size, memory)
    values = BZIMAGE.parse(kernel.setup[SETUP_SECTOR:])
    values.type_of_loader = 0xFF  # one without a number
    values.loadflags |= 0x80  # there is a heap
    values.ramdisk_image, values.ramdisk_size = (address, size) if size else (0, 0)
    values.heap_end_ptr = _ARGUMENTS - 0x200
    values.cmd_line_ptr = _SETUP_AT + _ARGUMENTS
    header = BZIMAGE.build(values)
    kernel.setup[SETUP_SECTOR : SETUP_SECTOR + len(header)] = header
    piece = bytes(kernel.setup).ljust(_ARGUMENTS, b"\0") + start.arguments.encode() + b"\0"
    kernel_at = _FIRST + _sectors(_PIECE)
    initrd_at = -(-(kernel_at + _sectors(len(kernel.rest))) // 2) * 2  # a multiple of 4096 bytes
    pieces = [
        (_FIRST, _sectors(_PIECE), _SETUP_AT),
        (kernel_at, _sectors(len(kernel.rest)), _KERNEL_AT),
        (initrd_at, _sectors(size), address),
    ]
    total = initrd_at + max(_sectors(size), 1)
    if output.exists():
        raise OutputError(f"{output}: exists", hint="Remove it.")
    with temporary_file(output) as (fd, temporary):
        try:
            os.ftruncate(fd, total * SECTOR)
            write_all(fd, _volume(total), _DESCRIPTOR * SECTOR)
            write_all(fd, boot_sector(pieces), _LOADER * SECTOR)
            write_all(fd, piece, _FIRST * SECTOR)
            write_all(fd, kernel.rest, kernel_at * SECTOR)
            if start.initrd:
                _copy(start.initrd, fd, initrd_at * SECTOR)
            os.fchmod(fd, 0o644)  # a system's hypervisor runs as another user
            os.fsync(fd)
            temporary.rename(output)
            sync_directory(output.parent)
        except OSError as error:
            raise no_space(output, error) from error


def _read_kernel(start: DirectKernel) -> _Kernel:
    try:
        if start.kernel.stat().st_size > _MAX_KERNEL:
            raise _no_kernel(start.kernel, "it is too large")
        data = start.kernel.read_bytes()
    except OSError as error:
        raise unreadable(start.kernel, error) from error
    if len(data) < SETUP_SECTOR + BZIMAGE.sizeof():
        raise _no_kernel(start.kernel, "it is too short")
    header = BZIMAGE.parse(data[SETUP_SECTOR:])
    setup_size = ((header.setup_sects or 4) + 1) * 512
    if header.header != b"HdrS" or header.version < PROTOCOL or not header.loadflags & 1:
        raise _no_kernel(start.kernel, f"it does not speak the boot protocol {PROTOCOL >> 8}.{PROTOCOL & 0xFF}")
    if setup_size > _ARGUMENTS - 0x1000 or setup_size >= len(data):
        raise _no_kernel(start.kernel, "the size of its setup code is invalid")
    longest = min(header.cmdline_size, _PIECE - _ARGUMENTS - 1)
    if len(start.arguments.encode()) > longest or "\0" in start.arguments:
        raise UsageError(f"the kernel's command line is longer than {longest:,} bytes", hint="Shorten it.")
    return _Kernel(
        bytearray(data[:setup_size]), data[setup_size:], header.pref_address + header.init_size, header.initrd_addr_max
    )


def _initrd_address(kernel: _Kernel, size: int, memory: int) -> int:
    top = min(kernel.initrd_limit + 1, _LOW_TOP, memory * _MIB) - _FIRMWARE
    address = (top - size) & ~0xFFF
    if address < kernel.memory_end:
        need = -(-(kernel.memory_end + size + _FIRMWARE) // _MIB) + 1
        raise MachineError(
            f"{memory} MiB of memory have no room for the kernel and its initial RAM disk",
            hint=f"Give the machine more: --memory {need} at the very least, and twice that for an installer.",
        )
    return address


def _volume(total: int) -> bytes:
    """Volume descriptors, boot catalogue, and a root directory with nothing in it."""
    root = _record(b"\0")
    primary = VOLUME_DESCRIPTOR.build(
        {
            "type": 1,
            "version": 1,
            "flags": 0,
            "system_identifier": b"".ljust(32),
            "volume_identifier": b"INSTALLER".ljust(32),
            "space_size": total,
            "space_size_be": total,
            "escape_sequences": bytes([1, 0, 0, 1, 1, 0, 0, 1]).rjust(32, b"\0")[-32:],
            "logical_block_size": SECTOR,
            "logical_block_size_be": SECTOR,
            "path_table_size": 10,
            "path_table_size_be": 10,
            "l_path_table": _L_TABLE,
            "optional_l_path_table": 0,
            "m_path_table": _M_TABLE,
            "optional_m_path_table": 0,
            "root_directory_record": root,
        }
    )
    primary = bytearray(primary.ljust(SECTOR, b"\0"))
    primary[120:128] = bytes([1, 0, 0, 1, 1, 0, 0, 1])  # one volume, the first
    primary[190:813] = b" " * 623  # names of people and files
    primary[813:881] = (b"0" * 16 + b"\0") * 4  # no times
    primary[881] = 1
    boot = BOOT_RECORD_DESCRIPTOR.build(
        {
            "version": 1,
            "boot_system_identifier": EL_TORITO.ljust(32, b"\0"),
            "boot_identifier": bytes(32),
            "catalog_block": _CATALOG,
        }
    )
    l_table = bytes([1, 0]) + _ROOT.to_bytes(4, "little") + bytes([1, 0, 0, 0])
    m_table = bytes([1, 0]) + _ROOT.to_bytes(4, "big") + bytes([0, 1, 0, 0])
    sectors = (bytes(primary), boot, b"\xffCD001\x01", _catalog(), b"", root + _record(b"\x01"), l_table, m_table)
    return b"".join(sector.ljust(SECTOR, b"\0") for sector in sectors)


def _record(name: bytes) -> bytes:
    def both(value: int, width: int) -> bytes:
        return value.to_bytes(width, "little") + value.to_bytes(width, "big")

    parts = (bytes([34, 0]), both(_ROOT, 4), both(SECTOR, 4), bytes(7), bytes([2, 0, 0]), both(1, 2), bytes([1]), name)
    return b"".join(parts)


def _catalog() -> bytes:
    validation = bytearray(b"\x01" + bytes(29) + b"\x55\xaa")
    words = sum(int.from_bytes(validation[at : at + 2], "little") for at in range(0, 32, 2))
    validation[28:30] = (-words & 0xFFFF).to_bytes(2, "little")
    # Bootable, no emulation, at the usual address, 4 sectors of 512 bytes.
    entry = bytes([0x88, 0, 0, 0, 0, 0, 4, 0]) + _LOADER.to_bytes(4, "little")
    return bytes(validation) + entry.ljust(32, b"\0")


def _copy(source: Path, target: int, offset: int) -> None:
    with source.open("rb", buffering=0) as file:
        while chunk := file.read(_MIB):
            write_all(target, chunk, offset)
            offset += len(chunk)


def _sectors(size: int) -> int:
    return -(-size // SECTOR)


def _no_kernel(path: Path, why: str) -> UnsupportedError:
    return UnsupportedError(
        f"{path}: is not a Linux kernel for a PC BIOS: {why}", hint="Name the right file with --kernel."
    )
