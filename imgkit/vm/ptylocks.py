"""Pseudo-terminals that libvirt can lock.

libvirt locks the terminal behind a console as modems' users do, with a file in /var/lock that stays when its process is
killed. It removes those of its own user, but cannot those of others: a terminal that gets the number of one of them has
a console that does not open. So such numbers are kept taken while a machine gets its terminal; the kernel gives the
lowest one that is free.

https://gitlab.com/libvirt/libvirt/-/blob/v9.0.0/src/conf/virchrdev.c, virChrdevLockFilePath
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST = 64  # locks of others that are stepped over


@contextmanager
def locked_ones_taken(folder: Path = Path("/var/lock")) -> Iterator[None]:
    """Within the block no new pseudo-terminal has a number that another user has locked."""
    with ExitStack() as held:
        for _ in range(_MOST):
            try:
                master, slave = os.openpty()
            except OSError:  # there are no more; the machine will not get one either, and libvirt says so
                break
            taken = held.enter_context(ExitStack())
            taken.callback(os.close, master)
            taken.callback(os.close, slave)
            if not _is_locked(folder, os.ttyname(slave)):
                taken.close()
                break
        yield


def _is_locked(folder: Path, terminal: str) -> bool:
    name = terminal.removeprefix("/dev").replace("/", "_")
    try:
        return (folder / f"LCK..{name}").stat().st_uid != os.geteuid()
    except OSError:
        return False
