"""Trees of Debian's installer, which Ubuntu used until 20.04, and the CDs of both.

The mirror's folders: https://www.debian.org/releases/stable/amd64/ch04s05 (netboot), MANIFEST in each `images`.
CDs tell in .disk/info: https://wiki.debian.org/RepositoryFormat#A.2Fdisk
Answers: https://www.debian.org/releases/stable/amd64/apbs02
Not here: hd-media, which looks for an ISO on a disk, and gtk, which needs a screen.
"""

from __future__ import annotations

import platform
import re
from functools import partial
from typing import TYPE_CHECKING

from imgkit.installers import AnswerKind, Family, InstallerFamily
from imgkit.installers.trees import (
    Clarity,
    Evidence,
    Finder,
    InstallTree,
    Layout,
    architecture_name,
    checksums,
    first_pair,
    no_kernel,
    sums,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.installers.trees import TreeSource

NAMES = {
    "x86_64": "amd64",
    "i686": "i386",
    "aarch64": "arm64",
    "ppc64le": "ppc64el",
    "armv7l": "armhf",
}
_IN_ADDRESS = re.compile(r"installer-([a-z0-9]+)(?:/|$)|/(?:daily|daily-images)/([a-z0-9]+)(?:/|$)")
_SUITE = re.compile(r"/dists/([\w.-]+)(?:/|$)")
_IMAGES = ("", "images/", "current/images/", "current/legacy-images/", "daily/")
_VERSION = re.compile(r"^(\S+) version:\s*(\S+)", re.MULTILINE)

# As: Debian GNU/Linux 12.5.0 "Bookworm" - Official amd64 NETINST with firmware 20240210-11:27
_DISK_INFO = re.compile(
    r'(?P<name>\S.*?)[ -](?P<version>\d[\w.]*)?(?: LTS)? *(?:".*?")? - \S+(?: \S+)*? (?P<arch>[a-z0-9]+)\b'
)
_MAX_INFO = 200
_CD_FOLDERS = {"x86_64": "install.amd", "i686": "install.386", "aarch64": "install.a64"}


def _answered(_tree: InstallTree | None, answers: str, is_url: bool) -> tuple[str, ...]:
    """A preseed file."""
    return ("auto=true", "priority=critical", f"preseed/{'url' if is_url else 'file'}={answers}")


def _on_medium(kind: AnswerKind, path: str, _label: str) -> tuple[str, ...]:
    """A preseed file; the medium is mounted at /cdrom."""
    return _answered(None, f"/cdrom{path}", is_url=False) if kind is AnswerKind.PRESEED else ()


def _layouts(machine: str, _location: str) -> Iterator[Layout]:
    """Unpacked netboot.tar.gz, also of Ubuntu's time with this installer, and small ISOs, whose names say little."""
    name = NAMES.get(machine, machine)
    for kin, title in ((Family.DEBIAN, "Debian"), (Family.UBUNTU, "Ubuntu")):
        for above in ("", f"netboot/{name}/", "netboot/"):
            folder = f"{above}{kin}-installer/{name}/"
            for kernel in ("linux", "vmlinux"):
                yield Layout(kin, title, machine, f"{folder}{kernel}", f"{folder}initrd.gz", clarity=Clarity.FOLDER)
    for kernel in ("linux", "vmlinuz", "vmlinux"):
        yield Layout(Family.DEBIAN, "Debian", machine, kernel, "initrd.gz", clarity=Clarity.LITTLE)


def _find_netboot(source: TreeSource, location: str, architecture: str | None) -> InstallTree | None:
    """The network installer of a mirror, a daily build, or the folder `images`; None where there is no MANIFEST."""
    told = next((word for match in _IN_ADDRESS.finditer(location) for word in match.groups() if word), None)
    machine = architecture or architecture_name(told or platform.machine())
    for images in _image_folders(NAMES.get(machine, machine)):
        manifest = text(source, f"{images}MANIFEST")
        if manifest is not None and "netboot" in manifest:
            return _netboot(source, location, images, manifest, machine)
    return None


def _image_folders(name: str) -> Iterator[str]:
    yield from _IMAGES
    for above in ("main/", "dists/stable/main/"):
        for images in ("images", "legacy-images"):
            yield f"{above}installer-{name}/current/{images}/"


def _netboot(source: TreeSource, location: str, images: str, manifest: str, machine: str) -> InstallTree:
    kin = "ubuntu" if "ubuntu-installer" in manifest else "debian"
    pairs = [(images + kernel, images + initrd) for kernel, initrd in _netboot_pairs(kin, machine)]
    kernel, initrd = first_pair(source, location, pairs)
    found, listed = checksums(
        source,
        (kernel, initrd),
        [(f"{images}{name}", partial(sums, folder=images)) for name in ("SHA256SUMS", "MD5SUMS")],
    )
    version = _VERSION.search(text(source, f"{images}netboot/version.info") or "")
    suite = _SUITE.search(location)
    return InstallTree(
        location,
        Family(kin),
        version[1] if version else kin.capitalize(),
        version[2] if version else suite[1] if suite else "",
        machine,
        kernel,
        initrd,
        found,
        listed,
    )


def _netboot_pairs(kin: str, machine: str) -> list[tuple[str, str]]:
    """Kernels and initial RAM disks below `images`."""
    name = NAMES.get(machine, machine)
    if machine == "s390x":
        return [(f"generic/kernel.{kin}", f"generic/initrd.{kin}")]
    inner = f"netboot/{kin}-installer/{name}/"
    folders = (inner, "netboot/")
    return [
        (f"{folder}{kernel}", f"{folder}initrd.gz") for folder in folders for kernel in ("linux", "vmlinux", "vmlinuz")
    ]


def _find_cd(source: TreeSource, location: str, architecture: str | None) -> InstallTree | None:
    """The installer of a CD's files; None without .disk/info, which Debian and Ubuntu have."""
    info = text(source, ".disk/info")
    if info is None:
        return None
    match = _DISK_INFO.match(info.strip()[:_MAX_INFO])
    name = match["name"] if match else "Debian"
    machine = architecture_name(match["arch"]) if match else ""
    if architecture and machine and architecture != machine:
        raise no_kernel(location, [f"it is for {machine}, not {architecture}"])
    machine = architecture or machine
    is_ubuntu = "ubuntu" in info.lower()
    kernel, initrd = first_pair(source, location, _cd_pairs(machine, is_ubuntu=is_ubuntu))
    found, listed = checksums(
        source, (kernel, initrd), [(name, sums) for name in ("sha256sum.txt", "md5sum.txt", "MD5SUMS")]
    )
    family = Family.UBUNTU if is_ubuntu else Family.DEBIAN
    version = match["version"] or "" if match else ""
    needs_iso = kernel.startswith("casper/")
    return InstallTree(location, family, name, version, machine, kernel, initrd, found, listed, needs_iso=needs_iso)


def _cd_pairs(machine: str, *, is_ubuntu: bool) -> list[tuple[str, str]]:
    if machine == "s390x":
        old = [("boot/kernel.ubuntu", "boot/initrd.ubuntu"), ("boot/kernel_live.ubuntu", "boot/initrd_live.ubuntu")]
        return old if is_ubuntu else [("boot/linux_vm", "boot/root.bin")]
    installers = [_CD_FOLDERS[machine]] if machine in _CD_FOLDERS else []
    kernels = ("vmlinux",) if machine == "ppc64le" else ("vmlinuz",)
    pairs = [(f"{folder}/{k}", f"{folder}/initrd.gz") for folder in (*installers, "install") for k in kernels]
    live = [
        (f"casper/{k}{end}", f"casper/initrd{end}{z}")
        for k in kernels
        for end in ("", ".efi")
        for z in ("", ".gz", ".lz")
    ]
    return [*pairs, *live, *((kernel + ".efi", initrd) for kernel, initrd in live if ".efi" not in kernel)]


FAMILY = InstallerFamily(
    marks=("/.disk/cd_type", "/.disk/udeb_include", "/.disk/mini-info", "/install.amd", "/.disk/info"),
    first_page=r"Select a language|Choose language",
    kept_behind="---",
    answers="/preseed.cfg",
    finders=(Finder(Evidence.DISK_INFO, _find_cd), Finder(Evidence.MANIFEST, _find_netboot)),
    layouts=_layouts,
    answered=_answered,
    on_medium=_on_medium,
)
