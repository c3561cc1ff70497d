"""The uml engine: a Linux kernel as an ordinary process serves all file systems that Linux mounts.

    image's disk ── layer ── shelf ── vhost-user socket ── kernel (User-Mode Linux) ── agent
                      │                                                   (line and mailbox) ── file systems
                      └─ pages that the kernel wrote ──> the image's disk, an overlay

Everything on the left of the socket is this process; the kernel has no file of the image open. Nothing runs by itself:
the kernel's requests are served while a verb waits for its answer (`machine`).

    engine, filesystem            the volumes of an image, and their trees
    machine, warden, floatingpoint   a kernel: started, talked to, ended
    shelf, vhostuser              the disk that it sees
    agent, volumes, syscalls      what runs inside it; `wire` is on both sides
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from imgkit.guest.finding import Finding, look_for_tool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.formats.image import Image
    from imgkit.guest.engines import Shared
    from imgkit.guest.volume import Engine
    from imgkit.partition.model import PartitionTable

_TOOLS = (
    ("lvm", "LVM that is not linear or striped", "lvm2"),
    ("mdadm", "RAID", "mdadm"),
    ("cryptsetup", "LUKS", "cryptsetup-bin"),
)
_SERVES = "uml engine: XFS, btrfs, f2fs, all ext journals, in 2 s without KVM"


def start(image: Image, table: PartitionTable, *, now: int, keys: Sequence[str], shared: Shared | None) -> Engine:
    """An engine for one image; `shared` is a MachineKeeper."""
    from imgkit.guest.engines.uml.engine import MachineKeeper, UmlEngine  # noqa: PLC0415 - only when it is needed

    keeper = shared if isinstance(shared, MachineKeeper) else None
    return UmlEngine(image, table, now=now, keys=keys, keeper=keeper)


def check() -> Iterator[Finding]:
    """The kernel, and the tools for volumes that are made of others."""
    from imgkit.guest.engines.uml.machine import KERNEL, PACKAGES, find_kernel  # noqa: PLC0415

    kernel = find_kernel()
    if platform.machine() != "x86_64":
        yield Finding(KERNEL, _SERVES, True, "does not exist for this processor; the guestfs engine serves the same")
        return
    yield Finding(KERNEL, _SERVES, bool(kernel), kernel or "missing", "" if kernel else PACKAGES)
    for tool, what, package in _TOOLS:
        yield look_for_tool(tool, f"uml engine: {what}", f"apt install {package}")
