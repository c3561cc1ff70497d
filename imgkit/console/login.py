"""The login prompt on the serial line, by init system; and whether root may use it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.bootconfig import inittab, securetty, systemd, upstart
from imgkit.guest.facts import Init

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgkit.bootconfig.serial import SerialConsole
    from imgkit.console.draft import Draft
    from imgkit.console.kernels import KernelLine

INITTAB = "/etc/inittab"
SECURETTY = "/etc/securetty"
_UNIT_FOLDERS = ("/lib/systemd/system", "/usr/lib/systemd/system")
# RHEL 6's own job: it starts a getty on the console that the kernel names.
RHEL_SERIAL_JOB = "/etc/init/serial.conf"
_NULL = "/dev/null"


def enable_login(draft: Draft, console: SerialConsole, init: Init, kernels: Iterable[KernelLine]) -> None:
    """Have the system ask for a login on the console. `kernels` are its command lines, as they will be."""
    if init is Init.SYSTEMD:
        _enable_systemd(draft, console, kernels)
    elif init is Init.UPSTART:
        if not draft.is_there(RHEL_SERIAL_JOB):
            path = upstart.path(console)
            draft.put(path, upstart.enable(draft.text(path) or "", console))
    else:
        draft.edit(INITTAB, partial(inittab.enable, console=console))
    draft.edit(SECURETTY, partial(securetty.enable, console=console))


def _enable_systemd(draft: Draft, console: SerialConsole, kernels: Iterable[KernelLine]) -> None:
    for path in systemd.masks(console):
        if draft.link_target(path) == _NULL:
            draft.remove(path)
    if any(systemd.generator_is_off(kernel.arguments) for kernel in kernels):
        units = unit_folder(draft)
        draft.link(*systemd.wants_link(console, units))


def unit_folder(draft: Draft) -> str:
    """Where the guest's own units lie."""
    return next(
        (folder for folder in _UNIT_FOLDERS if draft.is_there(f"{folder}/{systemd.TEMPLATE}")), _UNIT_FOLDERS[0]
    )
