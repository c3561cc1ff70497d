"""What is in a disk image, told by other tools: sfdisk the partitions, debugfs the files of ext, Linux those of XFS."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support import oracle

SECTOR = 512
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a tree: all that is not its place on the disk."""

    kind: str
    mode: int
    owner: tuple[int, int]
    mtime: float
    target: str
    digest: str


def raw_copy(image: Path, folder: Path) -> Path:
    """The disk in `image` as a raw file, holes left out."""
    raw = folder / f"{image.parent.name}.raw"
    oracle.run("qemu-img", "convert", "-O", "raw", image, raw)
    return raw


def partitions(raw: Path) -> dict[int, range]:
    """Bytes of each partition that holds something, by its number."""
    table = json.loads(oracle.run("sfdisk", "--json", raw).stdout)["partitiontable"]
    found = {}
    for entry in table["partitions"]:
        if entry["type"] not in {"5", "f"}:  # an extended partition is a container of others
            number = int(re.search(r"raw(\d+)$", entry["node"])[1])
            found[number] = range(entry["start"] * SECTOR, (entry["start"] + entry["size"]) * SECTOR)
    return found


def changed_partitions(before: Path, after: Path) -> set[int | None]:
    """Numbers of the partitions whose bytes differ; None stands for what is outside of all partitions."""
    areas = partitions(before)
    changed: set[int | None] = set()
    with before.open("rb") as old, after.open("rb") as new:
        assert before.stat().st_size == after.stat().st_size
        # Pieces are cut where partitions begin and end.
        edges = {edge for area in areas.values() for edge in (area.start, area.stop)}
        cuts = sorted({*range(0, before.stat().st_size, _PIECE), *edges, before.stat().st_size})
        for start, end in itertools.pairwise(cuts):
            if old.read(end - start) != new.read(end - start):
                changed.add(next((number for number, area in areas.items() if start in area), None))
    return changed


def check_ext(raw: Path, start: int) -> None:
    """e2fsck finds nothing, and no journal waits to be replayed, about which it would be silent."""
    oracle.run("e2fsck", "-fn", f"{raw}?offset={start}")
    superblock = oracle.run("debugfs", "-R", "show_super_stats -h", f"{raw}?offset={start}").stdout
    assert "Filesystem state:         clean\n" in superblock
    assert "needs_recovery" not in superblock


def ext_tree(raw: Path, start: int) -> dict[str, Entry]:
    """Every file of the ext file system that starts at byte `start`. A link's time is not known."""
    with TemporaryDirectory(dir=raw.parent) as folder:
        # fakeroot remembers the owners that debugfs gives to the files, and tells tar.
        script = 'mkdir root && "$1" -R "rdump / root" "$2" 2>&1 && tar -cf tree.tar -C root .'
        argv = ["sh", "-c", f'cd "$3" && {script}', "sh", oracle.find("debugfs"), f"{raw}?offset={start}", folder]
        oracle.run("fakeroot", *argv)
        with tarfile.open(Path(folder, "tree.tar")) as tar:
            return {member.name.removeprefix(".") or "/": _entry(tar, member) for member in tar}


def _entry(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    content = tar.extractfile(member) if member.isreg() else None
    digest = hashlib.file_digest(content, "md5").hexdigest() if content else ""
    mtime = 0 if member.issym() else member.mtime
    return Entry(member.type.decode(), member.mode, (member.uid, member.gid), mtime, member.linkname, digest)


# The guest's own find lists it. What libguestfs mounts for a guest's commands is not the guest's.
# Backslashes are doubled, as guestfish takes one level of escapes away.
_FIND_FORMAT = r"%p\\t%y\\t%m\\t%U\\t%G\\t%T@\\t%l\\n"
_LIST = """
set-backend direct
set-backend-setting force_tcg 1
add-drive {image} format:qcow2 readonly:true
run
mount-ro {device} /
checksums-out md5 / {folder}/sums
sh "find / -xdev -mindepth 1 ! -path /dev ! -path /proc ! -path /sys -printf '{format}'" | cat > {folder}/list
umount-all
xfs-repair {device} nomodify:true
"""


def xfs_tree(image: Path, device: str) -> dict[str, Entry]:
    """Every file of a clean XFS file system, as Linux shows it in the libguestfs appliance."""
    with TemporaryDirectory(dir=image.parent) as folder:
        script = _LIST.format(image=image, device=device, folder=folder, format=_FIND_FORMAT)
        verdict = oracle.run("guestfish", text_in=script).stdout
        assert verdict == "0\n", f"xfs_repair -n: {verdict}"
        sums = (line.split("  ./", 1) for line in Path(folder, "sums").read_text().splitlines())
        digests = {f"/{path}": digest for digest, path in sums}
        listed = (line.split("\t") for line in Path(folder, "list").read_text().strip().split("\n"))
        return {
            path: Entry(kind, int(mode, 8), (int(uid), int(gid)), float(mtime), target, digests.get(path, ""))
            for path, kind, mode, uid, gid, mtime, target in listed
        }
