"""Trees of Fedora, Red Hat and their kin, and of newer openSUSE: whatever has a .treeinfo, or the older .discinfo.

The format: https://productmd.readthedocs.io/en/latest/treeinfo-1.2.html, read as a plain INI file, because trees made
before it was written down lack most of what it demands.
"""

from __future__ import annotations

from configparser import ConfigParser
from configparser import Error as ParserError
from typing import TYPE_CHECKING

from imgkit.errors import LocationError
from imgkit.location.model import InstallTree, TreeFamily, architecture_name, inner_path
from imgkit.location.probe import first_pair, no_kernel, text
from imgkit.location.source import shown

if TYPE_CHECKING:
    from imgkit.location.source import Source

# Some content delivery networks have no files whose names begin with a dot; Anaconda looks for both as well.
_NAMES = (".treeinfo", "treeinfo")
_PLACES = (
    ("images/pxeboot/vmlinuz", "images/pxeboot/initrd.img"),
    ("isolinux/vmlinuz", "isolinux/initrd.img"),
    ("images/kernel.img", "images/initrd.img"),
    ("ppc/ppc64/vmlinuz", "ppc/ppc64/ramdisk.image.gz"),
    ("ppc/ppc64/vmlinuz", "ppc/ppc64/initrd.img"),
)


def find_treeinfo(source: Source, location: str, architecture: str | None) -> InstallTree | None:
    """The tree that .treeinfo describes; None without one.

    Raises LocationError where it does not hold what it should, or describes a tree without a kernel.
    """
    for name in _NAMES:
        written = text(source, name)
        if written is not None:
            return _described(source, location, architecture, name, _parsed(written, f"{shown(location)}: {name}"))
    return None


def _parsed(written: str, named: str) -> ConfigParser:
    info = ConfigParser(interpolation=None, strict=False, delimiters=("=",))
    info.optionxform = str  # type: ignore[assignment,method-assign]  # paths are options there, and keep their case
    # Long runs of blanks would keep the parser busy for hours.
    lines = (" ".join(line.split()) for line in written.splitlines())
    try:
        info.read_string("\n".join(lines))
    except ParserError as error:
        raise LocationError(
            f"{named} cannot be parsed ({' '.join(str(error).split())[:200]})",
            hint="Try another mirror, or give kernel and initial RAM disk yourself: --kernel and --initrd.",
        ) from error
    return info


def _described(source: Source, location: str, architecture: str | None, name: str, info: ConfigParser) -> InstallTree:
    family = _first(info, ("general", "family"), ("release", "name"), ("product", "name"))
    version = _first(info, ("general", "version"), ("release", "version"), ("product", "version"))
    default = _first(info, ("tree", "arch"), ("general", "arch"))
    section = _section(info, architecture, default)
    machine = architecture_name(section.removeprefix("images-")) if section else architecture_name(default)
    if architecture and machine != architecture:
        raise no_kernel(location, [f"it is for {machine}, not {architecture}"])
    if section:
        kernel, initrd = (inner_path(info.get(section, key), named_by=name) for key in ("kernel", "initrd"))
    else:
        kernel, initrd = first_pair(source, location, _PLACES)
    sums = {inner_path(path, named_by=name): value for path, value in _pairs(info, "checksums").items()}
    found = {path: sums[path].lower() for path in (kernel, initrd) if ":" in sums.get(path, "")}
    return InstallTree(
        location,
        _family(family),
        family,
        version,
        machine,
        kernel,
        initrd,
        found,
        name if found else "",
    )


def _section(info: ConfigParser, architecture: str | None, default: str) -> str:
    """The section with kernel and initial RAM disk of the architecture, or the tree's own; "" where there is none."""
    complete = [
        name
        for name in info.sections()
        if name.startswith("images-") and {"kernel", "initrd"} <= set(info.options(name))
    ]
    wanted = architecture or architecture_name(default)
    return next((name for name in complete if architecture_name(name.removeprefix("images-")) == wanted), "")


def find_discinfo(source: Source, location: str, architecture: str | None) -> InstallTree | None:
    """The tree of a CD with .discinfo alone: a time, the distribution, the architecture, each on a line."""
    written = text(source, ".discinfo")
    lines = [line.strip(' "') for line in (written or "").splitlines()]
    if len(lines) < 3 or not lines[0].replace(".", "").isdigit():  # noqa: PLR2004 - the three lines
        return None
    name, _, version = lines[1].rpartition(" ")  # Fedora 7 has it in quotation marks
    machine = architecture_name(lines[2].split(",")[0])
    if architecture and machine != architecture:
        raise no_kernel(location, [f"it is for {machine}, not {architecture}"])
    kernel, initrd = first_pair(source, location, _PLACES)
    return InstallTree(location, _family(name or lines[1]), name or lines[1], version, machine, kernel, initrd)


def _family(name: str) -> TreeFamily:
    lowered = name.lower()
    if "fedora" in lowered:
        return TreeFamily.FEDORA
    return TreeFamily.SUSE if "suse" in lowered else TreeFamily.RHEL


def _first(info: ConfigParser, *places: tuple[str, str]) -> str:
    return next((value for section, key in places if (value := info.get(section, key, fallback="").strip())), "")


def _pairs(info: ConfigParser, section: str) -> dict[str, str]:
    return dict(info.items(section)) if info.has_section(section) else {}
