"""Telling file systems apart: blkid is the oracle, for images that the mkfs tools made and for recorded ones."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from imgkit.errors import UnclassifiedImageError, UnsupportedError
from imgkit.filesystem.probe import open_filesystem, probe
from tests.filesystem.images import EXT_FEATURES, FAT_FORMATS, FileDevice, ext_bytes, fat_bytes
from tests.support import corpus, oracle
from tests.support.memorydevice import MemoryDevice

if TYPE_CHECKING:
    from pathlib import Path

# Name: size, and the command that fills the image.
MAKERS = {
    "xfs": ("400M", "mkfs.xfs -q -L rootfs {}"),
    "btrfs": ("200M", "mkfs.btrfs -q -L data {}"),
    "swap": ("10M", "mkswap -L swappy {}"),
    "swap64k": ("10M", "mkswap -p 65536 {}"),
    "luks1": ("20M", "cryptsetup luksFormat -q --type luks1 --pbkdf-force-iterations 1000 {} {key}"),
    "luks2": (
        "40M",
        "cryptsetup luksFormat -q --type luks2 --label top --pbkdf pbkdf2 --pbkdf-force-iterations 1000 {} {key}",
    ),
    "ntfs": ("20M", "mkfs.ntfs -q -F {}"),
    "exfat": ("20M", "mkfs.exfat {}"),
    "f2fs": ("100M", "mkfs.f2fs -q -l flashy {}"),
    "journal": ("8M", "mke2fs -q -O journal_dev {}"),
}
KNOWN_WITHOUT_LABEL = ("ntfs", "exfat")


def blkid(image: Path) -> dict[str, str]:
    lines = oracle.run("blkid", "-p", "-o", "export", image, check=False).stdout.splitlines()
    return dict(shlex.split(line)[0].split("=", 1) for line in lines if "=" in line)


def assert_like_blkid(image: Path, *, label: bool = True) -> None:
    truth = blkid(image)
    device = FileDevice(image)
    found = probe(device)
    device.close()
    assert found is not None
    assert (found.kind, found.uuid) == (truth["TYPE"], truth.get("UUID", ""))
    assert not label or found.label == truth.get("LABEL", "")


@pytest.mark.parametrize("name", MAKERS)
def test_made(name: str, tmp_path: Path) -> None:
    size, command = MAKERS[name]
    image, key = tmp_path / "image", tmp_path / "key"
    key.write_text("secret")
    image.touch()
    oracle.run("truncate", "-s", size, image)
    oracle.run(*shlex.split(command.format(image, key=key)))
    assert_like_blkid(image, label=name not in KNOWN_WITHOUT_LABEL)


@pytest.mark.parametrize("options", EXT_FEATURES)
def test_ext(options: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(ext_bytes(options + " -L my-root"))
    assert_like_blkid(image)


@pytest.mark.parametrize(("options", "size"), FAT_FORMATS)
@pytest.mark.parametrize("label", ["EFI", "a b", "NO NAME"])
def test_fat(options: str, size: str, label: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(fat_bytes(options, size, label))
    assert_like_blkid(image)


def test_squashfs_and_iso(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("text")
    oracle.run("mksquashfs", source, tmp_path / "squash", "-quiet", "-no-progress")
    oracle.run("genisoimage", "-quiet", "-r", "-V", "A_VOLUME", "-o", tmp_path / "iso", source)
    assert_like_blkid(tmp_path / "squash")
    assert_like_blkid(tmp_path / "iso")


def test_raid_metadata(tmp_path: Path) -> None:
    """mdadm needs real devices: what it writes is laid out by hand, and blkid says whether that is right."""
    uuid, name = bytes(range(16)), b"host:array".ljust(32, b"\0")
    for version, offset in (("1.0", (20 << 20) - 8192), ("1.1", 0), ("1.2", 4096)):
        superblock = bytearray(1024)
        superblock[0:8] = (0xA92B4EFC).to_bytes(4, "little") + (1).to_bytes(4, "little")
        superblock[16:64] = uuid + name
        superblock[144:152] = (offset // 512).to_bytes(8, "little")
        superblock[216:220] = _raid_checksum(superblock)
        image = tmp_path / version
        data = bytearray(20 << 20)
        data[offset : offset + 1024] = superblock
        image.write_bytes(data)
        assert_like_blkid(image)
        assert probe(MemoryDevice(data)).version == version


def _raid_checksum(superblock: bytearray) -> bytes:
    words = (int.from_bytes(superblock[at : at + 4], "little") for at in range(0, 256, 4))
    total = sum(words)
    return ((total & 0xFFFFFFFF) + (total >> 32)).to_bytes(4, "little")


@pytest.mark.corpus
@pytest.mark.parametrize("name", sorted(name for name in corpus.manifest("ext4") if name.endswith(".img.xz")))
def test_recorded(name: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(corpus.content(name))
    assert_like_blkid(image)


@pytest.mark.parametrize("data", [b"", bytes(100), bytes(1 << 20), bytes(range(256)) * 4096])
def test_nothing_known(data: bytes) -> None:
    device = MemoryDevice(data)
    assert probe(device) is None
    with pytest.raises(UnclassifiedImageError):
        open_filesystem(device, writable=False, now=0)


def test_what_is_not_served_is_named(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.touch()
    oracle.run("truncate", "-s", "400M", image)
    oracle.run("mkfs.xfs", "-q", image)
    device = FileDevice(image)
    with pytest.raises(UnsupportedError, match="xfs") as caught:
        open_filesystem(device, writable=False, now=0)
    device.close()
    assert "--engine guestfs" in (caught.value.hint or "")
