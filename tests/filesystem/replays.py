"""File systems with a journal to be replayed, and e2fsck's opinion on the result."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from imgkit.filesystem.base import Check
from imgkit.filesystem.ext import library
from imgkit.filesystem.ext.filesystem import open_ext
from imgkit.filesystem.ext.journal.recovery import recover
from tests.filesystem.images import NOW, assert_ext_clean, contents, device_tree, ext_tree
from tests.support import oracle
from tests.support.ext_journal import differing, journal_of, with_log
from tests.support.memorydevice import MemoryDevice

MAGIC = b"\xc0\x3b\x39\x98"


# Options of mke2fs, and the version of the checksums in the log, 0 for none.
LOGS = (
    ("-t ext4 -b 1024", 3),
    ("-t ext4 -b 4096", 3),
    ("-t ext4 -b 1024", 2),
    ("-t ext4 -b 1024 -O ^64bit", 3),
    ("-t ext4 -b 1024 -O ^64bit", 2),
    ("-t ext4 -b 1024 -O ^metadata_csum", 0),
    ("-t ext4 -b 2048 -O ^metadata_csum,^64bit", 0),
    ("-t ext3 -b 1024", 0),
)


def block_size_of(options: str) -> int:
    return int(options.split()[3])


def debugfs(image: Path, *commands: str) -> bytes:
    oracle.run("debugfs", "-w", "-f", "-", image, text_in="\n".join(commands) + "\n")
    return image.read_bytes()


@functools.cache
def states(options: str) -> tuple[bytes, ...]:
    """A file system of 12 MiB: empty, with files, and with some of these changed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image, text, odd = folder / "image", folder / "text", folder / "odd"
        with image.open("wb") as file:
            file.truncate(12 << 20)
        oracle.run("mke2fs", "-q", "-F", "-J", "size=4", "-O", "^resize_inode", *options.split(), image)
        empty = image.read_bytes()
        text.write_bytes(b"hello\n" * 3000)
        odd.write_bytes(MAGIC * 3000)  # which a journal has to escape
        first = debugfs(image, "mkdir /etc", f"write {text} /etc/text", f"write {odd} /etc/odd", "symlink /link etc")
        second = debugfs(image, "rm /etc/text", f"write {odd} /etc/other", "mkdir /var", f"write {text} /var/text")
    return empty, first, second


@functools.cache
def logged(options: str, version: int) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        return with_log(Path(name) / "image", states(options), block_size_of(options), version=version)


def repaired(data: bytes, folder: Path) -> Path:
    """What e2fsck makes of it."""
    image = folder / "repaired"
    image.write_bytes(data)
    assert oracle.run("e2fsck", "-fy", image, check=False).returncode in (0, 1)
    return image


def replayed(data: bytes) -> bytes:
    overlay = recover(MemoryDevice(data), library.load(), now=NOW)
    assert overlay is not None
    return overlay.read_at(0, len(data))


def assert_as_e2fsck_does(data: bytes, folder: Path) -> None:
    """The replay gives e2fsck's bytes everywhere but in superblocks and in the journal, and its tree."""
    expected, ours = repaired(data, folder), replayed(data)
    journal = journal_of(data)
    size = journal.volume.superblock.block_size
    numbers = [n for n in differing(expected.read_bytes(), ours, size) if not journal.holds(n)]
    superblocks = {start for start, _, what in journal.volume.metadata if "superblock" in what} | {1024 // size}
    assert set(numbers) <= superblocks
    assert journal_of(ours).start == journal_of(expected.read_bytes()).start == 0
    assert journal_of(ours).sequence == journal_of(expected.read_bytes()).sequence
    device = MemoryDevice(ours)
    assert device_tree(device) == ext_tree(expected)
    assert_ext_clean(device)


def assert_editable(data: bytes) -> None:
    """Reading leaves the device as it was, an edit brings the replay onto it, and e2fsck is content."""
    device = MemoryDevice(data)
    told: list[str] = []
    with open_ext(device, writable=True, now=NOW, on_notice=told.append) as fs:
        fs.listdir("/")
        assert contents(device) == data
        assert "journal is replayed" in told[0]
        fs.write("/new", b"x" * 5000)
        fs.flush()
    assert_ext_clean(device)
    with open_ext(device, writable=False, now=NOW, check=Check.FULL, on_notice=told.append) as fs:
        assert fs.read("/new") == b"x" * 5000
    assert len(told) == 1
