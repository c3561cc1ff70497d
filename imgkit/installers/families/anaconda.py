"""Trees of Fedora, Red Hat and their kin, and of newer openSUSE: whatever has a .treeinfo, or the older .discinfo.

The format: https://productmd.readthedocs.io/en/latest/treeinfo-1.2.html, read as a plain INI file, because trees made
before it was written down lack most of what it demands.
Arguments: https://anaconda-installer.readthedocs.io/en/latest/user-guide/boot-options.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from imgkit.configtext import kernelargs
from imgkit.errors import LocationError
from imgkit.installers import AnswerKind, Family, InstallerFamily
from imgkit.installers.trees import (
    Evidence,
    Finder,
    InstallTree,
    address,
    architecture_name,
    first_pair,
    inner_path,
    no_kernel,
    text,
)
from imgkit.remote.url import shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from configparser import ConfigParser

    from imgkit.configtext.kernelargs import Arguments
    from imgkit.installers.trees import TreeSource

_PREFIX = "inst."
# Where a person chose how to talk to it, or where its packages are, that stays.
_MODES = ("text", "cmdline", "vnc", "rdp", "sshd")
_TEXT_MODES = {*(f"inst.{mode}" for mode in _MODES), "text", "cmdline", "vnc"}
_SOURCES = ("repo", "stage2", "method")
# Agama, SUSE's installer, took over the prefix for its own.
_OF_AGAMA = {f"inst.{name}" for name in ("auto", "auto_insecure", "script", "finish", "self_update", "install_url")}
_PREFIX_SINCE = {Family.FEDORA: 17, Family.RHEL: 7}
# Some content delivery networks have no files whose names begin with a dot; Anaconda looks for both as well.
_NAMES = (".treeinfo", "treeinfo")
_PLACES = (
    ("images/pxeboot/vmlinuz", "images/pxeboot/initrd.img"),
    ("isolinux/vmlinuz", "isolinux/initrd.img"),
    ("images/kernel.img", "images/initrd.img"),
    ("ppc/ppc64/vmlinuz", "ppc/ppc64/ramdisk.image.gz"),
    ("ppc/ppc64/vmlinuz", "ppc/ppc64/initrd.img"),
)


def _in_text(arguments: Arguments) -> Arguments:
    """Its text mode, under the name of its time. Agama's entries stay: it has none."""
    if any(argument.name in _OF_AGAMA for argument in arguments):
        return arguments
    arguments = kernelargs.remove(arguments, ("inst.graphical",))
    if any(argument.name in _TEXT_MODES for argument in arguments):
        return arguments
    has_prefix = any(argument.name.startswith(_PREFIX) for argument in arguments)
    # Before Fedora 17 and RHEL 7 its arguments had no prefix; from then on its menus have at least inst.stage2.
    return kernelargs.add(arguments, (f"{_PREFIX}text" if has_prefix else "text",))


def _arguments(tree: InstallTree | None, given: set[str]) -> list[str]:
    """Text mode, and where the packages are."""
    prefix = _prefix(tree)
    words = [] if given & _either((*_MODES, "graphical")) else [f"{prefix}text"]
    place = address(tree)
    if place and not given & _either(_SOURCES):
        parts = urlsplit(place)
        if parts.scheme == "nfs":
            place = f"nfs:{parts.hostname}:{parts.path}"
        words.insert(0, f"inst.repo={place}" if prefix else f"method={place}")
    return words


def _either(names: Sequence[str]) -> set[str]:
    return {*names, *(f"inst.{name}" for name in names)}


def _prefix(tree: InstallTree | None) -> str:
    """What Anaconda's arguments begin with; releases that did not know the prefix have long had their last day."""
    if tree is None or tree.family not in _PREFIX_SINCE:
        return "inst."
    number = tree.version.partition(".")[0]
    return "" if number.isdigit() and int(number) < _PREFIX_SINCE[tree.family] else "inst."


def _answered(tree: InstallTree | None, answers: str, is_url: bool) -> tuple[str, ...]:
    """A kickstart file."""
    return (f"{_prefix(tree)}ks={answers if is_url else 'file:' + answers}",)


def _on_medium(kind: AnswerKind, path: str, label: str) -> tuple[str, ...]:
    """A kickstart file on the volume of this label, be it a CD or a USB stick; udev writes blanks so."""
    volume = label.replace(" ", r"\x20")
    return (f"inst.ks=hd:LABEL={volume}:{path}",) if kind is AnswerKind.KICKSTART else ()


def _find_treeinfo(source: TreeSource, location: str, architecture: str | None) -> InstallTree | None:
    """The tree that .treeinfo describes; None without one.

    Raises LocationError where it does not hold what it should, or describes a tree without a kernel.
    """
    for name in _NAMES:
        written = text(source, name)
        if written is not None:
            return _described(source, location, architecture, name, _parsed(written, f"{shown(location)}: {name}"))
    return None


def _parsed(written: str, named: str) -> ConfigParser:
    from configparser import ConfigParser  # noqa: PLC0415 - takes 3 ms
    from configparser import Error as ParserError  # noqa: PLC0415

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


def _described(
    source: TreeSource, location: str, architecture: str | None, name: str, info: ConfigParser
) -> InstallTree:
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


def _find_discinfo(source: TreeSource, location: str, architecture: str | None) -> InstallTree | None:
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


def _family(name: str) -> Family:
    lowered = name.lower()
    if "fedora" in lowered:
        return Family.FEDORA
    return Family.SUSE if "suse" in lowered else Family.RHEL


def _first(info: ConfigParser, *places: tuple[str, str]) -> str:
    return next((value for section, key in places if (value := info.get(section, key, fallback="").strip())), "")


def _pairs(info: ConfigParser, section: str) -> dict[str, str]:
    return dict(info.items(section)) if info.has_section(section) else {}


FAMILY = InstallerFamily(
    marks=("/.discinfo", "/.treeinfo", "/images/install.img", "/images/pxeboot", "/LiveOS/squashfs.img"),
    # Others than Anaconda have a .treeinfo too, such as XenServer's installer: without a word on Anaconda's images.
    mark_texts={"/.treeinfo": re.compile(r"^\[(?:images-|stage2|tree|variant|checksums)", re.MULTILINE)},
    prefix=_PREFIX,
    first_page=r"anaconda [0-9]|Starting installer|Text mode provides",
    answers="/ks.cfg",
    finders=(Finder(Evidence.TREEINFO, _find_treeinfo), Finder(Evidence.DISCINFO, _find_discinfo)),
    in_text=_in_text,
    arguments=_arguments,
    answered=_answered,
    on_medium=_on_medium,
)
