"""Journals to be replayed: with debugfs's own logs and with crash copies, held to what e2fsck makes of a copy."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from imgkit.errors import FormatError, UnsupportedError
from imgkit.filesystem.ext.filesystem import open_ext
from imgkit.filesystem.ext.journal import layout
from imgkit.filesystem.ext.journal.log import read_log
from tests.cli.command import imgkit
from tests.filesystem.images import NOW, assert_ext_clean, contents, device_tree, ext_tree
from tests.filesystem.replays import (
    LOGS,
    MAGIC,
    assert_as_e2fsck_does,
    assert_editable,
    block_size_of,
    debugfs,
    logged,
    repaired,
    replayed,
    states,
)
from tests.support import oracle
from tests.support.crash import crash
from tests.support.ext_journal import differing, journal_of, rotated, with_log, with_superblock
from tests.support.memorydevice import MemoryDevice


@pytest.mark.parametrize(("options", "version"), LOGS)
def test_logs_of_debugfs(options: str, version: int, tmp_path: Path) -> None:
    data = logged(options, version)
    log = read_log(journal_of(data))
    assert log.transactions == 2
    assert any(write.escaped for write in log.writes.values())
    assert_as_e2fsck_does(data, tmp_path)
    assert_editable(data)
    with open_ext(MemoryDevice(data), writable=False, now=NOW) as fs:
        assert fs.listdir("/etc") == ["odd", "other"]
        assert fs.read("/var/text") == b"hello\n" * 3000
        assert fs.read("/etc/other") == MAGIC * 3000


@pytest.mark.parametrize(("options", "version"), [LOGS[0], LOGS[4], LOGS[7]])
@pytest.mark.parametrize("back", [1, 2, 9, 30])
def test_round_the_end_of_the_ring(options: str, version: int, back: int, tmp_path: Path) -> None:
    data = rotated(logged(options, version), -back)
    journal = journal_of(data)
    assert journal.start == journal.length - back
    assert_as_e2fsck_does(data, tmp_path)


@pytest.mark.parametrize(("options", "version"), LOGS)
def test_revoked_blocks_keep_what_they_have(options: str, version: int, tmp_path: Path) -> None:
    size = block_size_of(options)
    before, after, _ = states(options)
    revoked = [number for number in differing(before, after, size) if after[number * size :].startswith(MAGIC)][:3]
    assert revoked
    data = with_log(tmp_path / "image", (before, after), size, version=version, revoked=revoked)
    log = read_log(journal_of(data))
    assert log.transactions == 2
    assert not log.writes.keys() & set(revoked)
    assert_as_e2fsck_does(data, tmp_path)
    # A later transaction writes them all the same.
    image = tmp_path / "image"
    block = tmp_path / "block"
    block.write_bytes(after[revoked[0] * size : (revoked[0] + 1) * size])
    again = debugfs(image, f"jo -c -v {version}" if version else "jo", f"jw -b {revoked[0]} {block}", "jc")
    assert revoked[0] in read_log(journal_of(again)).writes
    assert_as_e2fsck_does(again, tmp_path)


@pytest.mark.parametrize(("options", "version"), [LOGS[0], LOGS[5]])
def test_what_was_not_committed_does_not_count(options: str, version: int, tmp_path: Path) -> None:
    size = block_size_of(options)
    before, after, later = states(options)
    image, blocks = tmp_path / "image", tmp_path / "blocks"
    with_log(image, (before, after), size, version=version)
    numbers = differing(after, later, size)
    blocks.write_bytes(b"".join(later[n * size : (n + 1) * size] for n in numbers))
    data = debugfs(
        image, f"jo -c -v {version}" if version else "jo", f"jw -c -b {','.join(map(str, numbers))} {blocks}", "jc"
    )
    assert read_log(journal_of(data)).transactions == 1
    assert_as_e2fsck_does(data, tmp_path)


def test_an_empty_log_is_one_without_transactions(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(states("-t ext4 -b 1024")[2])
    data = debugfs(image, "feature needs_recovery")
    assert_as_e2fsck_does(data, tmp_path)
    assert_editable(data)


def test_an_orphan_file_that_is_in_use_and_empty(tmp_path: Path) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(8 << 20)
    oracle.run("mke2fs", "-q", "-F", "-t", "ext4", "-O", "orphan_file", image)
    data = debugfs(image, "feature orphan_present")
    device = MemoryDevice(data)
    with open_ext(device, writable=True, now=NOW) as fs:
        assert contents(device) == data
        fs.write("/new", b"x")
        fs.flush()
    assert_ext_clean(device)
    assert "orphan_present" not in oracle.run("dumpe2fs", "-h", repaired(contents(device), tmp_path)).stdout


@pytest.mark.parametrize(("options", "version"), [LOGS[0], LOGS[2]])
@pytest.mark.parametrize(
    ("kind", "words"),
    [(layout.DESCRIPTOR_BLOCK, "a checksum does not match"), (layout.COMMIT_BLOCK, "a checksum does not match")],
)
def test_a_wrong_checksum_in_a_committed_transaction(options: str, version: int, kind: int, words: str) -> None:
    data = bytearray(logged(options, version))
    journal = journal_of(data)
    size = journal.volume.superblock.block_size
    for number in range(journal.start, journal.length):
        if layout.HEADER.unpack_from(journal.read(number))[:2] == (layout.MAGIC, kind):
            at = journal.blocks.physical(number) * size
            data[at + size - 20] ^= 1
            break
    with pytest.raises(FormatError, match=words) as caught:
        open_ext(MemoryDevice(data), writable=False, now=NOW)
    assert (caught.value.structure, caught.value.offset) == ("ext journal", at)


@pytest.mark.parametrize(("options", "version"), [LOGS[0], LOGS[2]])
def test_a_wrong_checksum_of_a_logged_block(options: str, version: int) -> None:
    data = bytearray(logged(options, version))
    journal = journal_of(data)
    source = next(iter(read_log(journal).writes.values())).source
    at = journal.blocks.physical(source) * journal.volume.superblock.block_size
    data[at + 100] ^= 1
    with pytest.raises(FormatError, match="checksum of a block of transaction") as caught:
        open_ext(MemoryDevice(data), writable=False, now=NOW)
    assert caught.value.offset == at


@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [
        (layout.START_OFFSET, 1 << 20, "starts outside"),
        (0x14, 0, "longer than its file"),
        (0x10, 1 << 24, "longer than its file"),
        (0x40, 2, "file systems use it"),
        (0x24, 1, "checksums of several kinds"),
        (0x28, 0x16, "commits asynchronously"),
        (0x28, 0x32, "fast commits"),
        (0x28, 0x52, "not known"),
        (0x28, 0x1A, "several kinds"),
    ],
)
def test_superblocks_that_are_refused(offset: int, value: int, words: str) -> None:
    data = logged("-t ext4 -b 1024", 3)
    raw = bytearray(journal_of(data).raw)
    raw[offset : offset + 4] = value.to_bytes(4, "big")
    with pytest.raises((FormatError, UnsupportedError), match=words) as caught:
        open_ext(MemoryDevice(with_superblock(data, bytes(raw))), writable=False, now=NOW)
    assert caught.value.hint


@pytest.mark.parametrize("options", ["-t ext4 -b 1024", "-t ext3 -b 1024"])
@pytest.mark.parametrize("is_clean", [True, False])
@pytest.mark.parametrize("broken", ["two users", "start behind the end", "start far outside"])
def test_a_superblock_that_e2fsck_calls_broken_is_refused(
    options: str, is_clean: bool, broken: str, tmp_path: Path
) -> None:
    data = states(options)[1] if is_clean else logged(options, 3 if "ext4" in options else 0)
    journal = journal_of(data)
    offset, value = {
        "two users": (0x40, 2),
        "start behind the end": (layout.START_OFFSET, journal.length),
        "start far outside": (layout.START_OFFSET, 1 << 20),
    }[broken]
    raw = bytearray(journal.raw)
    raw[offset : offset + 4] = value.to_bytes(4, "big")
    image = tmp_path / "image"
    image.write_bytes(with_superblock(data, bytes(raw)))
    for words in (["ls", image, "/"], ["write", image, "/etc/new", "--in-place"]):
        done = imgkit(*words, stdin=b"x")
        assert done.status == 4, done.stderr
        assert "journal" in done.stderr
    assert image.read_bytes() == with_superblock(data, bytes(raw))
    # -n looks at the fields of the superblock only; where the log starts is looked at when it is to be replayed.
    looked, mended = (oracle.run("e2fsck", how, image, check=False) for how in ("-fn", "-fp"))
    assert looked.returncode or mended.returncode, looked.stdout + mended.stdout


@pytest.mark.parametrize("options", ["-t ext4 -b 1024", "-t ext3 -b 1024"])
def test_a_log_that_starts_in_a_file_system_that_says_it_has_none(options: str, tmp_path: Path) -> None:
    data = states(options)[1]
    journal = journal_of(data)
    raw = bytearray(journal.raw)
    raw[layout.START_OFFSET : layout.START_OFFSET + 4] = (journal.length // 2).to_bytes(4, "big")
    image = tmp_path / "image"
    image.write_bytes(with_superblock(data, bytes(raw)))
    with pytest.raises(UnsupportedError, match="holds transactions to be replayed"):
        open_ext(MemoryDevice(image.read_bytes()), writable=True, now=NOW)
    assert "journal has data" in oracle.run("e2fsck", "-fp", image, check=False).stdout


def test_checksums_of_whole_transactions_are_refused(tmp_path: Path) -> None:
    data = logged("-t ext4 -b 1024 -O ^metadata_csum", 0)
    raw = bytearray(journal_of(data).raw)
    raw[0x27] = 1
    with pytest.raises(UnsupportedError, match="checksums of whole transactions") as caught:
        open_ext(MemoryDevice(with_superblock(data, bytes(raw))), writable=False, now=NOW)
    assert "--engine" in (caught.value.hint or "")


def test_an_aborted_journal_is_refused() -> None:
    data = logged("-t ext4 -b 1024", 3)
    raw = bytearray(journal_of(data).raw)
    raw[layout.START_OFFSET + 4 : layout.START_OFFSET + 8] = (-5).to_bytes(4, "big", signed=True)
    with pytest.raises(UnsupportedError, match="aborted"):
        open_ext(MemoryDevice(with_superblock(data, bytes(raw))), writable=False, now=NOW)


@pytest.mark.parametrize("target", ["outside", "journal"])
def test_a_log_that_writes_where_it_must_not(target: str) -> None:
    data = bytearray(logged("-t ext3 -b 1024", 0))
    journal = journal_of(data)
    at = journal.blocks.physical(journal.start) * 1024 + layout.HEADER.size
    number = journal.blocks.physical(journal.length - 1) if target == "journal" else 1 << 24
    data[at : at + 4] = number.to_bytes(4, "big")
    with pytest.raises(FormatError, match="its own" if target == "journal" else "does not exist"):
        open_ext(MemoryDevice(data), writable=False, now=NOW)


def test_a_log_without_end_costs_one_pass() -> None:
    data = bytearray(logged("-t ext3 -b 1024", 0))
    journal = journal_of(data)
    header = layout.HEADER.pack(layout.MAGIC, layout.REVOKE_BLOCK, journal.sequence)
    block = (header + layout.REVOKE_COUNT.pack(1024)).ljust(1024, b"\1")
    for number in range(journal.first, journal.length):
        at = journal.blocks.physical(number) * 1024
        data[at : at + 1024] = block
    assert read_log(journal_of(data)).transactions == 0


@pytest.mark.parametrize(("options", "version"), [LOGS[0], LOGS[2], LOGS[5], LOGS[7]])
def test_flipped_bytes(options: str, version: int) -> None:
    data = logged(options, version)
    journal = journal_of(data)
    noise, size = random.Random(5), block_size_of(options)
    used = 2 * len(read_log(journal).writes)
    for _ in range(60):
        damaged = bytearray(data)
        at = journal.blocks.physical(noise.randrange(used)) * size
        for _ in range(noise.randrange(1, 4)):
            damaged[at + noise.choice([noise.randrange(64), noise.randrange(size)])] ^= 1 << noise.randrange(8)
        try:
            with open_ext(MemoryDevice(damaged), writable=True, now=NOW) as fs:
                fs.listdir("/")
                fs.write("/new", b"x")
        except (FormatError, UnsupportedError):
            pass


# Options of mke2fs and mount, a seed, and the steps after which the kernel is killed.
CRASHES = (
    ("-t ext4 -b 1024", "commit=1", 1, 40),
    ("-t ext4 -b 4096 -O orphan_file", "commit=1", 2, 50),
    ("-t ext4 -b 1024", "commit=1,data=journal", 3, 60),
    ("-t ext3 -b 1024", "commit=1,data=journal", 4, 30),
    ("-t ext4 -b 1024 -O ^metadata_csum", "commit=2", 5, 30),
)


@pytest.mark.parametrize(("options", "mount", "seed", "steps"), CRASHES)
def test_crash_copies(options: str, mount: str, seed: int, steps: int, tmp_path: Path) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(24 << 20)
    oracle.run("mke2fs", "-q", "-F", "-J", "size=4", *options.split(), image)
    crash(image, seed=seed, steps=steps, options=mount)
    data = image.read_bytes()
    expected = ext_tree(repaired(data, tmp_path))
    device = MemoryDevice(replayed(data))
    assert device_tree(device) == expected
    assert_ext_clean(device)
    assert_editable(data)
