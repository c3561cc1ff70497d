"""What a medium is that boots no Linux, or none whose menus are known, and how its console is put on a serial line.

Names of files tell. What is said is for the person who tried: what the image is, and what would do it instead.

FreeBSD: loader.conf(5); OpenBSD: boot(8); NetBSD: boot.cfg(5); ESXi: Broadcom's KB 323722; illumos: boot(7)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit import bootloaders as loaders
from imgkit.bootloaders import unedited

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgkit.bootloaders.files import BootFile
    from imgkit.treeedits import TreeEdits

_EDIT = "`imgkit edit`"
_MAX_NAMED = 12
_MAX_README = 4096
_BOOT_FILES = (".efi", "isolinux.bin", "bootmgr", ".c32", "cdboot.img", "eltorito.img", "stage2_eltorito")
_OUTSIDE = "If the kernel is loaded from outside the image, give it console=ttyS0,115200n8 there."


@dataclass(frozen=True, slots=True)
class Foreign:
    """What an image is, as the end of a sentence about it; the path that tells so; and what to do instead."""

    what: str
    evidence: str
    hint: str


@dataclass(frozen=True, slots=True)
class _Mark:
    """`paths` are files of which one is enough, `also` those of which one has to be there as well."""

    what: str
    paths: tuple[str, ...]
    hint: str
    also: tuple[str, ...] = ()


_MARKS = (
    _Mark(
        "a Windows installer or recovery medium",
        ("/sources/boot.wim", "/sources/install.wim", "/sources/install.esd", "/bootmgr", "/efi/microsoft"),
        "Windows has Emergency Management Services for a serial line: `bcdedit /ems on` in the installed system.",
    ),
    _Mark(
        "a VMware ESXi installer",
        ("/b.b00", "/efi/boot/boot.cfg", "/boot.cfg"),
        "Add `text nofb com1_baud=115200 com1_Port=0x3f8 tty2Port=com1` to kernelopt in /boot.cfg and"
        f" /efi/boot/boot.cfg with {_EDIT}.",
        also=("/mboot.c32", "/efi/boot/bootx64.efi"),
    ),
    _Mark(
        "a NetBSD medium",
        ("/netbsd", "/netbsd.gz"),
        f"Add `consdev=com0,115200` to /boot.cfg with {_EDIT}.",
    ),
    _Mark(
        "an OpenBSD installer",
        ("/bsd", "/bsd.rd", "/etc/boot.conf"),
        f"Put `stty com0 115200` and `set tty com0` into /etc/boot.conf with {_EDIT}.",
    ),
    _Mark(
        "a FreeBSD medium or one of its derivatives, such as pfSense and OPNsense",
        ("/boot/loader.conf", "/boot/kernel/kernel", "/boot/cdboot", "/boot/loader_lua"),
        'Put `boot_multicons="YES"`, `console="comconsole,vidconsole"` and `comconsole_speed="115200"` into'
        f" /boot/loader.conf with {_EDIT}.",
        also=("/boot/loader.efi", "/boot/cdboot", "/boot/loader", "/boot/defaults"),
    ),
    _Mark(
        "an illumos or Solaris medium",
        ("/platform/i86pc/kernel", "/boot/solaris", "/platform/i86pc"),
        f'Put `console="ttya"` into /boot/conf.d/console.conf with {_EDIT}.',
    ),
    _Mark("a ReactOS medium", ("/reactos", "/freeldr.sys"), "It has its own entry with debug output on COM1."),
    _Mark("a Haiku medium", ("/haiku_loader", "/boot/haiku"), "Its loader has serial debug output in its own menu."),
    _Mark("a DOS medium", ("/command.com", "/kernel.sys", "/io.sys"), "`ctty com1` in autoexec.bat moves its prompt."),
)
_PFSENSE = re.compile(rb"pfsense|opnsense|truenas|freenas|ghostbsd|midnightbsd", re.IGNORECASE)
_MEMORY_TEST = re.compile(r"mem(?:test|86).*|mt86.*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class NoLinux:
    """Why no Linux of a medium can be given a console: one sentence, its file or "", and what to do."""

    message: str
    file: str
    hint: str


def why_no_linux(edits: TreeEdits, boots: Sequence[BootFile], roots: Sequence[str] = ()) -> NoLinux:
    """Why none of the boot menus starts a Linux that is known, in the words that help most."""
    found = recognise(edits)
    if found is not None:
        return NoLinux(f"it is {found.what} ({found.evidence}); imgkit enables consoles of Linux", "", found.hint)
    for other in unedited.checks(unedited.find_unedited(edits, roots)):
        return NoLinux(f"{other.file} {other.message}", other.file, other.hint)
    for boot in boots:
        sealed = loaders.sealed_by(edits, boot)
        if sealed is not None:
            return NoLinux(f"{boot.path} is {sealed[0]}", boot.path, sealed[1])
    if boots:
        files = ", ".join([boot.path for boot in boots][:_MAX_NAMED])
        hint = "`imgkit inspect` shows what the image is; `imgkit edit` changes a boot menu that is not understood."
        return NoLinux(f"no Linux boot entry found: {files}", "", hint)
    names = _boot_files(edits)
    if names:
        return NoLinux(f"no boot menu that imgkit knows; what was found: {', '.join(names)}", "", _OUTSIDE)
    held = ", ".join(edits.names("/")[:_MAX_NAMED]) or "nothing"
    return NoLinux(f"no boot loader: it is a data volume with {held}", "", _OUTSIDE)


def _boot_files(edits: TreeEdits) -> list[str]:
    """The boot loaders that are there, known by their names."""
    places = ("/EFI/BOOT", "/isolinux", "/boot", "/boot/grub", "/images", "/")
    folders = [folder for place in places if (folder := edits.spelled(place))]
    files = (f"{folder.rstrip('/')}/{name}" for folder in folders for name in edits.names(folder))
    return [path for path in files if path.lower().endswith(_BOOT_FILES)][:_MAX_NAMED]


def recognise(edits: TreeEdits) -> Foreign | None:
    """What the medium is, where its files tell; None where they do not."""
    for mark in _MARKS:
        found = _first(edits, mark.paths)
        if found is not None and (not mark.also or _first(edits, mark.also) is not None):
            return Foreign(mark.what, found, mark.hint)
    readme = edits.spelled("/README.TXT")
    if edits.names("/") in ([], ["README.TXT"]) and readme and b"UDF" in edits.head(readme, _MAX_README):
        return Foreign("a medium whose files are in a UDF volume, as Windows has it", readme, _MARKS[0].hint)
    for folder in ("/", "/boot", "/EFI/BOOT", "/isolinux"):
        spelled = edits.spelled(folder)
        names = edits.names(spelled) if spelled else []
        test = next((name for name in names if _MEMORY_TEST.fullmatch(name)), None)
        if test is not None:
            return Foreign(
                "a memory test", f"{folder.rstrip('/')}/{test}", "Memtest86+ takes console=ttyS0,115200 itself."
            )
    return None


def _first(edits: TreeEdits, paths: tuple[str, ...]) -> str | None:
    return next((found for path in paths if (found := edits.spelled(path)) is not None), None)
