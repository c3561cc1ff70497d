"""ISO images for tests, made in the forms of real installers, and what xorriso says of them."""

from __future__ import annotations

import functools
import hashlib
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from imgkit.iso.tree import IsoTree
from imgkit.iso.volume import IsoVolume
from imgkit.storage.overlay import Overlay
from tests.support import corpus, oracle
from tests.support.memorydevice import MemoryDevice

NOW = 1_700_000_000
MENU = b"set timeout=5\nmenuentry 'Install' {\n    linux /install/vmlinuz --- quiet\n}\n"
INNER_MENU = b"search --file --set=root /.disk/info\n"

_ISOLINUX = Path("/usr/lib/ISOLINUX")
_DEBIAN_CD = (
    "-r -J -joliet-long -b isolinux/isolinux.bin -c isolinux/boot.cat -boot-load-size 4 -boot-info-table -no-emul-boot "
    "-eltorito-alt-boot -e boot/grub/efi.img -no-emul-boot -isohybrid-gpt-basdat -isohybrid-apm-hfsplus"
)
_UBUNTU = (
    "-r -J -joliet-long -partition_offset 16 -appended_part_as_gpt -b isolinux/isolinux.bin -no-emul-boot "
    "-boot-load-size 4 -boot-info-table --grub2-boot-info -eltorito-alt-boot "
    "-e --interval:appended_partition_2:all:: -no-emul-boot --mbr-force-bootable"
)
# As grub-mkrescue calls it for UEFI: with HFS+, and with partitions that fill the gaps between others.
_GRUB_MKRESCUE = (
    "-r -J -joliet-long -hfsplus -apm-block-size 2048 -hfsplus-file-creator-type chrp tbxj /isolinux/isolinux.cfg "
    "-b isolinux/isolinux.bin -no-emul-boot -boot-load-size 4 -boot-info-table --grub2-boot-info -eltorito-alt-boot "
    "-e boot/grub/efi.img -no-emul-boot --protective-msdos-label -efi-boot-part --efi-boot-image"
)

# Real ones, and the package that each comes from.
THIRD_PARTY = {
    "/usr/lib/grub-rescue/grub-rescue-cdrom.iso": "grub-rescue-pc",
    "/usr/lib/ipxe/ipxe.iso": "ipxe",
    "/usr/lib/memtest86+/memtest86+x64.iso": "memtest86+",
    "/usr/lib/memtest86+/memtest86+ia32.iso": "memtest86+",
}
_CORPUS = (
    "coreos-installer/iso/embed-areas-2020-09.iso.xz coreos-installer/iso/embed-areas-2021-01.iso.xz "
    "coreos-installer/iso/embed-areas-2021-12.iso.xz coreos-installer/iso/embed-areas-2022-02.iso.xz "
    "coreos-installer/iso/embed-areas-2023-03.s390x.iso.xz coreos-installer/iso/embed-areas-2023-07.s390x.iso.xz "
    "dfvfs/iso9660.raw virt-manager/fake-centos65-label.iso virt-manager/fake-win7.iso real/bare_bones-myos.iso "
    "real/com32-isolinux-myos.iso real/ipxe-karolyczovek.iso libcdio/copying-rr.iso libcdio/copying.iso "
    "libcdio/deep-directory.iso libcdio/joliet.iso libcdio/multi_extent_8k_emul_toc_padded.iso "
    "libcdio/multi_extent_8k_joliet.iso libarchive/test_read_format_iso_2.iso libarchive/test_read_format_iso_3.iso "
    "libarchive/test_read_format_iso_joliet.iso libarchive/test_read_format_iso_joliet_long.iso "
    "libarchive/test_read_format_iso_multi_extent.iso libarchive/test_read_format_iso_rockridge.iso.xz "
    "libarchive/test_read_format_iso_rockridge_new.iso.xz libarchive/test_read_format_iso_zisofs.iso "
    "libarchive/test_fuzz_1.iso util-linux/iso-unicode-long-label.img.xz util-linux/iso.img.xz"
)
CORPUS = tuple(f"iso/{name}" for name in _CORPUS.split())
MADE = ("debian", "ubuntu", "mac", "hidden", "plain", "joliet", "deep", "sessions", "genisoimage", "level4")


def load(name: str, folder: Path) -> Path:
    """A private copy of an image by name: one that is made here, a third party's, or one of the corpus."""
    copy = folder / "image.iso"
    if name in MADE:
        copy.write_bytes(_made(name, folder))
    elif name in THIRD_PARTY:
        assert Path(name).exists(), f"{name} is missing: package {THIRD_PARTY[name]}"
        copy.write_bytes(Path(name).read_bytes())
    else:
        copy.write_bytes(corpus.content(name))
    return copy


@functools.cache
def _made_once(name: str) -> list[bytes]:
    return []


def _made(name: str, folder: Path) -> bytes:
    """Made once in a run; the images are some 3 MB."""
    kept = _made_once(name)
    if not kept:
        image = folder / "made.iso"
        _make(name, _source(folder / "source"), image)
        kept.append(image.read_bytes())
        image.unlink()
    return kept[0]


def _source(folder: Path) -> Path:
    for name in ("isolinux", "boot/grub", "EFI/boot", "doc/empty folder", ".disk"):
        (folder / name).mkdir(parents=True)
    isolinux = _ISOLINUX / "isolinux.bin"
    assert isolinux.exists(), "isolinux.bin is missing: package isolinux"
    (folder / "isolinux/isolinux.bin").write_bytes(isolinux.read_bytes())
    (folder / "isolinux/isolinux.cfg").write_bytes(b"default install\ntimeout 0\n")
    (folder / "boot/grub/grub.cfg").write_bytes(MENU)
    (folder / ".disk/info").write_bytes(b"A test image\n")
    noise = b"".join(hashlib.sha256(bytes([number])).digest() for number in range(250)) * 40
    (folder / "doc/noise.bin").write_bytes(noise)
    (folder / "doc/a second name").hardlink_to(folder / "doc/noise.bin")
    (folder / "doc/menu").symlink_to("../boot/grub/grub.cfg")
    (folder / "doc/über.txt").write_bytes(b"not only ASCII\n")
    (folder / ("doc/" + "long name " * 20)).write_bytes(b"in a continuation area\n")
    make_fat(folder / "boot/grub/efi.img")
    # isolinux.bin gets its boot information table when the image is made. The second list has the sum of the first.
    for algorithm in ("md5", "sha256"):
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "isolinux.bin")
        lines = (
            f"{hashlib.new(algorithm, each.read_bytes()).hexdigest()}  ./{each.relative_to(folder)}\n" for each in files
        )
        (folder / f"{algorithm}sum.txt").write_text("".join(lines))
    return folder


def make_fat(path: Path) -> None:
    """A FAT image with the menu of an EFI boot image, by mkfs.vfat and mtools."""
    path.write_bytes(bytes(2 << 20))
    oracle.run("mkfs.vfat", "--invariant", path)
    menu = path.with_name("inner.cfg")
    menu.write_bytes(INNER_MENU)
    oracle.run("mmd", "-i", path, "::/EFI", "::/EFI/debian")
    oracle.run("mcopy", "-i", path, menu, "::/EFI/debian/grub.cfg")
    menu.unlink()


def _make(name: str, source: Path, image: Path) -> None:
    mkisofs = ("xorriso", "-as", "mkisofs", "-quiet")
    if name == "debian":
        oracle.run(*mkisofs, "-isohybrid-mbr", _ISOLINUX / "isohdpfx.bin", *_DEBIAN_CD.split(), "-o", image, source)
    elif name == "ubuntu":
        esp = source / "boot/grub/efi.img"
        oracle.run(*mkisofs, "-append_partition", "2", "0xef", esp, *_UBUNTU.split(), "-o", image, source)
    elif name == "level4":
        # With a tree of ISO 9660:1999 beside those of Rock Ridge and Joliet.
        oracle.run(*mkisofs, "-iso-level", "4", *_DEBIAN_CD.partition(" -isohybrid")[0].split(), "-o", image, source)
    elif name == "hidden":
        hidden = ("-hide", "efi.img", "-hide-joliet", "efi.img")
        oracle.run(*mkisofs, *hidden, *_DEBIAN_CD.partition(" -isohybrid")[0].split(), "-o", image, source)
    elif name == "mac":
        oracle.run(*mkisofs, *_GRUB_MKRESCUE.split(), "-o", image, source)
    elif name == "plain":
        oracle.run("genisoimage", "-quiet", "-o", image, source / "isolinux", source / "boot")
    elif name == "joliet":
        oracle.run("genisoimage", "-quiet", "-J", "-joliet-long", "-o", image, source)
    elif name == "deep":
        (source / "/".join("abcdefghijkl")).mkdir(parents=True)
        (source / "/".join("abcdefghijkl") / "bottom").write_bytes(b"at the bottom\n")
        oracle.run("genisoimage", "-quiet", "-R", "-D" if name == "flat" else "-R", "-o", image, source)
    elif name == "sessions":
        # With an emulated table of contents, as xorriso makes them where later sessions may follow.
        oracle.run("xorriso", "-outdev", image, "-map", source, "/", "-commit")
    else:
        options = "-b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table"
        oracle.run("genisoimage", "-quiet", "-r", "-J", "-joliet-long", *options.split(), "-o", image, source)


def open_tree(image: Path | bytes) -> IsoTree:
    """The tree of an image, over an overlay; nothing is written to the file."""
    data = image if isinstance(image, bytes) else image.read_bytes()
    return IsoTree(IsoVolume.open(Overlay(MemoryDevice(data)), "image.iso"), now=NOW)


def whole(tree: IsoTree, path: str) -> bytes:
    """Contents of a file of any size; `read` takes what may be a configuration file."""
    return b"".join(tree.read_chunks(path))


def save(tree: IsoTree, path: Path) -> Path:
    """Write what the overlay shows."""
    path.write_bytes(tree.volume.device.read_at(0, tree.volume.device.size))
    return path


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of xorriso's listing."""

    mode: str
    uid: int
    gid: int
    size: int
    target: str = ""


_LINE = re.compile(r"(?P<mode>[-dlbcpse][-rwxsStT]{9})\+?\s+\d+\s+(?P<uid>\d+)\s+(?P<gid>\d+)\s+(?P<size>[\d,]+)\s")


def listing(image: Path, *options: str) -> dict[str, Listed]:
    """Every path of an image as xorriso sees it, the root left out."""
    output = oracle.run("xorriso", *options, "-indev", image, "-find", "/", "-exec", "lsdl", "--").stdout
    found = {}
    for line in output.splitlines():
        matched = _LINE.match(line)
        if matched and not line.startswith(("b", "c")):
            names = shlex.split(line[line.index("'") :])
            target = names[2] if len(names) > 2 else ""
            numbers = (int(matched[name]) for name in ("uid", "gid", "size"))
            found[names[0]] = Listed(matched["mode"], *numbers, target)
    found.pop("/", None)
    return found


def sums(image: Path, folder: Path, *options: str) -> dict[str, str]:
    """SHA-256 of every regular file, as xorriso extracts it."""
    target = folder / "extracted"
    oracle.run("xorriso", *options, "-osirrox", "on:auto_chmod_on", "-indev", image, "-extract", "/", target)
    found = {}
    for path in sorted(target.rglob("*")):
        if path.is_file() and not path.is_symlink():
            found["/" + str(path.relative_to(target))] = hashlib.sha256(path.read_bytes()).hexdigest()
    oracle.run("chmod", "-R", "u+rwX", target)
    oracle.run("rm", "-r", target)
    return found


def boot_report(image: Path) -> str:
    """Boot catalogue, boot images and partition tables, as xorriso reports them."""
    done = oracle.run("xorriso", "-indev", image, "-report_el_torito", "plain", "-report_system_area", "plain")
    return done.stdout


def link_counts(image: Path) -> dict[tuple[str, str], int]:
    """Link counts of directories as isoinfo sees them, by directory and name in it, "." and ".." included."""
    found, folder = {}, ""
    for line in oracle.run("isoinfo", "-R", "-l", "-i", image).stdout.splitlines():
        if line.startswith("Directory listing of "):
            folder = line.removeprefix("Directory listing of ")
        elif line.startswith("d"):
            found[folder, line.partition("]  ")[2].removesuffix(" ")] = int(line.split()[1])
    return found
