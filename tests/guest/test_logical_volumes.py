"""Guests on LVM, as Debian's and Ubuntu's installers lay them: found, mounted by every name, and edited natively."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from imgkit.cli.main import app
from imgkit.editing import ImageSource, edit_image, replace_file
from imgkit.errors import FormatError, NoRootError, UnsupportedError
from imgkit.guest.engines.choice import EngineChoice
from imgkit.inspection import inspect
from imgkit.layoutmap.model import RangeKind
from imgkit.storage.output import InPlace
from tests.support import oracle
from tests.support.guests import OS_RELEASE, Part, make_disk, make_file_system
from tests.support.lvm import Lvm

ROOT_UUID = "11111111-2222-3333-4444-555555555555"
BOOT_UUID = "66666666-7777-8888-9999-aaaaaaaaaaaa"
GROUP = "debian-vg"
FSTAB = """/dev/mapper/debian--vg-root / ext4 errors=remount-ro 0 1
UUID={boot} /boot ext2 defaults 0 2
/dev/mapper/debian--vg-home /home ext4 defaults 0 2
/dev/mapper/debian--vg-swap_1 none swap sw 0 0
"""


def root_bytes(folder: Path, fstab: str) -> bytes:
    files: dict[str, bytes | str] = {
        "/etc/os-release": OS_RELEASE.encode(),
        "/etc/fstab": fstab.encode(),
        "/etc/default/grub": b"GRUB_TIMEOUT=5\n",
        "/boot/.keep": b"",
        "/home/.keep": b"",
    }
    return make_file_system(folder / "root.fs", Part("ext4", files, uuid=ROOT_UUID, size=20)).read_bytes()


def make_group(lvm: Lvm, folder: Path, paths: list[Path], fstab: str, *stripes: str) -> None:
    lvm.create(GROUP, *paths, options=("--physicalextentsize", "1m"))
    lvm.volume(GROUP, "swap_1", "-l", "2")
    lvm.volume(GROUP, "root", "-l", "12")
    lvm.volume(GROUP, "home", "-l", "4")
    lvm.run("lvextend", *stripes, "-l", "+8", f"{GROUP}/root")
    lvm.write(f"{GROUP}/root", root_bytes(folder, fstab))
    home = make_file_system(folder / "home.fs", Part("ext4", {"/user/note": b"hello"}, size=4, options=("-b", "1024")))
    lvm.write(f"{GROUP}/home", home.read_bytes())
    swap = folder / "swap"
    swap.write_bytes(bytes(2 << 20))
    oracle.run("mkswap", "-q", swap)
    lvm.write(f"{GROUP}/swap_1", swap.read_bytes())


def guided(lvm: Lvm, folder: Path, *, fstab: str = FSTAB, parts: int = 1, stripes: tuple[str, ...] = ()) -> Path:
    """/boot on a partition of its own, the rest in a group on `parts` others."""
    paths = [lvm.file(f"pv{number}", 32) for number in range(parts)]
    make_group(lvm, folder, paths, fstab.format(boot=BOOT_UUID), *stripes)
    boot = Part("ext2", {"/grub/grub.cfg": b"menu\n"}, uuid=BOOT_UUID, size=4)
    return make_disk(folder / "disk.img", [boot, *(Part("", content=path.read_bytes(), size=32) for path in paths)])


def read_back(lvm: Lvm, image: Path, parts: int = 1) -> Path:
    """The root file system as LVM finds it in the image."""
    data, at = image.read_bytes(), (2048 * 512) + (4 << 20)
    for number in range(parts):
        (lvm.folder / f"pv{number}").write_bytes(data[at + number * (32 << 20) :][: 32 << 20])
    result = image.with_name("root.after")
    result.write_bytes(lvm.read(f"{GROUP}/root")[: 20 << 20])
    return result


@pytest.fixture
def lvm(tmp_path: Path) -> Lvm:
    return Lvm(tmp_path)


def source(image: Path) -> ImageSource:
    return ImageSource(image, engine=EngineChoice.NATIVE)


@pytest.mark.parametrize(("parts", "stripes"), [(1, ()), (2, ()), (2, ("-i2", "-I16k"))])
def test_found_and_edited(lvm: Lvm, tmp_path: Path, parts: int, stripes: tuple[str, ...]) -> None:
    image = guided(lvm, tmp_path, parts=parts, stripes=stripes)
    found = inspect(source(image), with_map=True)
    assert found.system is not None, found.problem
    assert found.system.mounts == {"/": "/dev/debian-vg/root", "/boot": "/dev/sda1", "/home": "/dev/debian-vg/home"}
    volumes = {volume.name: volume for volume in found.volumes}
    assert volumes["/dev/debian-vg/root"].uuid == ROOT_UUID
    assert volumes["/dev/debian-vg/swap_1"].kind == "swap"
    assert volumes["/dev/sda2"].group == GROUP
    assert found.map is not None
    drawn = {area.label: area.kind for area in found.map.areas}
    assert drawn["/dev/debian-vg/home ext4"] is RangeKind.FILE_SYSTEM
    assert drawn["/dev/debian-vg/swap_1 swap"] is RangeKind.SWAP
    assert drawn["/dev/sda2 LVM2_member"] is RangeKind.CONTAINER
    contents = b"GRUB_TERMINAL=serial\n" * 4000
    edited = edit_image(source(image), replace_file("/etc/default/grub", contents), InPlace())
    assert edited.engine == "native"
    after = read_back(lvm, image, parts)
    assert oracle.run("e2fsck", "-fn", after, check=False).returncode == 0
    assert oracle.run("debugfs", "-R", "cat /etc/default/grub", after).stdout.encode() == contents


@pytest.mark.parametrize(
    "name",
    [
        "/dev/debian-vg/home",
        "/dev/mapper/debian--vg-home",
        "/dev/disk/by-id/dm-name-debian--vg-home",
    ],
)
def test_mounted_under_every_name(lvm: Lvm, tmp_path: Path, name: str) -> None:
    image = guided(lvm, tmp_path, fstab=f"/dev/debian-vg/root / ext4 defaults 0 1\n{name} /home ext4 defaults 0 2\n")
    system = inspect(source(image)).system
    assert system is not None
    assert system.mounts["/home"] == "/dev/debian-vg/home"


def test_mounted_by_device_mappers_uuid(lvm: Lvm, tmp_path: Path) -> None:
    image = guided(lvm, tmp_path, fstab="FSTAB".ljust(200))
    (group,), (row,) = lvm.report("vgs", "vg_uuid"), lvm.report("lvs", "lv_uuid", f"{GROUP}/home")
    uuid = (group["vg_uuid"] + row["lv_uuid"]).replace("-", "")
    fstab = f"/dev/disk/by-id/dm-uuid-LVM-{uuid} /home ext4 defaults 0 1".ljust(200)
    image.write_bytes(image.read_bytes().replace(b"FSTAB".ljust(200), fstab.encode()))
    system = inspect(source(image)).system
    assert system is not None
    assert system.mounts["/home"] == "/dev/debian-vg/home"


@pytest.mark.parametrize(
    "name", ["/dev/debian-vg/root", "debian-vg/root", "/dev/mapper/debian--vg-root", f"UUID={ROOT_UUID}"]
)
def test_chosen_by_name(lvm: Lvm, tmp_path: Path, name: str) -> None:
    image = guided(lvm, tmp_path)
    found = inspect(ImageSource(image, engine=EngineChoice.NATIVE, root=name))
    assert found.system is not None, found.problem


def test_a_whole_disk_without_a_table(lvm: Lvm, tmp_path: Path) -> None:
    disk = lvm.file("pv0", 32)
    make_group(lvm, tmp_path, [disk], "/dev/debian-vg/root / ext4 defaults 0 1\n")
    image = tmp_path / "disk.qcow2"
    oracle.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", disk, image)
    edited = edit_image(source(image), replace_file("/etc/motd", b"hello\n"), InPlace())
    assert len(edited.changes) == 1
    oracle.run("qemu-img", "check", image)
    oracle.run("qemu-img", "convert", "-O", "raw", image, disk)
    after = tmp_path / "root.after"
    after.write_bytes(lvm.read(f"{GROUP}/root"))
    assert oracle.run("e2fsck", "-fn", after, check=False).returncode == 0
    assert oracle.run("debugfs", "-R", "cat /etc/motd", after).stdout == "hello\n"


def test_shown_by_inspect(lvm: Lvm, tmp_path: Path) -> None:
    image = guided(lvm, tmp_path)
    said = CliRunner().invoke(app, ["inspect", str(image), "--engine", "native"]).stdout
    assert "/dev/debian-vg/root" in said
    assert "LVM2_member of debian-vg" in said
    told = json.loads(CliRunner().invoke(app, ["inspect", str(image), "--json"]).stdout)
    root = next(volume for volume in told["volumes"] if volume["name"] == "/dev/debian-vg/root")
    assert sum(extent["stop"] - extent["start"] for extent in root["extents"]) == root["size"] == 20 << 20


def test_a_read_only_volume_is_read_and_not_written(lvm: Lvm, tmp_path: Path) -> None:
    paths = [lvm.file("pv0", 32)]
    make_group(lvm, tmp_path, paths, "/dev/debian-vg/root / ext4 defaults 0 1\n")
    lvm.run("lvchange", "-pr", f"{GROUP}/root")
    image = make_disk(tmp_path / "disk.img", [Part("", content=paths[0].read_bytes(), size=32)])
    assert inspect(source(image)).system is not None
    with pytest.raises(UnsupportedError, match="reading only"):
        edit_image(source(image), replace_file("/etc/motd", b"hello\n"), InPlace())


def test_damaged_metadata_is_an_error_that_names_the_place(lvm: Lvm, tmp_path: Path) -> None:
    image = guided(lvm, tmp_path)
    data = bytearray(image.read_bytes())
    data[data.index(b" LVM2 x[5A%r0N*>") - 4] ^= 1
    image.write_bytes(data)
    found = inspect(source(image))
    assert found.system is None
    assert "checksum" in found.problem
    assert "mda_header.checksum_xl" in found.problem
    assert {volume.name for volume in found.volumes} == {"/dev/sda1", "/dev/sda2"}
    with pytest.raises(FormatError):
        edit_image(source(image), replace_file("/etc/motd", b"hello\n"), InPlace())


def test_a_group_without_a_system_needs_no_other_engine(lvm: Lvm, tmp_path: Path) -> None:
    path = lvm.file("pv0", 16)
    lvm.create("data", path)
    lvm.volume("data", "empty", "-l", "1")
    image = make_disk(tmp_path / "disk.img", [Part("", content=path.read_bytes(), size=16)])
    with pytest.raises(NoRootError):
        edit_image(ImageSource(image), replace_file("/etc/motd", b"hello\n"), InPlace())
