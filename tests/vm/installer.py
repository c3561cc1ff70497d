"""An installer in small: a kernel whose first program writes a system to the disk, and reboots."""

from __future__ import annotations

from pathlib import Path

from imgkit.location.initrd import archive
from tests.support import oracle

KERNEL = max(Path("/boot").glob("vmlinuz-*"))
INSTALLS = "the installer writes the disk"
INSTALLED = "the installed system speaks"
_MODULES = "virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk"

_INIT = r"""
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
    static const char *modules[] = {MODULES};
    static char system_[512];
    mount("devtmpfs", "/dev", "devtmpfs", 0, "");
    dup2(open("/dev/console", O_WRONLY), 1);
    for (unsigned i = 0; i < sizeof modules / sizeof *modules; i++)
        syscall(SYS_finit_module, open(modules[i], O_RDONLY), "", 0);
    int disk;
    while ((disk = open("/dev/vda", O_WRONLY)) < 0)
        usleep(100000);
    read(open("/system", O_RDONLY), system_, sizeof system_);
    printf(SAYS "\n");
    fflush(stdout);
    write(disk, system_, sizeof system_);
    fsync(disk);
    close(disk);
    sleep(2);
    reboot(WAY);
}
"""


def boot_sector(says: str) -> bytes:
    """A system of one sector: it says something on the serial line, and halts."""
    code = bytes.fromhex("31c0 8ed8 be167c ac 84c0 7406 baf803 ee ebf5 fa f4 ebfc".replace(" ", ""))
    assert len(code) == 0x16
    return (code + f"{says}\r\n".encode() + b"\0").ljust(510, b"\0") + b"\x55\xaa"


def make_installer(folder: Path, *, way: str = "RB_AUTOBOOT") -> Path:
    """The initial RAM disk of the installer; `way` is what it does in the end."""
    release = KERNEL.name.removeprefix("vmlinuz-")
    drivers = Path("/lib/modules", release, "kernel", "drivers")
    found = [next(drivers.rglob(f"{name}.ko*")) for name in _MODULES.split()]
    source, init = folder / "init.c", folder / "init"
    names = ", ".join(f'"/{path.name}"' for path in found)
    source.write_text(_INIT.replace("MODULES", names).replace("SAYS", f'"{INSTALLS}"').replace("WAY", way))
    oracle.run("gcc", "-static", "-Os", "-o", init, source)
    files = {f"/{path.name}": path.read_bytes() for path in found}
    files |= {"/init": init.read_bytes(), "/system": boot_sector(INSTALLED)}
    files["/dev/keep"] = b""  # for the folder
    initrd = folder / "installer.cpio"
    initrd.write_bytes(archive(files, executable=frozenset({"/init"})))
    return initrd
