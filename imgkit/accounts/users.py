"""New accounts, as `useradd -m -G sudo` makes them: a group of the same name, a home from /etc/skel."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from imgkit.accounts import table
from imgkit.errors import ConfigError
from imgkit.tree import Attributes, FileType

if TYPE_CHECKING:
    from imgkit.treeedits import TreeEdits

ADMINISTRATORS = ("sudo", "wheel")
_SKELETON = "/etc/skel"
_LIMIT = 2000  # files of a skeleton
_SHELLS = ("/bin/bash", "/bin/sh")
_DEFINITION = re.compile(r"^[ \t]*([A-Z_]+)[ \t]+([^\s#]+)", re.MULTILINE)


def definitions(edits: TreeEdits) -> dict[str, str]:
    """The settings of login.defs(5)."""
    return dict(_DEFINITION.findall(edits.text("/etc/login.defs") or ""))


def add(edits: TreeEdits, name: str, today: int) -> None:
    """Make an account, unless it is there. It has no password."""
    if table.find(edits.text(table.PASSWD), name) is not None:
        return
    settings = definitions(edits)
    uid = _free(edits.text(table.PASSWD) or "", settings, "UID")
    group = table.find(edits.text(table.GROUP), name)
    gid = group.number(2) if group is not None else _free_group(edits, settings, uid)
    if gid is None:
        raise ConfigError(f"the group {name} has no number", path=table.GROUP)
    if group is None:
        edits.edit(table.GROUP, partial(_added, fields=(name, "x", str(gid), "")))
        edits.edit(table.GSHADOW, partial(_added, fields=(name, "!", "", "")))
    home = f"/home/{name}"
    shell = next((each for each in _SHELLS if edits.is_there(each)), _SHELLS[-1])
    edits.edit(table.PASSWD, partial(_added, fields=(name, "x", str(uid), str(gid), "", home, shell)))
    ages = (settings.get("PASS_MIN_DAYS", "0"), settings.get("PASS_MAX_DAYS", "99999"))
    shadow = (name, "!", str(today), *ages, settings.get("PASS_WARN_AGE", "7"), "", "", "")
    edits.edit(table.SHADOW, partial(_added, fields=shadow))
    _join_administrators(edits, name)
    _make_home(edits, home, Attributes(_home_mode(settings), uid, gid, "user_home_dir_t"))


def _added(text: str, fields: tuple[str, ...]) -> str:
    return table.add(text, *fields)


def _free(text: str, settings: dict[str, str], kind: str) -> int:
    """The number after the highest in the range of users, else the lowest that is free."""
    first, last = (number(settings, f"{kind}_{end}", usual) for end, usual in (("MIN", 1000), ("MAX", 60000)))
    used = {taken for row in table.rows(text) if (taken := row.number(2)) is not None and first <= taken <= last}
    following = max(used, default=first - 1) + 1
    free = following if following <= last else next((n for n in range(first, last + 1) if n not in used), None)
    if free is None:
        raise ConfigError(f"no number from {first} to {last} is free", path="/etc/login.defs")
    return free


def _free_group(edits: TreeEdits, settings: dict[str, str], uid: int) -> int:
    text = edits.text(table.GROUP) or ""
    return _free(text, settings, "GID") if any(row.number(2) == uid for row in table.rows(text)) else uid


def number(settings: dict[str, str], name: str, usual: int) -> int:
    """A decimal setting of login.defs; the usual value where it has none."""
    text = settings.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else usual  # noqa: PLR2004 - 32 bits


def _home_mode(settings: dict[str, str]) -> int:
    for name, mask in (("HOME_MODE", 0), ("UMASK", 0o777)):
        if re.fullmatch("0?[0-7]{3}", settings.get(name, "")):
            return int(settings[name], 8) ^ mask
    return 0o755


def _join_administrators(edits: TreeEdits, name: str) -> None:
    group = next((each for each in ADMINISTRATORS if table.find(edits.text(table.GROUP), each) is not None), None)
    if group is None:
        edits.announce(f"{name} is not an administrator: the system has no group sudo or wheel.")
        return
    for path in (table.GROUP, table.GSHADOW):
        row = table.find(edits.text(path), group)
        if row is not None and row.field(3).split(",") != [name]:
            members = ",".join(filter(None, (row.field(3), name)))
            edits.edit(path, partial(table.set_field, name=group, index=3, value=members))
    edits.announce(f"{name} is an administrator, as a member of the group {group}.")


def _make_home(edits: TreeEdits, home: str, owner: Attributes) -> None:
    if edits.is_there(home):
        edits.announce(f"{home} already exists and was left unchanged.")
        return
    edits.make_directory(home, owner)
    pending = [""]
    for count, inner in enumerate(pending):
        if count > _LIMIT:
            raise ConfigError(f"more than {_LIMIT:,} files in it", path=_SKELETON)
        _copy_into(edits, home, inner, owner, pending)


def _copy_into(edits: TreeEdits, home: str, inner: str, owner: Attributes, pending: list[str]) -> None:
    """Copy what lies in one directory of the skeleton; `pending` gets the directories in it."""
    for name in edits.names(f"{_SKELETON}{inner}"):
        source, target = f"{_SKELETON}{inner}/{name}", f"{home}{inner}/{name}"
        found = edits.tree.stat(source, follow=False)
        attributes = Attributes(found.mode, owner.uid, owner.gid, "user_home_t")
        if found.type is FileType.DIRECTORY:
            edits.make_directory(target, attributes)
            pending.append(f"{inner}/{name}")
        elif found.type is FileType.FILE:
            edits.put_bytes(target, edits.read(source) or b"", attributes)
        elif found.type is FileType.LINK:
            edits.link(target, edits.link_target(source))
