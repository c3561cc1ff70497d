"""Layout of the header of an x86 Linux kernel, from `setup_sects` on; field names are those of the specification.

https://docs.kernel.org/arch/x86/boot.html, "The Real-Mode Kernel Header"
"""

from __future__ import annotations

from construct import Bytes, Int8ul, Int16ul, Int32ul, Int64ul, Struct

SETUP_SECTOR = 0x1F1
"""Offset of the header in the file."""

PROTOCOL = 0x020A
"""The oldest protocol that has all of these fields: kernel 2.6.31."""

BZIMAGE = Struct(
    "setup_sects" / Int8ul,
    "before" / Bytes(0x202 - 0x1F2),
    "header" / Bytes(4),
    "version" / Int16ul,
    "realmode" / Bytes(0x210 - 0x208),
    "type_of_loader" / Int8ul,
    "loadflags" / Int8ul,
    "setup_move_size" / Int16ul,
    "code32_start" / Int32ul,
    "ramdisk_image" / Int32ul,
    "ramdisk_size" / Int32ul,
    "bootsect_kludge" / Int32ul,
    "heap_end_ptr" / Int16ul,
    "ext_loader" / Int16ul,
    "cmd_line_ptr" / Int32ul,
    "initrd_addr_max" / Int32ul,
    "kernel_alignment" / Int32ul,
    "relocatable" / Int32ul,
    "cmdline_size" / Int32ul,
    "hardware" / Bytes(0x258 - 0x23C),
    "pref_address" / Int64ul,
    "init_size" / Int32ul,
)
