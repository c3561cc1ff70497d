"""Which init system a guest has: the name of the program that the kernel starts, or else what lies beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.errors import TreeError
from imgkit.inits import Init

if TYPE_CHECKING:
    from imgkit.tree import Tree

# Where the kernel looks, in this order (kernel_init in init/main.c), and NixOS's own, which is on the command line.
_PROGRAMS = ("/sbin/init", "/etc/init", "/bin/init", "/init")
_MAX_LINKS = 10
_MAX_SCRIPT = 64 << 10

# Words in the name of the program, or of what it is a link to. The first that fits counts.
_NAMES = (
    ("systemd", Init.SYSTEMD),
    ("busybox", Init.BUSYBOX),
    ("toybox", Init.BUSYBOX),
    ("runit", Init.RUNIT),
    ("openrc-init", Init.OPENRC_INIT),
    ("dinit", Init.DINIT),
    ("finit", Init.FINIT),
    ("s6-", Init.S6),
    ("upstart", Init.UPSTART),
    ("sysvinit", Init.SYSVINIT),
    ("procd", Init.PROCD),
)
# Programs that are process 1 elsewhere, whatever lies beside them.
_OTHERS = frozenset("sinit minit ninit cinit initng shepherd rustysd tini dumb-init catatonit docker-init nosh".split())
_OTHERS |= frozenset("sh ash bash dash ksh mksh zsh".split())  # named by hand, to mend a system
# Files beside a program that is called init and no more. The first that is there counts.
_MARKS = (
    (("/sbin/procd",), Init.PROCD),
    (("/sbin/initctl", "/etc/init"), Init.UPSTART),
    (("/etc/finit.conf", "/sbin/finit"), Init.FINIT),
    (("/etc/inittab",), Init.SYSVINIT),
    (("/usr/lib/systemd/systemd",), Init.SYSTEMD),
    (("/lib/systemd/systemd",), Init.SYSTEMD),
    (("/nix/var/nix/profiles/system",), Init.SYSTEMD),
    (("/etc/runit/runsvdir",), Init.RUNIT),
    (("/etc/dinit.d/boot",), Init.DINIT),
    (("/etc/s6-linux-init",), Init.S6),
)


def find_init(tree: Tree, program: str = "") -> Init:
    """The init system of a guest; `program` is what `init=` on its kernel command line names, if anything."""
    there = [path for path in (program, *_PROGRAMS) if path and _is_there(tree, path)]
    names = _names(tree, there[0]) if there else ()
    init = next((init for word, init in _NAMES for name in names if word in name), None)
    if init is None and there:
        is_other = any(name.rpartition("/")[2] in _OTHERS for name in names)
        init = Init.UNKNOWN if is_other else _by_script(tree, there[0])
    if init is None:
        init = next((init for paths, init in _MARKS if all(tree.exists(path) for path in paths)), Init.UNKNOWN)
    is_openrc = init in (Init.BUSYBOX, Init.SYSVINIT) and any(tree.exists(f"{folder}/openrc") for folder in _SBIN)
    return Init.OPENRC if is_openrc else init


_SBIN = ("/sbin", "/usr/sbin", "/bin", "/usr/bin")


def _names(tree: Tree, path: str) -> tuple[str, ...]:
    """The program's path and what it is a link to, from link to link."""
    names = [path]
    for _ in range(_MAX_LINKS):
        try:
            target = tree.readlink(path)
        except TreeError:
            break
        path = target if target.startswith("/") else f"{path.rpartition('/')[0]}/{target}"
        names.append(target)
    return tuple(names)


def _by_script(tree: Tree, path: str) -> Init | None:
    """What a script that is called init starts in the end: NixOS and s6 have such."""
    try:
        text = tree.read(path) if tree.stat(path).size <= _MAX_SCRIPT else b""
    except TreeError:
        return None
    if not text.startswith(b"#!"):
        return None
    if "/nix/store/" in path or b"/nix/store/" in text:
        return Init.SYSTEMD  # stage 2 ends with exec of its systemd
    return next((init for word, init in _NAMES if word.encode() in text), None)


def _is_there(tree: Tree, path: str) -> bool:
    try:
        tree.stat(path, follow=False)
    except TreeError:
        return False
    return True
