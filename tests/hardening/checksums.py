"""Makes the checksums of changed structures right, so that what stands behind them is reached."""

from __future__ import annotations

import zlib

from imgkit.filesystem.ext.library import load
from imgkit.volumes.lvm2.label import crc as lvm_crc


def fix_ext(data: bytearray) -> None:
    """Make the checksums of superblock, group descriptors and inodes right, where there are any."""
    features = int.from_bytes(data[1124:1128], "little")
    if not features & 0x400:  # metadata_csum
        return
    crc = load().crc32c
    superblock = data[1024:2048]
    data[2044:2048] = crc(0xFFFFFFFF, bytes(superblock[:1020])).to_bytes(4, "little")
    seed = crc(0xFFFFFFFF, bytes(superblock[0x68:0x78]))
    block = 1024 << min(int.from_bytes(superblock[24:28], "little"), 6)
    size = int.from_bytes(superblock[0xFE:0x100], "little") or 32
    at = block * (int.from_bytes(superblock[20:24], "little") + 1)
    raw = bytes(data[at : at + 0x1E]) + b"\0\0" + bytes(data[at + 0x20 : at + size])
    data[at + 0x1E : at + 0x20] = (crc(seed, bytes(4) + raw) & 0xFFFF).to_bytes(2, "little")
    table = int.from_bytes(data[at + 8 : at + 12], "little") * block
    inode_size = int.from_bytes(superblock[0x58:0x5A], "little")
    if inode_size not in (128, 256) or table + 64 * inode_size > len(data):
        return
    for number in range(1, 65):
        start = table + (number - 1) * inode_size
        inode = bytearray(data[start : start + inode_size])
        if not any(inode):
            continue
        inode[0x7C:0x7E] = bytes(2)
        has_high = inode_size > 128 and int.from_bytes(inode[0x80:0x82], "little") >= 4
        if has_high:
            inode[0x82:0x84] = bytes(2)
        own = crc(crc(seed, number.to_bytes(4, "little")), bytes(inode[0x64:0x68]))
        checksum = crc(own, bytes(inode))
        data[start + 0x7C : start + 0x7E] = (checksum & 0xFFFF).to_bytes(2, "little")
        if has_high:
            data[start + 0x82 : start + 0x84] = (checksum >> 16).to_bytes(2, "little")


def fix_gpt(data: bytearray) -> None:
    """Make the checksums of the table's header and array right, at the start and, in a whole disk, at the end."""
    for at in (512, len(data) - 512):
        if data[at : at + 8] != b"EFI PART":
            continue
        array = int.from_bytes(data[at + 72 : at + 80], "little") * 512
        length = int.from_bytes(data[at + 80 : at + 84], "little") * int.from_bytes(data[at + 84 : at + 88], "little")
        if length < len(data):
            data[at + 88 : at + 92] = zlib.crc32(data[array : array + length]).to_bytes(4, "little")
        data[at + 16 : at + 20] = bytes(4)
        data[at + 16 : at + 20] = zlib.crc32(data[at : at + 92]).to_bytes(4, "little")


def fix_lvm2(data: bytearray) -> None:
    """Make the checksums of the label, of the first metadata area and of its text right."""
    if data[512:520] == b"LABELONE":
        data[528:532] = lvm_crc(bytes(data[532:1024])).to_bytes(4, "little")
    offset, size = (int.from_bytes(data[at : at + 8], "little") for at in (4096 + 40, 4096 + 48))
    if offset >= 512 and size > 0 and 4096 + offset + size <= len(data):
        data[4152:4156] = lvm_crc(bytes(data[4096 + offset : 4096 + offset + size])).to_bytes(4, "little")
    data[4096:4100] = lvm_crc(bytes(data[4100 : 4096 + 512])).to_bytes(4, "little")
