"""The boot sector of a kernel's CD: machine code that loads what its table names, and enters a Linux kernel.

The firmware loads it to address 0x7C00. It reads 32 KiB at a time (INT 13h, extended read) to 0x20000 and has them
copied to where they belong (INT 15h, AH=87h). What it works with lies behind the code:

    0x7DC0  six segment descriptors, source and target the third and the fourth
    0x7DF0  the packet of the extended read: size, sectors, offset, segment, first sector
    0x7E00  the table: first sector, sectors, address, 0, in 32 bits each; an entry without sectors is its end

INT 13h, extended read: Enhanced Disk Drive Specification 3.0. INT 15h, AH=87h: https://www.ctyme.com/intr/rb-1527.htm
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_DESCRIPTORS, _PACKET, _TABLE, _SIZE = 0x1C0, 0x1F0, 0x200, 2048
_DESCRIPTOR = struct.Struct("<HHBBBB")  # limit, base, base, access, flags, base
_BUFFER = 0x20000

# Machine code, and what it is in the words of the GNU assembler.
LISTING = r"""
    ea057c0000             | start: ljmp $0, $0x7c05
    31c0                   | begin: xorw %ax, %ax
    8ed8                   |        movw %ax, %ds
    8ec0                   |        movw %ax, %es
    8ed0                   |        movw %ax, %ss
    bc007c                 |        movw $0x7c00, %sp
    bb007e                 |        movw $TABLE, %bx
    668b4704               | next:  movl 4(%bx), %eax
    6685c0                 |        testl %eax, %eax
    745f                   |        jz enter
    66b910000000           |        movl $16, %ecx                # sectors, 32 KiB, what the buffer holds
    6639c8                 |        cmpl %ecx, %eax
    7303                   |        jae read
    6689c1                 |        movl %eax, %ecx
    890ef27d               | read:  movw %cx, PACKET+2
    668b07                 |        movl (%bx), %eax
    66a3f87d               |        movl %eax, PACKET+8
    bef07d                 |        movw $PACKET, %si
    b442                   |        movb $0x42, %ah               # read; DL is the drive, as the firmware gave it
    cd13                   |        int $0x13
    7253                   |        jc fail
    668b4708               |        movl 8(%bx), %eax
    a3da7d                 |        movw %ax, 0x7dda              # of the target's descriptor: bytes 2, 3, 4 and 7
    66c1e810               |        shrl $16, %eax
    a2dc7d                 |        movb %al, 0x7ddc
    8826df7d               |        movb %ah, 0x7ddf
    51                     |        pushw %cx
    c1e10a                 |        shlw $10, %cx                 # words
    bec07d                 |        movw $0x7dc0, %si
    b487                   |        movb $0x87, %ah               # copy beyond the first MiB
    cd15                   |        int $0x15
    59                     |        popw %cx
    7233                   |        jc fail
    660fb7c9               |        movzwl %cx, %ecx
    66010f                 |        addl %ecx, (%bx)
    6689c8                 |        movl %ecx, %eax
    66c1e00b               |        shll $11, %eax                # bytes
    66014708               |        addl %eax, 8(%bx)
    66294f04               |        subl %ecx, 4(%bx)
    759d                   |        jnz next
    83c310                 |        addw $16, %bx
    eb98                   |        jmp next
    fa                     | enter: cli
    b80010                 |        movw $0x1000, %ax
    8ed8                   |        movw %ax, %ds
    8ec0                   |        movw %ax, %es
    8ee0                   |        movw %ax, %fs
    8ee8                   |        movw %ax, %gs
    8ed0                   |        movw %ax, %ss
    bc00e0                 |        movw $0xe000, %sp
    ea00002010             |        ljmp $0x1020, $0
    bea17c                 | fail:  movw $0x7c00+text-start, %si
    ac                     | say:   lodsb
    84c0                   |        testb %al, %al
    7406                   |        jz done
    baf803                 |        movw $0x3f8, %dx
    ee                     |        outb %al, %dx
    ebf5                   |        jmp say
    cd18                   | done:  int $0x18                     # the firmware goes on with the next device
    696d676b69743a20       | text:  .ascii "imgkit: "
    746865206b65726e656c   |        .ascii "the kernel"
    2063616e6e6f7420626520 |        .ascii " cannot be "
    6c6f616465640d0a00     |        .asciz "loaded\r\n"
"""


def boot_sector(pieces: Sequence[tuple[int, int, int]]) -> bytes:
    """The boot sector (2048 bytes) for pieces of (first sector, sectors, address); empty ones are left out."""
    buffer = _DESCRIPTOR.pack(0xFFFF, _BUFFER & 0xFFFF, _BUFFER >> 16, 0x93, 0, 0)
    target = _DESCRIPTOR.pack(0xFFFF, 0, 0, 0x93, 0, 0)
    descriptors = bytes(16) + buffer + target + bytes(16)
    packet = struct.pack("<BBHHHQ", 16, 0, 0, 0, _BUFFER >> 4, 0)
    table = b"".join(struct.pack("<IIII", *piece, 0) for piece in pieces if piece[1])
    code = bytes.fromhex("".join(line.partition("|")[0] for line in LISTING.splitlines()))
    return (code.ljust(_DESCRIPTORS, b"\0") + descriptors + packet + table).ljust(_SIZE, b"\0")
