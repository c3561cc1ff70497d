"""systemd's units as a guest has them on disk: where they are, what masks them, what pulls them in.

Only what lies in the image is seen; what generators make at boot is told by `login`.

The search path: https://www.freedesktop.org/software/systemd/man/latest/systemd.unit.html
Generators: https://www.freedesktop.org/software/systemd/man/latest/systemd.generator.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.treeedits import TreeEdits

OWN = "/etc/systemd/system"
"""Where the administrator's units and links are."""

FOLDERS = (OWN, "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
_GENERATORS = tuple(f"{folder}-generators" for folder in FOLDERS)
_MASK = "/dev/null"
_SETTING = re.compile(r"^[ \t]*+(\w++)[ \t]*+=[ \t]*+(.*)", re.MULTILINE)
_CONTINUED = re.compile(r"\\\n")
_PULLS = ("Wants", "Requires", "BindsTo", "Upholds")
_MAX_TARGETS = 500


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: the file that has it, whether that masks it, and its settings with those of its drop-ins, in order."""

    name: str
    path: str
    is_masked: bool
    settings: tuple[tuple[str, str], ...] = ()

    def values(self, key: str) -> list[str]:
        """The values of a setting, specifiers of the instance resolved; an empty one discards those before it."""
        found: list[str] = []
        for name, value in self.settings:
            if name == key:
                found = [*found, self._resolved(value)] if value else []
        return found

    def _resolved(self, value: str) -> str:
        instance = self.name.rpartition(".")[0].partition("@")[2]
        return value.replace("%I", unescape(instance)).replace("%i", instance)


def unescape(text: str) -> str:
    """What a part of a unit's name stands for, as `systemd-escape --unescape` gives it."""
    return re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), text.replace("-", "/"))


def find(edits: TreeEdits, name: str) -> Unit | None:
    """The unit of this name, or of its template; None where there is neither."""
    template = re.sub(r"@[^.]*", "@", name)
    for wanted in dict.fromkeys((name, template)):
        for folder in FOLDERS:
            path = f"{folder}/{wanted}"
            if edits.is_there(path):
                if is_mask(edits, path):
                    return Unit(name, path, True)
                texts = [edits.text(path) or "", *_drop_ins(edits, dict.fromkeys((template, name)))]
                found = [setting for text in texts for setting in _SETTING.findall(_CONTINUED.sub(" ", text))]
                return Unit(name, path, False, tuple((key, value.rstrip(" \t")) for key, value in found))
    return None


def is_mask(edits: TreeEdits, path: str) -> bool:
    """Whether what is at the path is there to hide what has its name elsewhere: a link to /dev/null, an empty file."""
    return edits.link_target(path) == _MASK or edits.size(path) == 0


def generator(edits: TreeEdits, name: str) -> str:
    """What becomes of a generator: "" where it runs or nothing is known, else why it does not."""
    for folder in _GENERATORS:
        path = f"{folder}/{name}"
        if edits.is_there(path):
            if is_mask(edits, path):
                return f"{path} masks it"
            return "" if folder in _GENERATORS[2:] else f"{path} replaces it" if not edits.link_target(path) else ""
    others = any(edits.names(folder) for folder in _GENERATORS[2:])
    return "the guest does not have it" if others else ""


def canonical(edits: TreeEdits, name: str) -> str:
    """The name behind an alias, which is a link to another unit: graphical.target for default.target, say."""
    for _ in range(10):
        target = next((t for folder in FOLDERS if (t := edits.link_target(f"{folder}/{name}"))), "")
        last = target.rpartition("/")[2]
        if not target or target == _MASK or not last.endswith(name.rpartition(".")[2]) or last == name:
            return name
        name = last
    return name


def pulled_in(edits: TreeEdits, name: str) -> Iterator[str]:
    """The units that a unit starts with it, by its links and settings."""
    for kind in ("wants", "requires", "upholds"):
        for folder in _folders_with(edits, f"{name}.{kind}"):
            yield from edits.names(f"{folder}/{name}.{kind}")
    unit = find(edits, name)
    if unit is not None:
        yield from (word for key in _PULLS for value in unit.values(key) for word in value.split())


def reached(edits: TreeEdits, target: str) -> frozenset[str] | None:
    """The targets that starting one starts, itself among them; None where the guest's units are not there to be read.

    A masked target is not among them.
    """
    if find(edits, target) is None:
        return None
    found: set[str] = set()
    pending = [target]
    while pending and len(found) < _MAX_TARGETS:
        name = canonical(edits, pending.pop())
        unit = find(edits, name)
        if name in found or unit is None or unit.is_masked:
            continue
        found.add(name)
        pending += [other for other in pulled_in(edits, name) if other.endswith(".target")]
    return frozenset(found)


def started(edits: TreeEdits) -> Iterator[str]:
    """The services that the links of the administrator, and of the guest's getty and multi-user targets, start."""
    folders = [f"{OWN}/{name}" for name in edits.names(OWN) if name.endswith((".wants", ".requires"))]
    folders += [f"{f}/{t}.target.wants" for f in FOLDERS[1:] for t in ("getty", "multi-user")]
    seen = set()
    for folder in folders:
        for name in edits.names(folder):
            if name.endswith(".service") and name not in seen:
                seen.add(name)
                yield name


def _folders_with(edits: TreeEdits, name: str) -> Iterator[str]:
    """The folders of units that hold something of this name: few do, and asking one by one takes an engine's time."""
    names = edits.remember("unit folders", lambda: {folder: frozenset(edits.names(folder)) for folder in FOLDERS})
    return (folder for folder in FOLDERS if name in names[folder])


def _drop_ins(edits: TreeEdits, names: dict[str, None]) -> Iterator[str]:
    """The texts of the drop-ins, those of a template before those of its instance; of one name the first counts."""
    for name in names:
        files: dict[str, str] = {}
        for folder in _folders_with(edits, f"{name}.d"):
            for file in edits.names(f"{folder}/{name}.d"):
                if file.endswith(".conf"):
                    files.setdefault(file, f"{folder}/{name}.d/{file}")
        yield from (edits.text(files[file]) or "" for file in sorted(files))
