"""What a system is called, and what makes it another one than its copies: host name, machine ID, first-boot seed."""

from __future__ import annotations

import hashlib
import re
from functools import partial
from typing import TYPE_CHECKING

from imgkit.configtext import shellvars
from imgkit.configtext.text import Splice, append_lines, lines, splice
from imgkit.errors import UnsupportedError
from imgkit.tree import Attributes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgkit.treeedits import TreeEdits

_HOSTNAME, _HOSTS = "/etc/hostname", "/etc/hosts"
# OpenRC, and Red Hat until its release 6.
_OTHERS = {"/etc/conf.d/hostname": "hostname", "/etc/sysconfig/network": "HOSTNAME"}
_LOCAL = re.compile(r"\s*(?:127\.0\.[01]\.1|::1)\s")
_MACHINE_ID, _DBUS_ID = "/etc/machine-id", "/var/lib/dbus/machine-id"

SEED = "/var/lib/cloud/seed/nocloud"
_CLOUD_INIT = ("/etc/cloud/cloud.cfg", "/usr/bin/cloud-init")
_PRIVATE = Attributes(0o600, 0, 0)
_SOURCES = re.compile(r"^[ \t]*datasource_list[ \t]*:(.*(?:\n[ \t]*-.*)*)", re.MULTILINE)


def set_hostname(edits: TreeEdits, name: str) -> None:
    """Name the system, in its own file and where /etc/hosts has the old name, or for its own address."""
    before = (edits.text(_HOSTNAME) or "").strip()
    if before != name:
        edits.put(_HOSTNAME, f"{name}\n")
    for path, variable in _OTHERS.items():
        if variable in (edits.text(path) or ""):
            edits.edit(path, partial(shellvars.set_variable, name=variable, value=name))
    edits.edit_or_create(_HOSTS, partial(_rename, before=before, after=name))


def _rename(text: str, before: str, after: str) -> str:
    """hosts(5) in which the own addresses have the new name for the old one."""
    names = f"{after} {after.partition('.')[0]}" if "." in after else after
    found = [line for line in lines(text) if _LOCAL.match(line.body)]
    if any(after in line.body.partition("#")[0].split() for line in found):
        return text
    old = before.partition(".")[0]
    word = re.compile(rf"(?<!\S){re.escape(old)}(?:\.\S+)?(?:[ \t]+{re.escape(old)})?(?!\S)") if old else None
    changes = [
        Splice(line.start + match.start(), line.start + match.end(), names)
        for line in found
        if word is not None and (match := word.search(line.body)) is not None and "localhost" not in match[0]
    ]
    return splice(text, changes) if changes else append_lines(text, [f"127.0.1.1\t{names}"])


def forget_machine_id(edits: TreeEdits) -> None:
    """Have the system make itself a new machine ID when it starts: machine-id(5) says that an empty file does it."""
    if edits.read(_MACHINE_ID):
        edits.put(_MACHINE_ID, "")
    if edits.is_there(_DBUS_ID) and not edits.link_target(_DBUS_ID):
        edits.remove(_DBUS_ID)  # D-Bus makes it anew where it is missing, and refuses an empty one


def seed(edits: TreeEdits, files: Sequence[tuple[str, bytes]]) -> None:
    """Put the files of a NoCloud seed where cloud-init looks for them.

    https://docs.cloud-init.io/en/latest/reference/datasources/nocloud.html Raises UnsupportedError without cloud-init.
    """
    if not any(map(edits.is_there, _CLOUD_INIT)):
        raise UnsupportedError(
            "cloud-init, which reads a NoCloud seed, is not installed in the system",
            hint="Use --password, --ssh-key and --user, which work without it.",
        )
    contents = dict(files)
    contents.setdefault("user-data", b"#cloud-config\n")
    digest = hashlib.sha256(b"\0".join(name.encode() + b"\0" + data for name, data in sorted(contents.items())))
    # Another ID is another instance to cloud-init, whose modules then run once more.
    contents.setdefault("meta-data", f"instance-id: imgkit-{digest.hexdigest()[:16]}\n".encode())
    for name, data in sorted(contents.items()):
        edits.put_bytes(f"{SEED}/{name}", data, _PRIVATE, secret=True)
    _warn_of_sources(edits)


def _warn_of_sources(edits: TreeEdits) -> None:
    """Say where the system is told to look for its data elsewhere only; the last file that says so counts."""
    folder = "/etc/cloud/cloud.cfg.d"
    paths = ["/etc/cloud/cloud.cfg", *(f"{folder}/{name}" for name in edits.names(folder) if name.endswith(".cfg"))]
    said = [(path, match[1]) for path in paths for match in _SOURCES.finditer(edits.text(path) or "")]
    if said and "NoCloud" not in said[-1][1]:
        edits.announce(f"cloud-init will not read the seed: datasource_list in {said[-1][0]} does not list NoCloud.")
    if edits.is_there("/etc/cloud/cloud-init.disabled"):
        edits.announce("cloud-init will not read the seed: /etc/cloud/cloud-init.disabled disables it.")
