"""A batch of many disks and ISOs with broken ones among them, and a check of every output by other tools.

python -m tests.batch.scale [DISKS [ISOS]]          # 1,000 and 60; takes some 8 GB for a while
"""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from imgkit.batch.ledger import State, open_ledger
from tests.cli.command import environment, imgkit, script
from tests.support import oracle
from tests.support.images import fixture

PLAN = """inputs = ["disks/*.qcow2", "isos/*.iso"]
output = "out/{stem}-serial{suffix}"
sha256 = true
[operation]
kind = "console enable"
timeout = 5
"""
FAMILIES = ("iso-grub-rescue", "iso-isolinux", "iso-grub", "iso-debian")
BROKEN = 20  # one of so many


def make(folder: Path, disks: int, isos: int) -> set[str]:
    """Fill a folder; the names of the images that are broken."""
    chance = random.Random(7)
    broken = set()
    images = [(f"disks/d{n:04}.qcow2", "small-qcow2") for n in range(disks)]
    images += [(f"isos/i{n:02}.iso", FAMILIES[n % len(FAMILIES)]) for n in range(isos)]
    for kind in ("disks", "isos"):
        (folder / kind).mkdir()
        mine = [name for name, _ in images if name.startswith(kind)]
        broken |= set(chance.sample(mine, -(-len(mine) // BROKEN)))
    for name, source in images:
        path = folder / name
        oracle.run("cp", "--reflink=auto", "--sparse=always", fixture(source), path)
        path.chmod(0o644)
        if name in broken:
            _break(path, chance)
    (folder / "plan.toml").write_text(PLAN)
    return broken


def _break(path: Path, chance: random.Random) -> None:
    match chance.randrange(3):
        case 0:
            path.write_bytes(b"")
        case 1:
            path.write_bytes(path.read_bytes()[: chance.randrange(1, 60_000)])
        case 2:
            path.write_bytes(chance.randbytes(300_000))


def check(folder: Path, broken: set[str]) -> Counter[str]:
    """Count what other tools find in each output, and hold it against the ledger. Raises AssertionError."""
    with open_ledger(folder / "plan.batch", alone=False) as ledger:
        records = list(ledger.records())
        counts = ledger.counts()
    good: dict[tuple[str, str], bool] = {}  # by kind and contents: equal outputs are looked at once
    found: Counter[str] = Counter()
    for record in records:
        name = f"{record.input.parent.name}/{record.input.name}"
        output = record.output
        assert isinstance(output, Path)
        if not output.exists():
            assert record.outcome.state is State.FAILED, name
            assert name in broken, f"{name}: {record.outcome.message}"
            assert record.outcome.message
            found["failed"] += 1
            continue
        digest = hashlib.sha256(output.read_bytes()).hexdigest()
        assert record.outcome.sha256 == digest, name
        key = output.suffix, digest
        if key not in good:
            (_check_disk if output.suffix == ".qcow2" else _check_iso)(output)
            good[key] = True
        assert name not in broken
        found["done"] += 1
    assert found["failed"] == len(broken) == counts[State.FAILED]
    assert found["done"] == counts[State.DONE] == len(records) - len(broken)
    assert {path.name for path in (folder / "out").iterdir()} == {
        record.output.name for record in records if record.outcome.state is State.DONE and record.output
    }
    return found


def _check_disk(image: Path) -> None:
    oracle.run("qemu-img", "check", image)
    with tempfile.TemporaryDirectory() as name:
        raw = Path(name) / "raw"
        oracle.run("qemu-img", "convert", "-O", "raw", image, raw)
        listed = oracle.run("sfdisk", "--dump", raw).stdout
        starts = [int(row.split("start=")[1].split(",")[0]) for row in listed.splitlines() if "start=" in row]
        assert starts
        for start in starts:
            oracle.run("e2fsck", "-fn", f"{raw}?offset={start * 512}")
    assert imgkit("console", "status", image).status == 0


def _check_iso(image: Path) -> None:
    oracle.run("xorriso", "-abort_on", "WARNING", "-indev", image, "-check_media", "--")
    assert imgkit("console", "status", image).status == 0


def main() -> None:
    disks, isos = [*map(int, sys.argv[1:]), 1000, 60][:2] if len(sys.argv) != 2 else (int(sys.argv[1]), 60)
    with tempfile.TemporaryDirectory(prefix="imgkit-scale-") as name:
        folder = Path(name)
        broken = make(folder, disks, isos)
        started = time.monotonic()
        command = [script(), "batch", "run", folder / "plan.toml"]
        done = subprocess.run(command, env=environment(SOURCE_DATE_EPOCH="1700000000"), check=False, stderr=-3)
        seconds = time.monotonic() - started
        assert done.returncode == bool(broken)
        found = check(folder, broken)
        print(f"{dict(found)} in {seconds:.1f} s; ledger and tools agree")


if __name__ == "__main__":
    main()
