"""What installer a tree holds, told by the files that each family puts on its ISOs, and for which machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.installers import Family, members
from imgkit.treeedits import TreeEdits

if TYPE_CHECKING:
    from imgkit.tree import Tree

_MAX_TOLD = 1 << 16


@dataclass(frozen=True, slots=True)
class Installer:
    """An installer: its family, its name as it gives it, its machine as `uname -m` names it, and the evidence.

    Name and machine are "" where they are not known. `evidence` is the path that gave the family away.
    """

    family: Family
    name: str
    arch: str
    evidence: str


_UEFI_LOADERS = {
    "bootx64.efi": "x86_64",
    "bootaa64.efi": "aarch64",
    "bootia32.efi": "i686",
    "bootriscv64.efi": "riscv64",
    "bootloongarch64.efi": "loongarch64",
}
_PLACES = {
    "/install.amd": "x86_64",
    "/install.386": "i686",
    "/install.a64": "aarch64",
    "/ppc": "ppc64le",
    "/suseboot": "ppc64le",
    "/generic.ins": "s390x",
}


def find_installer(tree: Tree) -> Installer | None:
    """What installer the tree holds; None where none is known, as for an installed system."""
    edits = TreeEdits(tree)
    for family, known in members():
        for mark in known.marks:
            found = edits.spelled(mark)
            wanted = known.mark_texts.get(mark)
            if found is not None and (wanted is None or wanted.search("\n".join(_lines(edits, mark)))):
                return Installer(family, _name(edits), _architecture(edits), found)
    return None


def _name(edits: TreeEdits) -> str:
    """What the medium says of itself, on one line of one of the places where families say it."""
    discinfo = _lines(edits, "/.discinfo")
    told = (
        *_lines(edits, "/.disk/info")[:1],
        *_lines(edits, "/.alpine-release")[:1],
        _treeinfo(edits).get("name", ""),
        *discinfo[1:2],
    )
    return next(filter(None, told), "")


def _architecture(edits: TreeEdits) -> str:
    """The machine, as .treeinfo says; else by the boot loaders that UEFI would start, or by places named for it."""
    told = _treeinfo(edits).get("arch", "")
    if told:
        return told
    efi = edits.spelled("/EFI/BOOT")
    loaders = {name.lower() for name in edits.names(efi)} if efi else set()
    found = next((arch for name, arch in _UEFI_LOADERS.items() if name in loaders), "")
    return found or next((arch for path, arch in _PLACES.items() if edits.spelled(path)), "")


def _treeinfo(edits: TreeEdits) -> dict[str, str]:
    """The section [general] of .treeinfo, which each of its versions has."""
    values: dict[str, str] = {}
    section = ""
    for line in _lines(edits, "/.treeinfo"):
        if line.startswith("["):
            section = line
        elif section == "[general]":
            name, _, value = line.partition("=")
            values[name.strip()] = value.strip()
    return values


def _lines(edits: TreeEdits, path: str) -> list[str]:
    """The lines of a small file, in what is read as text; none where there is no such file."""
    found = edits.spelled(path)
    if found is None or (edits.size(found) or 0) > _MAX_TOLD:
        return []
    return [line.strip() for line in (edits.read(found) or b"").decode(errors="replace").splitlines()]
