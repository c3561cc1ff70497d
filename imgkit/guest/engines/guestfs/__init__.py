"""libguestfs's appliance as an engine."""

from __future__ import annotations

import os
import platform
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from imgkit.guest.finding import SYSTEM_PACKAGES, Finding, find_tool, look_for_module, system_module_remedy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.formats.image import Image
    from imgkit.guest.engines import Shared
    from imgkit.guest.volume import Engine
    from imgkit.partition.model import PartitionTable

_SERVES = "guestfs engine: the same as the uml engine, in 4 s with KVM, 20 s without"


def start(image: Image, table: PartitionTable, *, now: int, keys: Sequence[str], shared: Shared | None) -> Engine:
    """An engine for one image; `shared` is an Appliance, with the image among its drives."""
    from imgkit.guest.engines.guestfs.appliance import Appliance  # noqa: PLC0415 - only when it is needed
    from imgkit.guest.engines.guestfs.tree import GuestfsEngine  # noqa: PLC0415

    appliance = shared if isinstance(shared, Appliance) else None
    return GuestfsEngine(image, table, now=now, keys=keys, shared=appliance)


def check() -> Iterator[Finding]:
    """The binding, QEMU, a kernel, and Debian's package for XFS."""
    remedy = system_module_remedy("guestfs", "python3-guestfs")
    yield replace(look_for_module("guestfs", _SERVES, remedy), part="guestfs binding")
    qemu = find_tool(f"qemu-system-{platform.machine()}") or find_tool("qemu-kvm")
    remedy = "" if qemu else "apt install qemu-system-x86"
    yield Finding("QEMU", f"virtual machines; {_SERVES}", bool(qemu), qemu or "missing", remedy)
    yield _kernel()
    if SYSTEM_PACKAGES.is_dir():  # Debian and its derivatives keep XFS in a package of its own
        xfs = any(Path("/usr/lib").glob("*/guestfs/supermin.d/*packages-xfs"))
        remedy = "" if xfs else "apt install libguestfs-xfs"
        yield Finding("libguestfs-xfs", "guestfs engine: XFS", xfs, "found" if xfs else "missing", remedy)


def _kernel() -> Finding:
    kernels = sorted(Path("/boot").glob("vmlinuz-*"))
    if not kernels:
        return Finding("kernel", _SERVES, False, "/boot holds none", "apt install linux-image-amd64")
    readable = [kernel for kernel in kernels if os.access(kernel, os.R_OK)]
    if not readable:
        return Finding("kernel", _SERVES, False, f"{kernels[0]} may not be read", "sudo chmod a+r /boot/vmlinuz-*")
    return Finding("kernel", _SERVES, True, str(readable[-1]))
