"""Finding the installed system in a disk: roots, mounts by every name, the joined tree."""

import re
import shlex
import subprocess
from contextlib import contextmanager

import pytest

from imgkit.errors import EngineError, GuestError, NoRootError, PathNotFoundError, TreeError, UnsupportedError
from imgkit.formats.image import open_image
from imgkit.guest.engines.choice import EngineChoice
from imgkit.guest.engines.guestfs import tree as guestfs
from imgkit.guest.engines.uml import machine
from imgkit.guest.session import open_guest
from tests.support import oracle
from tests.support.guests import OS_RELEASE, Part, make_disk, make_file_system

ROOT_UUID = "11111111-2222-3333-4444-555555555555"
BOOT_UUID = "66666666-7777-8888-9999-aaaaaaaaaaaa"
ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"


def root_part(fstab: str, **files: bytes | str) -> Part:
    tree: dict[str, bytes | str] = {
        "/etc/os-release": OS_RELEASE.encode(),
        "/etc/fstab": fstab.encode(),
        "/boot/shadowed": b"under the mount",
        "/boot/efi/.keep": b"",
        "/var/log/messages": b"hello\n",
    }
    return Part("ext4", tree | dict(files), uuid=ROOT_UUID, label="root")


@contextmanager
def guest_of(image, **options):
    options.setdefault("engine", EngineChoice.NATIVE)
    with open_image(image) as opened, open_guest(opened, now=1_700_000_000, **options) as guest:
        yield guest


@pytest.mark.parametrize(
    "source",
    [
        f"UUID={BOOT_UUID}",
        f'UUID="{BOOT_UUID}"',
        f"UUID={BOOT_UUID.upper()}",
        f"/dev/disk/by-uuid/{BOOT_UUID}",
        "LABEL=boot",
        "/dev/disk/by-label/boot",
        "PARTUUID={partuuid}",
        "/dev/disk/by-partuuid/{partuuid}",
        "/dev/sda1",
        "/dev/vda1",
        "/dev/xvda1",
        "/dev/hda1",
        "/dev/nvme0n1p1",
        "/dev/mmcblk0p1",
    ],
)
@pytest.mark.parametrize("scheme", ["gpt", "dos"])
def test_boot_is_joined_under_every_name_that_fstab_may_use(tmp_path, source, scheme):
    gpt = scheme == "gpt"
    source = source.format(partuuid=BOOT_UUID if gpt else "12345678-01")
    boot_files = {"/grub/grub.cfg": b"menu"}
    boot = Part("ext4", boot_files, uuid=BOOT_UUID, label="boot", partuuid=BOOT_UUID if gpt else "")
    image = tmp_path / "disk.img"
    make_disk(image, [boot, root_part(f"{source}\t/boot ext4 defaults 0 2\n")], scheme=scheme)
    with guest_of(image) as guest:
        assert guest.tree.read("/boot/grub/grub.cfg") == b"menu"
        assert guest.tree.read("/etc/os-release") == OS_RELEASE.encode()
        assert not guest.tree.exists("/boot/shadowed")
        assert {point: volume.name for point, volume in guest.mounts.items()} == {
            "/": "/dev/sda2",
            "/boot": "/dev/sda1",
        }


def test_three_levels_of_mounts_and_an_esp(tmp_path):
    image = tmp_path / "disk.img"
    fstab = f"""# a comment
UUID={BOOT_UUID} /boot ext4 defaults 0 2
UUID=ABCD-1234 /boot/efi vfat umask=0077 0 1
tmpfs /tmp tmpfs defaults 0 0
/swapfile none swap sw 0 0
/dev/sdb1 /data ext4 defaults 0 0
/srv/a /srv/b none bind 0 0
"""
    esp = Part("vfat", {"/EFI/debian/grub.cfg": b"stub"}, size=40, uuid="ABCD-1234", type=ESP)
    boot = Part("ext4", {"/efi/.keep": b"", "/grub/grub.cfg": b"menu"}, uuid=BOOT_UUID)
    make_disk(image, [esp, boot, root_part(fstab)], numbers=[15, 14, 1])
    with guest_of(image) as guest:
        assert guest.tree.read("/boot/efi/EFI/debian/grub.cfg") == b"stub"
        assert {v.name for v in guest.mounts.values()} == {"/dev/sda1", "/dev/sda14", "/dev/sda15"}
        assert any("/dev/sdb1 of fstab is not on this disk" in notice for notice in guest.notices)


def test_a_disk_without_fstab_is_joined_as_systemd_does(tmp_path):
    image = tmp_path / "disk.img"
    esp = Part("vfat", {"/loader/loader.conf": b"timeout 3\n"}, size=40, type=ESP)
    root = Part("ext4", {"/usr/lib/os-release": OS_RELEASE.encode(), "/etc/hostname": b"x"}, options=("-N", "64"))
    make_disk(image, [esp, Part("ext4", root.files | {"/efi": "nowhere"})])
    with guest_of(image) as guest:
        assert set(guest.mounts) == {"/"}
    make_disk(image, [esp, root])
    fresh = oracle.run("debugfs", "-w", "-R", "mkdir /efi", f"{image}?offset={(2048 + 40 * 2048) * 512}")
    assert fresh.returncode == 0
    with guest_of(image) as guest:
        assert guest.tree.read("/efi/loader/loader.conf") == b"timeout 3\n"


def test_a_whole_disk_file_system(tmp_path):
    image = make_file_system(tmp_path / "disk.img", root_part("/dev/sda / ext4 defaults 0 1\n"))
    with guest_of(image) as guest:
        assert guest.mounts["/"].name == "/dev/sda"
        assert guest.tree.listdir("/boot") == ["efi", "shadowed"]


@pytest.mark.parametrize(
    ("target", "leads_to"),
    [
        ("../boot/grub/grub.cfg", "/boot/grub/grub.cfg"),
        ("/boot/grub/grub.cfg", "/boot/grub/grub.cfg"),
        ("../../../../../boot/./grub/../grub/grub.cfg", "/boot/grub/grub.cfg"),
        ("hop", "/boot/grub/grub.cfg"),
    ],
)
def test_links_are_followed_inside_the_tree_and_over_mounts(tmp_path, target, leads_to):
    image = tmp_path / "disk.img"
    boot = Part("ext4", {"/grub/grub.cfg": b"menu", "/up": "../etc/os-release"}, uuid=BOOT_UUID)
    root = root_part(
        f"UUID={BOOT_UUID} /boot ext4 defaults 0 2\n", **{"/etc/link": target, "/etc/hop": "../boot/grub/grub.cfg"}
    )
    make_disk(image, [boot, root])
    with guest_of(image) as guest:
        assert guest.tree.read("/etc/link") == b"menu"
        assert guest.tree.resolve("/etc/link") == leads_to
        assert guest.tree.read("/boot/up") == OS_RELEASE.encode()
        guest.tree.write("/etc/link", b"new")
        assert guest.tree.read("/boot/grub/grub.cfg") == b"new"
        assert guest.tree.readlink("/etc/link") == target


def test_links_that_lead_nowhere(tmp_path):
    root = root_part("", **{"/a": "b", "/b": "a", "/etc/out": "/../../../etc/shadow", "/etc/new": "made-here"})
    image = make_file_system(tmp_path / "disk.img", root)
    with guest_of(image) as guest:
        with pytest.raises(TreeError, match="too many levels of symbolic links"):
            guest.tree.read("/a")
        with pytest.raises(PathNotFoundError):
            guest.tree.read("/etc/out")
        guest.tree.write("/etc/new", b"x")
        assert guest.tree.read("/etc/made-here") == b"x"
        with pytest.raises(PathNotFoundError, match="is not a directory"):
            guest.tree.read("/etc/fstab/x")
        with pytest.raises(TreeError, match="not absolute"):
            guest.tree.read("etc/fstab")


def test_several_systems_are_listed_and_one_is_chosen(tmp_path):
    image = tmp_path / "disk.img"
    other = Part("ext4", {"/etc/fstab": b"", "/etc/hostname": b"other"}, label="other")
    make_disk(image, [root_part(""), other])
    with (
        pytest.raises(GuestError, match=r"/dev/sda1 \(ext4, root\), /dev/sda2 \(ext4, other\)") as caught,
        guest_of(image),
    ):
        pass
    assert "--root" in caught.value.hint
    for choice in ("2", "sda2", "/dev/sda2", "LABEL=other"):
        with guest_of(image, root=choice) as guest:
            assert guest.tree.read("/etc/hostname") == b"other"
            assert len(guest.roots) == 2
    with pytest.raises(GuestError, match="no root file system is called '7'"), guest_of(image, root="7"):
        pass


def test_an_empty_disk_and_a_data_disk(tmp_path):
    image = make_disk(tmp_path / "disk.img", [Part("ext4", {"/photos/x.jpg": b""}), Part("")])
    with pytest.raises(NoRootError, match="no root file system was found"), guest_of(image):
        pass


def test_a_file_system_that_only_linux_opens_says_which_engine_does(tmp_path, monkeypatch):
    image = tmp_path / "disk.img"
    make_disk(image, [Part("", size=300)])
    oracle.run("mkfs.xfs", "-q", "-f", image)
    with pytest.raises(UnsupportedError, match="xfs") as caught, guest_of(image):
        pass
    assert "guestfs" in caught.value.hint

    def missing(*_args, **_options):
        raise EngineError("libguestfs is not here", hint="Install it.")

    with pytest.raises(NoRootError), guest_of(image, engine=EngineChoice.AUTO):
        pass  # the uml engine can say so
    monkeypatch.setattr(guestfs, "Appliance", missing)
    monkeypatch.setattr(machine, "find_kernel", lambda: None)
    with pytest.raises(UnsupportedError, match="xfs") as caught, guest_of(image, engine=EngineChoice.AUTO):
        pass
    assert "the uml engine does not work here" in caught.value.message
    assert "the guestfs engine does not work here: libguestfs is not here" in caught.value.message
    assert "apt install user-mode-linux" in caught.value.hint


def test_a_dirty_home_does_not_keep_the_system_from_being_opened(tmp_path):
    image = tmp_path / "disk.img"
    home = Part("ext4", {"/user/notes": b"x"}, label="home")
    make_disk(image, [home, root_part("LABEL=home /home ext4 defaults 0 2\n", **{"/home/.keep": b""})])
    oracle.run("debugfs", "-w", "-R", "set_super_value state 3", f"{image}?offset={2048 * 512}")
    with guest_of(image) as guest:
        assert guest.tree.read("/etc/os-release") == OS_RELEASE.encode()
        with pytest.raises(UnsupportedError):
            guest.tree.read("/home/user/notes")


def test_edits_are_in_the_overlay_only_after_finish(tmp_path):
    image = tmp_path / "disk.img"
    make_disk(image, [root_part("")])
    before = image.read_bytes()
    with open_image(image) as opened, open_guest(opened, now=1, engine=EngineChoice.NATIVE) as guest:
        guest.tree.write("/etc/motd", b"hello")
        guest.finish()
        plan = opened.plan()
    assert image.read_bytes() == before
    for patch in plan.patches:
        with image.open("r+b") as file:
            file.seek(patch.offset)
            file.write(patch.after)
    done = subprocess.run(
        [oracle.find("debugfs"), "-R", "cat /etc/motd", f"{image}?offset={2048 * 512}"], capture_output=True, check=True
    )
    assert done.stdout == b"hello"


@pytest.mark.parametrize("image_format", ["raw", "qcow2"])
def test_the_hint_for_a_file_system_that_is_not_clean_works_as_it_stands(tmp_path, image_format):
    """It is run as it is given, without root, and the image can be edited afterwards."""
    parts = [Part("ext4", {"/etc/os-release": OS_RELEASE.encode()}, size=24)]
    raw = make_disk(tmp_path / "a disk.img", parts)
    oracle.run("debugfs", "-w", "-R", "ssv state 0", f"{raw}?offset={2048 * 512}")
    image = raw
    if image_format == "qcow2":
        image = tmp_path / "a disk.qcow2"
        oracle.run("qemu-img", "convert", "-O", "qcow2", raw, image)
    with pytest.raises(UnsupportedError) as caught, guest_of(image):
        pass
    commands = re.findall(r"`(.*?)`", caught.value.hint or "")
    assert len(commands) == (1 if image_format == "raw" else 2)
    assert "?offset=1048576" in commands[-1]
    for command in commands:
        words = shlex.split(command)
        done = subprocess.run([oracle.find(words[0]), *words[1:]], capture_output=True, check=False)
        assert done.returncode in (0, 1), done  # e2fsck(8): 1 is "errors corrected"
    repaired = raw if image_format == "raw" else tmp_path / "a disk.qcow2.raw"
    with guest_of(repaired) as guest:
        assert guest.tree.exists("/etc/os-release")
