"""Small disks with file systems of chosen contents, made in milliseconds by mke2fs, mkfs.vfat and sfdisk."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tests.support import oracle

SECTOR = 512
START = 2048

OS_RELEASE = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'


@dataclass(frozen=True)
class Part:
    """One partition: its file system, contents by path (bytes, or a str for a link's target), size in MiB.

    `content` stands there in place of a file system.
    """

    kind: str
    files: dict[str, bytes | str] = field(default_factory=dict)
    size: int = 16
    label: str = ""
    uuid: str = ""
    type: str = "L"
    partuuid: str = ""
    options: tuple[str, ...] = ()
    content: bytes = b""


def make_disk(image: Path, parts: list[Part], *, scheme: str = "gpt", numbers: list[int] | None = None) -> Path:
    """A raw disk with these partitions, in this order, numbered as `numbers` says."""
    script = [f"label: {scheme}", *(["label-id: 0x12345678"] if scheme == "dos" else [])]
    start, starts = START, []
    for index, part in enumerate(parts):
        sectors = part.size * (1 << 20) // SECTOR
        number = numbers[index] if numbers else index + 1
        uuid = f", uuid={part.partuuid}" if part.partuuid else ""
        script.append(f"{image}{number} : start={start}, size={sectors}, type={part.type}{uuid}")
        starts.append(start)
        start += sectors
    with image.open("wb") as file:
        file.truncate((start + 2048) * SECTOR)
    oracle.run("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", image, text_in="\n".join(script) + "\n")
    for part, first in zip(parts, starts, strict=True):
        _fill(image, part, first)
    return image


def make_file_system(image: Path, part: Part) -> Path:
    """A raw file that is one file system."""
    image.write_bytes(b"")
    _fill(image, part, 0)
    return image


def _fill(image: Path, part: Part, first: int) -> None:
    if not part.kind:
        if part.content:
            with image.open("r+b") as file:
                file.seek(first * SECTOR)
                file.write(part.content)
        return
    content = image.with_name(f"{image.name}.fs")
    with content.open("wb") as file:
        file.truncate(part.size << 20)
    if part.kind == "vfat":
        _make_fat(content, part)
    else:
        _make_other(content, part)
    data = content.read_bytes()
    content.unlink()
    with image.open("r+b") as file:
        file.seek(first * SECTOR)
        file.write(data)


def _make_fat(content: Path, part: Part) -> None:
    label = ["-n", part.label] if part.label else []
    serial = ["-i", part.uuid.replace("-", "")] if part.uuid else []
    oracle.run("mkfs.vfat", *label, *serial, content)
    for name in sorted({str(parent) for path in part.files for parent in Path(path).parents} - {"/"}):
        oracle.run("mmd", "-i", content, f"::{name}")
    for path, data in part.files.items():
        source = content.with_name("transfer")
        source.write_bytes(data if isinstance(data, bytes) else data.encode())
        oracle.run("mcopy", "-i", content, source, f"::{path}")
        source.unlink()


def _make_other(content: Path, part: Part) -> None:
    folder = content.with_name(f"{content.name}.tree")
    folder.mkdir()
    for path, data in part.files.items():
        target = folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, bytes):
            target.write_bytes(data)
        else:
            target.symlink_to(data)
    label = ["-L", part.label] if part.label else []
    uuid = ["-U", part.uuid] if part.uuid else []
    options = [*label, *uuid, *part.options]
    oracle.run("mke2fs", "-q", "-t", part.kind, "-d", folder, "-E", "root_owner=0:0", *options, content)
    oracle.run("rm", "-r", folder)
