"""Orphans of an ext file system, held to what e2fsck makes of a copy, and many transactions of the journal."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from imgkit.errors import FormatError, ImgkitError, UnsupportedError
from imgkit.filesystem.ext.filesystem import open_ext
from imgkit.filesystem.ext.journal.log import read_log
from tests.filesystem.images import NOW, assert_ext_clean, contents, device_tree, ext_tree
from tests.filesystem.replays import (
    LOGS,
    MAGIC,
    assert_as_e2fsck_does,
    block_size_of,
    debugfs,
    logged,
    repaired,
    states,
)
from tests.support import oracle
from tests.support.ext_journal import journal_of, rotated
from tests.support.memorydevice import MemoryDevice


def with_orphan(tmp_path: Path, options: str, name: str, *commands: str) -> bytes:
    """A file system whose list of orphans has one inode."""
    image = tmp_path / "image"
    image.write_bytes(states(options)[2])
    number = oracle.run("debugfs", "-R", f"stat {name}", image).stdout.split()[1]
    return debugfs(image, *(command.format(f"<{number}>") for command in commands), f"ssv last_orphan {number}")


ORPHANS = {
    "deleted": ("/etc/odd", "unlink /etc/odd", "sif {} links_count 0"),
    "half deleted": ("/var/text", "unlink /var/text", "sif {} links_count 0", "sif {} size 0"),
    "truncated": ("/var/text", "sif {} size 3000"),
    "truncated at a block": ("/var/text", "sif {} size 4096"),
    "truncated to nothing": ("/etc/odd", "sif {} size 0"),
    "not truncated at all": ("/etc/odd", "sif {} size 12000"),
}


@pytest.mark.parametrize("name", ORPHANS)
@pytest.mark.parametrize("options", ["-t ext4 -b 1024", "-t ext3 -b 1024", "-t ext4 -b 4096"])
def test_orphans_become_what_e2fsck_makes_of_them(name: str, options: str, tmp_path: Path) -> None:
    data = with_orphan(tmp_path, options, *ORPHANS[name])
    expected = ext_tree(repaired(data, tmp_path))
    device = MemoryDevice(data)
    with open_ext(device, writable=True, now=NOW) as fs:
        fs.listdir("/")
        assert contents(device) == data
        fs.write("/new", b"x")
        fs.remove("/new")
        fs.flush()
    assert_ext_clean(device)
    assert device_tree(device) == expected


@pytest.mark.parametrize("number", [1, 8, 500, 1 << 20])
def test_lists_of_orphans_that_lead_nowhere(number: int, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(states("-t ext4 -b 1024")[2])
    data = debugfs(image, f"ssv last_orphan {number}")
    with pytest.raises(FormatError) as caught:
        open_ext(MemoryDevice(data), writable=True, now=NOW)
    assert caught.value.hint


def test_a_list_of_orphans_that_runs_in_a_circle(tmp_path: Path) -> None:
    data = with_orphan(tmp_path, "-t ext4 -b 1024", *ORPHANS["deleted"])
    number = int.from_bytes(data[1024 + 0xE8 : 1024 + 0xEC], "little")
    image = tmp_path / "image"
    data = debugfs(image, f"sif <{number}> dtime @{number:#x}")
    with pytest.raises(ImgkitError, match="twice"):
        open_ext(MemoryDevice(data), writable=True, now=NOW)


@pytest.mark.parametrize(("options", "version"), [LOGS[0], LOGS[2], LOGS[5], LOGS[7]])
@pytest.mark.parametrize("seed", [1, 2])
def test_many_transactions_with_writes_and_revocations(options: str, version: int, seed: int, tmp_path: Path) -> None:
    """Blocks that nobody uses are written and revoked in turn, so that all that counts is which write comes last."""
    noise, size = random.Random(seed), block_size_of(options)
    image = tmp_path / "image"
    image.write_bytes(states(options)[1])
    used = oracle.run("debugfs", "-R", "ffb 40 6000", image).stdout
    free = [int(word) for word in used.partition(":")[2].split()]
    assert len(free) == 40
    commands = [f"jo -c -v {version}" if version else "jo"]
    for number in range(12):
        blocks = noise.sample(free, noise.randrange(1, 20))
        revoked = noise.sample(free, noise.randrange(1, 6))
        start = noise.choice([MAGIC, b"data"])
        path = tmp_path / f"blocks-{number}"
        path.write_bytes(b"".join(start + noise.randbytes(size - 4) for _ in blocks))
        commands.append(f"jw -b {','.join(map(str, blocks))} {path}")
        commands.append(f"jw -r {','.join(map(str, revoked))}")
    data = debugfs(image, *commands, "jc")
    assert read_log(journal_of(data)).transactions == 24
    assert_as_e2fsck_does(rotated(data, -noise.randrange(60)), tmp_path)


def test_more_than_memory_should_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgkit.filesystem.ext.journal.recovery._MOST_BYTES", 20 << 10)
    with pytest.raises(UnsupportedError, match="too many") as caught:
        open_ext(MemoryDevice(logged("-t ext4 -b 1024", 3)), writable=False, now=NOW)
    assert "--engine" in (caught.value.hint or "")
