"""What takes untrusted bytes, fed directly, with well-formed inputs to begin with.

A parser takes any bytes, or refuses them with an ImgkitError. Of a binary structure the input is a window at the start
of a small image, and checksums in it are made right, so that what stands behind them is reached. Mutation (`mutate`)
and coverage-guided fuzzing (`fuzz`) share this table.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from imgkit.accounts.securetty import config as securetty
from imgkit.bootloaders.bls import config as bls
from imgkit.bootloaders.bls import loader as bls_loader
from imgkit.bootloaders.grub2 import environment
from imgkit.bootloaders.grub2 import loader as grub2
from imgkit.bootloaders.grub_legacy import loader as grub_legacy
from imgkit.bootloaders.syslinux import loader as syslinux
from imgkit.configtext import shellvars
from imgkit.configtext.options import EnableOptions
from imgkit.configtext.serial import SerialConsole
from imgkit.configtext.text import decode
from imgkit.filesystem.ext.filesystem import open_ext
from imgkit.filesystem.fat.filesystem import open_fat
from imgkit.formats.qcow2.disk import Qcow2Disk
from imgkit.guest import fstab
from imgkit.inits.inittab import config as inittab
from imgkit.iso.tree import IsoTree
from imgkit.iso.volume import IsoVolume
from imgkit.partition.table import read_table
from imgkit.storage import patchfile
from imgkit.storage.overlay import Overlay, Patch, PatchPlan
from imgkit.treeedits import TreeEdits
from imgkit.volumes.lvm2.config import parse as parse_lvm
from imgkit.volumes.lvm2.group import parse_group
from imgkit.volumes.model import Member
from imgkit.volumes.registry import assemble
from tests.filesystem.images import NOW
from tests.hardening import checksums, seedimages, seeds
from tests.hardening.walk import read_all
from tests.support.memorydevice import MemoryDevice
from tests.support.memorytree import MemoryTree

CONSOLE = SerialConsole()
_OPTIONS = EnableOptions(timeout=5)
_GRUB = b"""set timeout=5
load_env
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
fi
function load_video { insmod all_video ; }
menuentry 'Debian' --class gnu {
  load_video
  search --no-floppy --fs-uuid --set=root 1234
  linux /vmlinuz root=/dev/sda1 ro quiet
  initrd /initrd.img
}
submenu 'More' { menuentry "Old (recovery mode)" { linux /old single ; } }
source /boot/grub/more.cfg
for x in a b; do echo $x; done
"""
_NEIGHBOUR = b"timeout 30\n"
_SYSLINUX = b"""SERIAL 0 9600
UI vesamenu.c32
PROMPT 0
TIMEOUT 50
DEFAULT linux
MENU TITLE Boot
INCLUDE more.cfg
LABEL linux
  MENU LABEL ^Linux
  MENU DEFAULT
  KERNEL /vmlinuz
  APPEND initrd=/initrd.img root=/dev/sda1 ro quiet --- x
LABEL memtest
  COM32 memdisk
  APPEND iso raw
MENU BEGIN deeper
LABEL back
  MENU EXIT
MENU END
"""
_LEGACY = b"default=0\ntimeout=5\ntitle x\n\troot (hd0,0)\n\tkernel /vmlinuz ro root=/dev/sda1 rhgb\n\tinitrd /initrd\n"
_BLS = b"title x\nversion 6.1\nlinux /vmlinuz\ninitrd /initrd\noptions root=UUID=1 ro quiet $tuned_params\n"
_INITTAB = b"""id:3:initdefault:
si::sysinit:/etc/rc.d/rc.sysinit
1:2345:respawn:/sbin/getty 38400 tty1
#T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100
s1:12345:respawn:/sbin/agetty -L 9600 ttyS1 vt100
ca:12345:ctrlaltdel:/sbin/shutdown -t1 -a -r now
"""
_FSTAB = b"# x\nUUID=1-2 / ext4 defaults 0 1\n/dev/sda2 /a\\040b vfat umask=0077,bind 0 2\nLABEL=x none swap sw 0 0\n"
_VARIABLES = (
    b"GRUB_TIMEOUT=5\n# x\nexport A='b c'\nGRUB_CMDLINE_LINUX=\"quiet $A \\\n splash\"\nB+=1\nif x; then\nC=1\nfi\n"
)
_MOUNT = b"[Unit]\nDescription=x\n[Mount]\nWhat=/dev/disk/by-uuid/1\nWhere=/boot\nType=ext4\n"
_ENVIRONMENT = b"# GRUB Environment Block\nsaved_entry=0\nkernelopts=root=/dev/sda1 ro\n".ljust(1024, b"#")
_LVM = b"""vg {
id = "a" seqno = 3 format = "lvm2" status = ["RESIZEABLE", "READ", "WRITE"] flags = [] extent_size = 8192
physical_volumes { pv0 { id = "b" device = "/dev/sda1" status = ["ALLOCATABLE"] pe_start = 2048 pe_count = 10 } }
logical_volumes { root { id = "c" status = ["READ", "WRITE", "VISIBLE"] segment_count = 1
segment1 { start_extent = 0 extent_count = 5 type = "striped" stripe_count = 1 stripes = ["pv0", 0] } } }
}
contents = "Text Format Volume Group" # comment
version = 1
"""


@dataclass(frozen=True)
class Parser:
    """`seeds()` are inputs that are well-formed; `feed` parses one, and uses what it finds."""

    seeds: Callable[[], tuple[bytes, ...]]
    feed: Callable[[bytes], object]
    is_text: bool = True


def _tree(feed: Callable[[TreeEdits, str], object], path: str) -> Callable[[bytes], object]:
    """Feeds a file of a tree, beside one that it may include."""

    def fed(data: bytes) -> None:
        neighbour = f"{path.rpartition('/')[0]}/more.cfg"
        feed(TreeEdits(MemoryTree({path: data, neighbour: _NEIGHBOUR})), path)

    return fed


def _enabled(loader: object) -> Callable[[TreeEdits, str], None]:
    def feed(edits: TreeEdits, path: str) -> None:
        for _ in loader.kernels(edits, path):  # type: ignore[attr-defined]
            pass
        loader.enable(edits, path, CONSOLE, _OPTIONS)  # type: ignore[attr-defined]
        for _ in loader.checks(edits, path, CONSOLE):  # type: ignore[attr-defined]
            pass

    return feed


def _text(feed: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: feed(decode(data))


def _window(
    image: Callable[[], bytes],
    length: int,
    feed: Callable[[Overlay], object],
    fix: Callable[[bytearray], None] | None = None,
    start: int = 0,
) -> Parser:
    """Feeds an image whose bytes from `start` are the input."""

    @functools.cache
    def device() -> MemoryDevice:
        return MemoryDevice(image())

    def fed(data: bytes) -> None:
        overlay = Overlay(device())
        changed = bytearray(data[:length])
        if fix is not None:
            with suppress(IndexError, OverflowError):  # what is not there has no checksum
                fix(changed)
        overlay.write_at(start, bytes(changed[:length]))
        feed(overlay)

    return Parser(lambda: (image()[start : start + length].rstrip(b"\0") + bytes(8),), fed, is_text=False)


def _feed_ext(device: Overlay) -> None:
    with open_ext(device, writable=False, now=NOW) as file_system:
        read_all(file_system)


def _feed_fat(device: Overlay) -> None:
    with open_fat(device, writable=False, now=NOW) as file_system:
        read_all(file_system)


def _feed_qcow2(device: Overlay) -> None:
    disk = Qcow2Disk(device)
    disk.read_at(0, min(disk.size, 1 << 20))
    for _ in disk.own_ranges():
        pass
    disk.write_at(0, b"edited"[: disk.size])


def _feed_iso(device: Overlay) -> None:
    read_all(IsoTree(IsoVolume.open(device, "image.iso"), now=NOW))


def _feed_patch_file(data: bytes) -> None:
    body = data[:-32]
    patchfile.parse(body + patchfile._digest(body), "x")


def _patch_file() -> tuple[bytes, ...]:
    plan = PatchPlan((Patch(512, b"old!", b"new!"), Patch(4096, b"", b"grown")), 4096, 4101)
    return (patchfile.serialise(patchfile.PatchFile(plan, "disk.raw", 1_700_000_000_000_000_000, 1, 2)),)


def _assembled(device: Overlay) -> None:
    for volume in assemble([Member("/dev/sda5", "LVM2_member", device)]).volumes:
        if volume.device is not None:
            volume.device.read_at(0, min(512, volume.device.size))


def _grubenv(data: bytes) -> None:
    environment.enable(data, CONSOLE)


def _lvm_text(data: bytes) -> None:
    parse_group(parse_lvm(data, 0))


def _one(text: bytes) -> Callable[[], tuple[bytes, ...]]:
    return lambda: (text,)


def _made(name: str) -> Callable[[], bytes]:
    @functools.cache
    def make() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            return seedimages.MADE[name](Path(folder))

    return make


_WELL_FORMED = {
    "grub.cfg": Parser(_one(_GRUB), _tree(_enabled(grub2), "/boot/grub/grub.cfg")),
    "syslinux.cfg": Parser(_one(_SYSLINUX), _tree(_enabled(syslinux), "/boot/syslinux/syslinux.cfg")),
    "menu.lst": Parser(_one(_LEGACY), _tree(_enabled(grub_legacy), "/boot/grub/menu.lst")),
    "loader entry": Parser(_one(_BLS), _tree(_enabled(bls_loader), "/loader/entries/x.conf")),
    "loader.conf": Parser(_one(b"default x\ntimeout 5\n#y\n"), _text(lambda text: bls.set_loader_timeout(text, 5))),
    "inittab": Parser(_one(_INITTAB), _text(lambda text: inittab.enable(text, CONSOLE))),
    "securetty": Parser(_one(b"console\ntty1\n#ttyS0\n"), _text(lambda text: securetty.enable(text, CONSOLE))),
    "fstab": Parser(_one(_FSTAB), _text(fstab.parse_fstab)),
    "mount unit": Parser(_one(_MOUNT), _text(fstab.parse_mount_unit)),
    "shell variables": Parser(_one(_VARIABLES), _text(lambda text: shellvars.evaluate([text]))),
    "grubenv": Parser(_one(_ENVIRONMENT), _grubenv),
    "LVM2 text": Parser(_one(_LVM), _lvm_text),
    "patch file": Parser(_patch_file, _feed_patch_file, is_text=False),
    "MBR": _window(_made("dos"), 2048, read_table),
    "GPT": _window(_made("gpt"), 17_408, read_table, checksums.fix_gpt),
    "LVM2 label": _window(_made("lvm2"), 16_384, _assembled, checksums.fix_lvm2),
    "ext": _window(_made("ext4"), 96 << 10, _feed_ext, checksums.fix_ext),
    "ext journal": _window(_made("ext4 with a log"), 256 << 10, _feed_ext, checksums.fix_ext),
    "FAT": _window(_made("fat"), 16 << 10, _feed_fat),
    "qcow2": _window(_made("qcow2"), 320 << 10, _feed_qcow2),
    "ISO": _window(_made("iso"), 80 << 10, _feed_iso, start=16 * 2048),
}


def _with_found(name: str, parser: Parser) -> Parser:
    found = functools.cache(lambda: (*parser.seeds(), *seeds.load(name)))
    return replace(parser, seeds=found)


PARSERS = {name: _with_found(name, parser) for name, parser in _WELL_FORMED.items()}
"""By name; the seeds are the well-formed inputs, then those that fuzzing has found."""
