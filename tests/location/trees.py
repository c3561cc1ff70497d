"""Install trees to look at: a mirror made of Debian's real netboot files, and small ones of any family."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests.support import oracle
from tests.support.images import fixture

NETBOOT = "usr/lib/debian-installer/images/12/amd64/text"
IMAGES = "dists/stable/main/installer-amd64/current/images"
KERNEL = "netboot/debian-installer/amd64/linux"
INITRD = "netboot/debian-installer/amd64/initrd.gz"


def write(folder: Path, files: Mapping[str, bytes | str]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return folder


def debian_mirror(folder: Path) -> Path:
    """Debian's package debian-installer-12-netboot-amd64, laid out as on a mirror; checksums by sha256sum."""
    images = folder / IMAGES
    with tarfile.open(fixture("isopackages")) as packages:
        for name in (KERNEL, INITRD, "netboot/version.info"):
            member = packages.extractfile(f"{NETBOOT}/{name.removeprefix('netboot/')}")
            assert member is not None
            write(images, {name: member.read()})
    write(images, {"MANIFEST": "netboot/debian-installer    -- PXE boot directory for tftp server\n"})
    names = sorted(f"./{path.relative_to(images)}" for path in images.rglob("*") if path.is_file())
    with_folder = oracle.run("env", "-C", images, "sha256sum", *names).stdout
    write(images, {"SHA256SUMS": with_folder})
    return folder


def fedora(kernel: bytes, initrd: bytes, *, sums: str = "sha256", images: str = "images/pxeboot") -> dict[str, bytes]:
    """The files of a Fedora tree; `sums` names the algorithm of its checksums, "" for none."""
    info = (
        "[general]\nfamily = Fedora\nversion = 40\narch = x86_64\n"
        f"[images-x86_64]\nkernel = {images}/vmlinuz\ninitrd = {images}/initrd.img\n"
    )
    if sums:
        info += "[checksums]\n"
        for name, data in (("vmlinuz", kernel), ("initrd.img", initrd)):
            info += f"{images}/{name} = {sums}:{hashlib.new(sums, data).hexdigest()}\n"
    return {".treeinfo": info.encode(), f"{images}/vmlinuz": kernel, f"{images}/initrd.img": initrd}
