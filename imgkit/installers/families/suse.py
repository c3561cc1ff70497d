"""Trees of SUSE: the file `content` until 2017, media.1/products since.

The former: https://en.opensuse.org/openSUSE:Standards_YaST2_Repository_Metadata_content
Arguments: https://en.opensuse.org/SDB:Linuxrc
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imgkit.configtext import kernelargs
from imgkit.installers import AnswerKind, Family, InstallerFamily
from imgkit.installers.trees import (
    Evidence,
    Finder,
    InstallTree,
    address,
    architecture_name,
    checksums,
    content_hashes,
    first_pair,
    sums,
    text,
)

if TYPE_CHECKING:
    from imgkit.configtext.kernelargs import Arguments
    from imgkit.installers.trees import TreeSource

_FIELD = re.compile(r"^([A-Z][\w.]*)[ \t]+(\S.*)$", re.MULTILINE)
_CPE = re.compile(r"cpe:/o:[^:]*:[^:]*:([^:,]+)")  # "cpe:/o:opensuse:opensuse:13.2,openSUSE"
_SERVICE_PACK = re.compile(r"(.+?) (\d+)(?: SP(\d+))?$")  # "SUSE Linux Enterprise Server 11 SP4"
_PRODUCT = re.compile(r"^/ (.+?)-(\d[\w.]*)-\d", re.MULTILINE)  # "/ openSUSE-Leap 15.6-1" has a space there
_PRODUCT_APART = re.compile(r"^/ (\S+) (\d[\w.]*)-", re.MULTILINE)
_MAX_VALUE = 1000
_IN_REPOID = ("x86_64", "aarch64", "ppc64le", "s390x", "i586")


def _in_text(arguments: Arguments) -> Arguments:
    """YaST in text mode."""
    return kernelargs.replace(arguments, ("textmode=1",))


def _arguments(tree: InstallTree | None, given: set[str]) -> list[str]:
    """Text mode, and where the packages are."""
    words = [] if "textmode" in given else ["textmode=1"]
    place = address(tree)
    if place and "install" not in given:
        words.insert(0, f"install={place}")
    return words


def _answered(_tree: InstallTree | None, answers: str, is_url: bool) -> tuple[str, ...]:
    """An AutoYaST file."""
    return (f"autoyast={answers if is_url else 'file://' + answers}",)


def _on_medium(kind: AnswerKind, path: str, _label: str) -> tuple[str, ...]:
    """An AutoYaST profile on the CD."""
    return (f"autoyast=cd:{path}",) if kind is AnswerKind.AUTOYAST else ()


def _find_products(source: TreeSource, location: str, architecture: str | None) -> InstallTree | None:
    """The tree of SUSE's installer; None where nothing says that there is one."""
    content = text(source, "content")
    if content is not None and ("DESCRDIR" in content or "DISTRO" in content):
        fields = {key: value.rstrip()[:_MAX_VALUE] for key, value in _FIELD.findall(content)}
        name, version = _product(fields)
        return _tree(source, location, name, version, _machines(fields, architecture))
    products = text(source, "media.1/products")
    match = (_PRODUCT_APART.search(products) or _PRODUCT.search(products)) if products else None
    if match is None:
        return None
    machines = [architecture] if architecture else ["x86_64", "aarch64", "ppc64le", "s390x"]
    return _tree(source, location, match[1], match[2], machines)


def _tree(source: TreeSource, location: str, name: str, version: str, machines: list[str]) -> InstallTree:
    pairs = {pair: machine for machine in machines for pair in _places(machine)}
    kernel, initrd = first_pair(source, location, list(pairs))
    found, listed = checksums(source, (kernel, initrd), [("content", content_hashes), ("CHECKSUMS", sums)])
    return InstallTree(location, Family.SUSE, name, version, pairs[kernel, initrd], kernel, initrd, found, listed)


def _places(machine: str) -> list[tuple[str, str]]:
    match machine:
        case "i686":
            return [("boot/i386/loader/linux", "boot/i386/loader/initrd")]
        case "s390x":
            return [("boot/s390x/linux", "boot/s390x/initrd"), ("boot/s390x/vmrdr.ikr", "boot/s390x/initrd")]
        case "aarch64" | "riscv64":
            return [(f"boot/{machine}/linux", f"boot/{machine}/initrd")]
        case "ppc64":
            return [("suseboot/linux64", "suseboot/initrd64")]
        case "ppc64le":
            return [("boot/ppc64le/linux", "boot/ppc64le/initrd")]
        case _:
            return [(f"boot/{machine}/loader/linux", f"boot/{machine}/loader/initrd")]


def _product(fields: dict[str, str]) -> tuple[str, str]:
    """Name and version: of LABEL and VERSION, or of DISTRO, or with a service pack as the fraction."""
    name = fields.get("LABEL") or fields.get("DISTRO", "").partition(",")[2]
    version = fields.get("VERSION", "").partition("-")[0]
    pack = _SERVICE_PACK.fullmatch(name)
    if pack and "Enterprise" in name:
        return pack[1], pack[2] + (f".{pack[3]}" if pack[3] else "")
    if not version:
        match = _CPE.match(fields.get("DISTRO", ""))
        version = match[1] if match else ""
    return name.removesuffix(version).rstrip() or fields.get("DISTRIBUTION", "SUSE"), version


def _machines(fields: dict[str, str], architecture: str | None) -> list[str]:
    """Architectures to look for: the one that was asked for, or those of the tree, the 64-bit PC before others."""
    if architecture:
        return [architecture]
    words = fields.get("BASEARCHS", "").split() or [key[5:] for key in fields if key.startswith("ARCH.")]
    repository = fields.get("REPOID", "").rpartition("/")[2]
    words = words or [word for word in _IN_REPOID if word in repository] or [fields.get("DEFAULTBASE", "x86_64")]
    machines = dict.fromkeys(architecture_name(word) for word in words)
    return sorted(machines, key=lambda machine: machine != "x86_64")


FAMILY = InstallerFamily(
    marks=("/media.1", "/boot/x86_64/loader", "/boot/x86_64/root", "/boot/aarch64/root", "/suse"),
    first_page=r"linuxrc|YaST|Main Menu",
    answers="/autoinst.xml",
    finders=(Finder(Evidence.PRODUCTS, _find_products),),
    in_text=_in_text,
    arguments=_arguments,
    answered=_answered,
    on_medium=_on_medium,
)
