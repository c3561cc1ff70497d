"""What an installed system is: distribution, architecture, init system, boot loaders. Read from its tree alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit import bootloaders as loaders
from imgkit.errors import TreeError
from imgkit.inits import module_for
from imgkit.inits.detection import find_init
from imgkit.tree import read_head

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.bootloaders.files import BootFile
    from imgkit.configtext.checks import KernelLine
    from imgkit.inits import Init, InitSystem
    from imgkit.tree import Tree
    from imgkit.treeedits import TreeEdits


@dataclass(frozen=True, slots=True)
class GuestFacts:
    """One installed system. `arch` is named as `uname -m` names it, "" if it is not known."""

    distribution: str
    version: str
    name: str
    arch: str
    init: Init
    boot_files: tuple[BootFile, ...]


# ELF e_machine, and whether the class matters: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
_ELF_MACHINES = {3: "i686", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390x", 40: "armv7l", 62: "x86_64", 183: "aarch64"}
_ELF_MACHINES |= {243: "riscv64", 258: "loongarch64"}
_PROGRAMS = ("/bin/sh", "/sbin/init", "/usr/lib/systemd/systemd", "/bin/busybox", "/bin/bash", "/usr/bin/env")
_PIECE = re.compile(r"""'([^']*+)'|"((?>(?:[^"\\]|\\.)*))"|\\(.)|([^'"\\]++)""", re.DOTALL)
_ESCAPED = re.compile(r'\\([$`"\\])')
_DPKG_ARCHES = {"amd64": "x86_64", "i386": "i686", "arm64": "aarch64", "armhf": "armv7l", "ppc64el": "ppc64le"}


def find_facts(tree: Tree) -> GuestFacts:
    """Look at an installed system. What is not found is "" or unknown; nothing is raised for it."""
    release = _os_release(tree)
    return GuestFacts(
        distribution=release.get("ID", ""),
        version=release.get("VERSION_ID", ""),
        name=release.get("PRETTY_NAME", ""),
        arch=_architecture(tree),
        init=find_init(tree),
        boot_files=tuple(loaders.find_installed(tree)),
    )


def usual_kernels(edits: TreeEdits, facts: GuestFacts) -> list[KernelLine]:
    """The kernel command lines of a system, without those of its recovery entries, unless it has no others."""
    kernels = list(loaders.kernel_lines(edits, facts.boot_files))
    return [kernel for kernel in kernels if not kernel.is_recovery] or kernels


def init_of(edits: TreeEdits, facts: GuestFacts) -> InitSystem:
    """The module for the init system, which `init=` on a kernel command line may name."""
    words = (word for kernel in usual_kernels(edits, facts) for word in kernel.arguments if word.name == "init")
    program = next((word.value for word in words if word.value), "")
    return module_for(find_init(edits.tree, program) if program else facts.init)


def _os_release(tree: Tree) -> dict[str, str]:
    """os-release(5); for systems older than it, the file that names the version."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        if text := _text(tree, path):
            return dict(_assignments(text))
    if version := _text(tree, "/etc/debian_version").strip():
        return {"ID": "debian", "VERSION_ID": version, "PRETTY_NAME": f"Debian {version}"}
    if line := _text(tree, "/etc/redhat-release").strip():
        version = next((word for word in line.split() if word[0].isdigit()), "")
        return {"ID": line.split(maxsplit=1)[0].lower(), "VERSION_ID": version, "PRETTY_NAME": line}
    if version := _text(tree, "/etc/alpine-release").strip():
        return {"ID": "alpine", "VERSION_ID": version, "PRETTY_NAME": f"Alpine Linux {version}"}
    return {}


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith("#"):
            yield name.strip(), _unquoted(value.strip())


def _unquoted(value: str) -> str:
    """The value of an assignment of os-release(5): quotes and backslashes are the shell's, nothing is expanded.

    As it is where a quote does not end. shlex does the same in a time that grows with the square of a word's length.
    """
    pieces = []
    position = 0
    while position < len(value):
        piece = _PIECE.match(value, position)
        if piece is None:
            return value
        single, double, escaped, plain = piece.groups()
        pieces.append(single or escaped or plain or _ESCAPED.sub(r"\1", double or ""))
        position = piece.end()
    return "".join(pieces)


def _architecture(tree: Tree) -> str:
    for path in _PROGRAMS:
        arch = _elf_machine(_head(tree, path))
        if arch:
            return arch
    dpkg = _text(tree, "/var/lib/dpkg/arch").split()
    return _DPKG_ARCHES.get(dpkg[0], dpkg[0]) if dpkg else ""


def _elf_machine(header: bytes) -> str:
    if len(header) < 20 or not header.startswith(b"\x7fELF"):  # noqa: PLR2004
        return ""
    little = header[5] == 1
    machine = int.from_bytes(header[18:20], "little" if little else "big")
    name = _ELF_MACHINES.get(machine, "")
    return "ppc64le" if name == "ppc64" and little else name


def _head(tree: Tree, path: str) -> bytes:
    """As much of a program as tells for which machine it is."""
    try:
        return read_head(tree, path, 20)
    except TreeError:
        return b""


def _bytes(tree: Tree, path: str) -> bytes:
    try:
        return tree.read(path)
    except TreeError:
        return b""


def _text(tree: Tree, path: str) -> str:
    return _bytes(tree, path).decode(errors="replace")
