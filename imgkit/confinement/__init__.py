"""Confinement: what parses untrusted bytes reaches the files it was given, and nothing else.

Three walls of the kernel, which need no privileges: Landlock (files, TCP, signals), a seccomp filter (system calls),
and resource limits; with `no_new_privs` in front. Each holds where the kernel has it; `walls()` says which do here.

    confine_self(write=[folder])                       this process, for good
    with confined_child(read=[...]) as preexec: ...    a program that is started: Popen(..., preexec_fn=preexec)
    fork_reader(...)                                   a copy of this process that reads, served by us (`reader`)

It knows nothing of images. What an attacker gains at each wall is in docs/security-model.md.
"""

from __future__ import annotations

import functools
import os
import resource
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from imgkit.confinement import landlock
    from imgkit.confinement.reader import Supervisor

_MEMORY = 4 << 30  # bytes of address space: a net below the budgets, which are far smaller

# What the dynamic linker, libc and Python's own modules read; nothing of it belongs to a user.
_SYSTEM = (
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/localtime",
    "/etc/terminfo",
    "/dev/urandom",
    "/dev/zero",
)
_SINK = Path("/dev/null")


READER: list[Supervisor] = []
"""In a confined child, the one who asks; empty in every other process. Kept by `reader`."""


@dataclass(frozen=True, slots=True)
class Walls:
    """What confines a process on this kernel: Landlock's ABI (0: none), and whether system calls are filtered."""

    landlock: int
    seccomp: bool

    @property
    def complete(self) -> bool:
        """Whether files, new programs and sockets are all out of reach."""
        return self.landlock > 0 and self.seccomp

    def missing(self) -> str:
        """What does not hold and why, "" where all does."""
        lacks = []
        if not self.landlock:
            lacks.append("Landlock is missing (Linux 5.13 with CONFIG_SECURITY_LANDLOCK and lsm=landlock has it)")
        if not self.seccomp:
            lacks.append("seccomp filters are missing (x86-64 and arm64 have them)")
        return "; ".join(lacks)


@dataclass(frozen=True, slots=True)
class Confinement:
    """That an image is to be read confined: where that is possible, or else not at all (`required`).

    `services` are what the confined process may have done for it outside, by name (see `reader`); `read` are files and
    directories of the host that it may read besides.
    """

    required: bool = False
    services: Mapping[str, Callable[[bytes], bytes]] = field(default_factory=dict)
    read: tuple[Path, ...] = ()


def outside(service: str, do: Callable[[bytes], bytes], data: bytes) -> bytes:
    """What `do` makes of `data`; in a confined process, what the service of that name does, which should be `do`."""
    return READER[-1].ask(service, data) if READER else do(data)


def serving(confinement: Confinement | None, service: str, do: Callable[[bytes], bytes]) -> Confinement | None:
    """The same with one service more."""
    if confinement is None:
        return None
    return replace(confinement, services={**confinement.services, service: do})


def reading(confinement: Confinement | None, files: Iterable[Path]) -> Confinement | None:
    """The same, able to read these files and directories of the host as well."""
    return confinement and replace(confinement, read=(*confinement.read, *files))


@functools.cache
def walls() -> Walls:
    """What this kernel offers."""
    from imgkit.confinement import landlock, seccomp  # noqa: PLC0415 - here and below: ctypes takes 9 ms to import

    return Walls(landlock.abi(), seccomp.available())


def confine_self(
    *,
    read: Iterable[Path] = (),
    write: Iterable[Path] = (),
    execute: Iterable[Path] = (),
    network: bool = False,
    processes: bool = False,
    memory: int | None = _MEMORY,
) -> Walls:
    """Confine this process, for good, to the files below the given paths; the walls that hold afterwards.

    `read` may be read, `write` also created, changed and removed, `execute` also started as programs. What is open
    already stays usable, and the interpreter's libraries stay readable, so that modules can still be imported.
    `network` allows sockets, `processes` new processes. `memory` bounds the address space, in bytes; None leaves it.

    Call it in a process without other threads: Landlock binds the calling thread and what it starts.
    """
    apply = _prepare(
        [*runtime_paths(), *read], [_SINK, *write], execute, network=network, processes=processes, memory=memory
    )
    apply()
    return walls()


@contextmanager
def confined_child(
    *,
    read: Iterable[Path] = (),
    write: Iterable[Path] = (),
    execute: Iterable[Path] = (),
    network: bool = False,
    memory: int | None = None,
) -> Iterator[Callable[[], None]]:
    """A `preexec_fn` for subprocess.Popen that confines the program and all that it starts.

    System libraries stay readable; of programs only those below `execute` start, which has to name the program itself,
    its interpreter or the dynamic loader (`/usr` stands for all of the system's). It may fork, and trace its children.
    Where a wall is missing (`walls()`), the program starts without it. Popen has to be called within the `with` block.
    """
    from imgkit.confinement import landlock, seccomp  # noqa: PLC0415

    system = [Path(path) for path in _SYSTEM]
    ruleset = (
        landlock.Ruleset(read=[*system, *read], write=[_SINK, *write], execute=execute, network=network)
        if walls().landlock
        else None
    )
    program = seccomp.build(network=network, processes=True, names=True) if walls().seccomp else None

    def preexec() -> None:
        _enter(ruleset, program, memory)

    try:
        yield preexec
    finally:
        if ruleset is not None:
            ruleset.close()


def runtime_paths() -> list[Path]:
    """Where this interpreter's modules and the system's libraries lie: never a home folder as a whole."""
    named = {entry for entry in sys.path if entry.endswith(("site-packages", "dist-packages", "lib-dynload", ".zip"))}
    named.add(str(Path(os.__file__).parent))
    named.add(str(Path(__file__).parent.parent))
    return [Path(path) for path in (*_SYSTEM, *sorted(named))]


def _prepare(
    read: Iterable[Path],
    write: Iterable[Path],
    execute: Iterable[Path],
    *,
    network: bool,
    processes: bool,
    memory: int | None,
) -> Callable[[], None]:
    from imgkit.confinement import landlock, seccomp  # noqa: PLC0415

    ruleset = landlock.Ruleset(read=read, write=write, execute=execute, network=network) if walls().landlock else None
    names = len(list(write)) > 1
    program = seccomp.build(network=network, processes=processes, names=names) if walls().seccomp else None

    def apply() -> None:
        _enter(ruleset, program, memory)
        if ruleset is not None:
            ruleset.close()

    return apply


def _enter(ruleset: landlock.Ruleset | None, program: bytes | None, memory: int | None) -> None:
    """Put up the walls, the limits first and the filter last."""
    from imgkit.confinement import seccomp  # noqa: PLC0415
    from imgkit.confinement.kernel import forbid_new_privileges  # noqa: PLC0415

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        bound = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    forbid_new_privileges()
    if ruleset is not None:
        ruleset.restrict()
    if program is not None:
        seccomp.install(program)
