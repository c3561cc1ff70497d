"""Boot loaders that are known by the names of their configurations, and not edited: they are named, not passed over.

The formats: https://github.com/limine-bootloader/limine/blob/trunk/CONFIG.md, https://www.rodsbooks.com/refind/,
yaboot.conf(5), lilo.conf(5), elilo's docs/config.txt, petitboot's kboot.conf, zIPL's parameter files
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from imgkit.configtext.checks import Check, CheckKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from imgkit.treeedits import TreeEdits

_PLACES = {
    "Limine": tuple(
        f"{folder}/limine.{end}"
        for folder, end in product(
            ("", "/boot", "/boot/limine", "/limine", "/EFI/BOOT", "/EFI/limine"), ("conf", "cfg")
        )
    ),
    "rEFInd": ("/EFI/BOOT/refind.conf", "/EFI/refind/refind.conf", "/boot/refind_linux.conf"),
    "elilo": ("/EFI/BOOT/elilo.conf", "/elilo.conf", "/efi/elilo.conf", "/EFI/Slackware/elilo.conf"),
    "yaboot": ("/etc/yaboot.conf", "/yaboot.conf", "/ppc/yaboot.conf", "/suseboot/yaboot.cnf", "/install/yaboot.conf"),
    "petitboot": ("/kboot.conf", "/etc/kboot.conf"),
    "LILO": ("/etc/lilo.conf",),
    "SILO": ("/boot/silo.conf", "/etc/silo.conf"),
    "the s390x loader": (
        *("/images/generic.prm", "/images/cdboot.prm", "/images/genericdvd.prm", "/boot/s390x/parmfile"),
        *("/boot/parmfile.debian", "/boot/parmfile.ubuntu", "/boot/s390x/zipl.map/parmfile"),
    ),
}
# What an installed system alone has.
_PLACES_INSTALLED = {
    "zIPL": ("/etc/zipl.conf",),
    "Xen's EFI loader": ("/EFI/xen/xen.cfg", "/EFI/BOOT/xen.cfg"),
    "U-Boot": (
        *("/boot/orangepiEnv.txt", "/boot/dietpiEnv.txt", "/boot/uEnv.txt", "/uEnv.txt"),
        *("/boot/boot.scr", "/boot/boot.scr.uimg", "/boot.scr", "/boot/firmware/boot.scr"),
    ),
}
_ROOTS_INSTALLED = ("/boot/efi", "/efi", "/boot")  # EFI system partitions
_HINTS = {
    "zIPL": "Add the console to parameters= in {path} and run zipl in the guest.",
}
_COMPILED = "It is compiled: add the console to bootargs in its source in the guest, and run mkimage."


@dataclass(frozen=True, slots=True)
class Unedited:
    """A configuration that is left as it is: the boot loader's name, and the path."""

    loader: str
    path: str


def find_unedited(edits: TreeEdits, roots: Sequence[str] = ("",)) -> list[Unedited]:
    """The configurations of such boot loaders, in the tree and below each of `roots`."""
    return _found(edits, ("", *roots), _PLACES)


def find_in_system(edits: TreeEdits) -> list[Unedited]:
    """The configurations of such boot loaders in an installed system, which matter where no other boot loader is."""
    return _found(edits, ("", *_ROOTS_INSTALLED), {**_PLACES, **_PLACES_INSTALLED})


def _found(edits: TreeEdits, roots: Sequence[str], places: Mapping[str, tuple[str, ...]]) -> list[Unedited]:
    found = {}
    for root, (loader, paths) in product(dict.fromkeys(roots), places.items()):
        for path in paths:
            spelled = edits.spelled(root.rstrip("/") + path)
            if spelled is not None and edits.size(spelled) is not None:
                found[spelled] = Unedited(loader, spelled)
    return list(found.values())


def checks(found: Sequence[Unedited]) -> Iterator[Check]:
    """A check that fails for each: its menu may lead to Linux, and nobody has told that of the console."""
    for unedited in found:
        yield Check(
            CheckKind.LOADER,
            False,
            unedited.path,
            0,
            f"is read by {unedited.loader}, which imgkit does not edit",
            hint=_hint(unedited),
        )


def _hint(unedited: Unedited) -> str:
    if ".scr" in unedited.path:
        return _COMPILED
    usual = "Add the console to the kernel arguments in {path} with `imgkit edit`."
    return _HINTS.get(unedited.loader, usual).format(path=unedited.path)
