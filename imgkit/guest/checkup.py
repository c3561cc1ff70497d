"""Which engines work on this machine, found out by asking their parts; and how to get what is missing.

What virtual machines, install trees and batches need is looked at by those rooms, in the same words.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imgkit.errors import EngineError
from imgkit.filesystem.ext.library import load as load_libext2fs
from imgkit.guest.kvm import kvm_works

if TYPE_CHECKING:
    from collections.abc import Iterator

_SYSTEM_PACKAGES = Path("/usr/lib/python3/dist-packages")


@dataclass(frozen=True, slots=True)
class Finding:
    """One part: what it is for, whether it works, what was seen, and what to do if it does not."""

    part: str
    serves: str
    ok: bool
    message: str
    remedy: str = ""


def check_engines() -> list[Finding]:
    """Look at everything that an engine needs. Takes up to two seconds, which finding out about KVM may need."""
    return [*_native(), *_guestfs()]


def _native() -> Iterator[Finding]:
    serves = "native engine: ext2, ext3, ext4, also on LVM2"
    try:
        load_libext2fs()
        yield Finding("libext2fs", serves, True, "loaded")
    except EngineError as error:
        yield Finding("libext2fs", serves, False, error.message, error.hint or "")
    for module, serves in (("fatfs", "native engine: FAT"), ("zstandard", "zstd-compressed qcow2")):
        yield look_for_module(module, serves, f"pip install {module}")


def _guestfs() -> Iterator[Finding]:
    serves = "guestfs engine: XFS, btrfs, thin LVM, RAID, LUKS"
    remedy = system_module_remedy("guestfs", "python3-guestfs")
    yield replace(look_for_module("guestfs", serves, remedy), part="guestfs binding")
    qemu = shutil.which(f"qemu-system-{platform.machine()}") or shutil.which("qemu-kvm")
    yield Finding(
        "QEMU",
        f"virtual machines; {serves}",
        bool(qemu),
        qemu or "missing",
        "" if qemu else "apt install qemu-system-x86",
    )
    yield _kernel(serves)
    if _SYSTEM_PACKAGES.is_dir():  # Debian and its derivatives keep XFS in a package of its own
        xfs = any(Path("/usr/lib").glob("*/guestfs/supermin.d/*packages-xfs"))
        remedy = "" if xfs else "apt install libguestfs-xfs"
        yield Finding("libguestfs-xfs", "guestfs engine: XFS", xfs, "found" if xfs else "missing", remedy)
    serves = "speed of virtual machines and the guestfs engine"
    if kvm_works():
        yield Finding("KVM", serves, True, "runs virtual machines")
    else:
        yield Finding("KVM", serves, True, "does not run here; software emulation is used")


def look_for_module(module: str, serves: str, remedy: str) -> Finding:
    """Whether a Python module is installed; it is not imported."""
    found = importlib.util.find_spec(module) is not None
    return Finding(module, serves, found, "found" if found else "missing", "" if found else remedy)


def look_for_tool(tool: str, serves: str, remedy: str) -> Finding:
    """Whether a program is on the PATH; it is not run."""
    path = shutil.which(tool)
    return Finding(tool, serves, path is not None, path or "missing", "" if path else remedy)


def system_module_remedy(module: str, package: str) -> str:
    """How to get a binding that is a part of the system, which a virtual environment does not see by itself."""
    tag = f"cpython-{sys.version_info.major}{sys.version_info.minor}-"
    compiled = [path for path in _SYSTEM_PACKAGES.glob(f"*{module}mod*.so") if tag in path.name]
    if compiled and sys.prefix != sys.base_prefix:
        site = next((path for path in sys.path if path.endswith("site-packages")), sys.prefix)
        return f"ln -s {_SYSTEM_PACKAGES}/{module}*.py {_SYSTEM_PACKAGES}/*{module}mod*{tag}*.so {site}/"
    return f"apt install {package}, and run imgkit with the system's Python version"


def _kernel(serves: str) -> Finding:
    kernels = sorted(Path("/boot").glob("vmlinuz-*"))
    if not kernels:
        return Finding("kernel", serves, False, "/boot holds none", "apt install linux-image-amd64")
    readable = [kernel for kernel in kernels if os.access(kernel, os.R_OK)]
    if not readable:
        return Finding("kernel", serves, False, f"{kernels[0]} may not be read", "sudo chmod a+r /boot/vmlinuz-*")
    return Finding("kernel", serves, True, str(readable[-1]))
