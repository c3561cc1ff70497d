"""Systems that are told by their partitions, and whose console is set in a place of their own, which imgkit leaves.

Each is a row: the labels of which its disks have at least two, its name, and the way out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.errors import GuestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgkit.guest.volume import GuestVolume

_CONSOLE = "console=tty0 console=ttyS0,115200n8"
_PRODUCTS = (
    (
        frozenset({"USR-A", "USR-B", "EFI-SYSTEM", "OEM-CONFIG"}),
        "Flatcar Container Linux",
        f'Add the line `set linux_append="$linux_append {_CONSOLE}"` to /grub.cfg on its partition OEM.',
    ),
    (
        frozenset({"ubuntu-seed", "ubuntu-boot", "ubuntu-save", "ubuntu-data"}),
        "Ubuntu Core",
        f'In the guest: `snap set system system.kernel.cmdline-append="{_CONSOLE}"`, or build the gadget snap with it.',
    ),
    (
        frozenset({"hassos-boot", "hassos-kernel0", "hassos-system0", "hassos-overlay", "hassos-data"}),
        "Home Assistant OS",
        f"Add `{_CONSOLE}` to /cmdline.txt on its partition hassos-boot.",
    ),
    (
        frozenset({"BOTTLEROCKET-BOOT-A", "BOTTLEROCKET-ROOT-A", "BOTTLEROCKET-HASH-A", "BOTTLEROCKET-PRIVATE"}),
        "Bottlerocket",
        "Set settings.boot.kernel-parameters in its user data.",
    ),
    (
        frozenset({"META", "STATE", "EPHEMERAL"}),
        "Talos Linux",
        f"Make the image with `--extra-kernel-arg {_CONSOLE.split()[1]}` of Talos's imager.",
    ),
    (
        frozenset({"KERN-A", "ROOT-A", "KERN-B", "ROOT-B", "STATE"}),
        "ChromiumOS",
        "Its kernels are signed with their command lines: build the image with the console.",
    ),
)
_MARKS_NEEDED = 2


def refuse_product(volumes: Iterable[GuestVolume]) -> None:
    """Raise GuestError, with the way out, where the volumes are those of a system of this kind."""
    names = {name for volume in volumes for name in (volume.label, volume.partlabel) if name}
    for marks, name, hint in _PRODUCTS:
        if len(marks & names) >= _MARKS_NEEDED:
            raise GuestError(f"this is {name}, whose console is set in a way of its own", hint=hint)
