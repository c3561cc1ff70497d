"""A guest that is no more than a kernel and a shell on its serial line: the host's kernel, and busybox as its /init.

It is there some ten seconds after power-on, says `shell-NUMBER# ` and does what it is told; `reboot -f` restarts it,
`poweroff -f` turns it off.
"""

from __future__ import annotations

from pathlib import Path

from imgkit.location.initrd import archive
from imgkit.vm.spec import DirectKernel, Network, NetworkKind, OnReboot, VmSpec

KERNEL = max(Path("/boot").glob("vmlinuz-*"))
PROMPT = "tiny# "

_BUSYBOX = Path("/bin/busybox")
_INIT = f"""#!/bin/busybox sh
/bin/busybox --install -s /bin
mkdir -p /proc
mount -t proc proc /proc
mount -t devtmpfs dev /dev
export PS1='{PROMPT}' TERM=dumb
echo "the tiny guest is up"
while :; do setsid cttyhack sh; done
"""


def tiny_guest(folder: Path, name: str, *, on_reboot: OnReboot = OnReboot.RESTART) -> VmSpec:
    """Such a machine; its initial RAM disk is written to `folder`."""
    assert _BUSYBOX.exists(), "busybox is missing: package busybox-static"
    initrd = folder / "tiny.cpio"
    if not initrd.exists():
        files = {"/init": _INIT.encode(), "/bin/busybox": _BUSYBOX.read_bytes()}
        initrd.write_bytes(archive(files, executable=frozenset(files)))
    return VmSpec(
        name,
        memory=192,
        kernel=DirectKernel(KERNEL, initrd, "console=ttyS0,115200 panic=-1 rdinit=/init"),
        network=Network(NetworkKind.NONE),
        on_reboot=on_reboot,
    )
