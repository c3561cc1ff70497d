"""Systems whose root is not on a file system of its own, and whose console is set in a place of their own.

They are told by the labels of their partitions, of which a disk has at least two, or by what their boot menu says; each
is a row with its name and the way out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.errors import FormatError, GuestError, TreeError, UnsupportedError

if TYPE_CHECKING:
    from imgkit.guest.volume import Engine, GuestVolume

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

_MENU = "/boot/grub/grub.cfg"
_BY_MENU = (
    (
        b"vyos",
        "VyOS",
        "In the guest: `set system console device ttyS0 speed 115200`, `commit`, `save`; its menu has an entry for it.",
    ),
    (
        b"openwrt",
        "OpenWrt with its root in SquashFS",
        "Use the image `ext4-combined`, which imgkit can edit, or start a login in /etc/inittab in the guest.",
    ),
)


def refuse_product(engine: Engine) -> None:
    """Raise GuestError, with the way out, where the volumes are those of a system of this kind."""
    volumes = engine.volumes()
    names = {name for volume in volumes for name in (volume.label, volume.partlabel) if name}
    for marks, name, hint in _PRODUCTS:
        if len(marks & names) >= _MARKS_NEEDED:
            raise _refusal(name, hint)
    for volume in volumes:
        menu = _menu(engine, volume).lower()
        for word, name, hint in _BY_MENU:
            if word in menu:
                raise _refusal(name, hint)


def _refusal(name: str, hint: str) -> GuestError:
    return GuestError(f"this is {name}, which configures its console in its own way", hint=hint)


def _menu(engine: Engine, volume: GuestVolume) -> bytes:
    if volume.kind in ("", "swap", "squashfs"):
        return b""
    try:
        return engine.open(volume).read(_MENU)
    except (UnsupportedError, FormatError, TreeError):
        return b""
