"""Systems that are laid out in ways of their own: found as one system each, with what they mount."""

import pytest

from imgkit.configtext.serial import SerialConsole
from imgkit.console.recipe import enable
from imgkit.editing import ImageSource, opened
from imgkit.errors import GuestError, UnsupportedError
from imgkit.guest.engines.choice import EngineChoice
from imgkit.guest.fstab import find_volumes, parse_fstab, parse_mount_unit
from imgkit.guest.mounts import find_mounts
from imgkit.guest.roots import choose_root, find_roots
from imgkit.guest.volume import GuestVolume
from tests.support.guests import OS_RELEASE, Part, make_disk
from tests.support.memoryguest import MemoryEngine

RELEASE = {"/etc/os-release": OS_RELEASE.encode()}
UUID, BOOT_UUID = "0a0a0a0a-1111-4222-8333-000000000001", "0a0a0a0a-1111-4222-8333-000000000002"
MENU = {"/grub/grub.cfg": b"menuentry 'x' {\n\tlinux /vmlinuz\n}\n"}


def guest_of(image):
    return opened(ImageSource(image, engine=EngineChoice.NATIVE))


# -- btrfs -------------------------------------------------------------------------------------------------------------


def btrfs(path="", number=0, *, default=False):
    name = "/dev/sda2" if default else f"btrfsvol:/dev/sda2{path}"
    return GuestVolume(name, "btrfs", 1 << 30, UUID, number=2, subvolume=path, subvolume_id=number)


SUSE_FSTAB = f"""UUID={UUID} / btrfs defaults 0 0
UUID={UUID} /var btrfs subvol=/@/var 0 0
UUID={UUID} /home btrfs subvolid=260 0 0
UUID={UUID} /.snapshots btrfs subvol=/@/.snapshots 0 0
UUID={UUID} /opt btrfs subvol=/@/gone 0 0
"""
SUSE = RELEASE | {"/etc/fstab": SUSE_FSTAB.encode()}
SNAPSHOT = "/@/.snapshots/1/snapshot"
PARTS = {
    btrfs("/@/var", 258): {"/log/x": b""},
    btrfs("/@/home", 260): {"/user/x": b""},
    btrfs("/@/.snapshots", 259): {"/1/info.xml": b""},
    btrfs("/@/.snapshots/2/snapshot", 262): SUSE,
}


@pytest.mark.parametrize(
    "default",
    [
        # libguestfs does not say which subvolume is the default one, and lists it again.
        {GuestVolume("/dev/sda2", "btrfs", 1 << 30, UUID, number=2): SUSE, btrfs(SNAPSHOT, 261): SUSE},
        {btrfs(SNAPSHOT, 261, default=True): SUSE},
    ],
    ids=["guestfs", "uml"],
)
def test_a_snapshot_as_default_subvolume_is_one_system(default):
    engine = MemoryEngine({**default, **PARTS})
    search = find_roots(engine)
    root = choose_root(search, None)
    assert root.volume.name == "/dev/sda2"
    older = "btrfsvol:/dev/sda2/@/.snapshots/2/snapshot"
    assert choose_root(search, older).volume.name == older
    assert choose_root(search, f"UUID={UUID}") == root
    mounts, notices = find_mounts(root, engine)
    assert {point: place.volume.subvolume for point, place in mounts.items()} == {
        "/var": "/@/var",
        "/home": "/@/home",
        "/.snapshots": "/@/.snapshots",
    }
    assert notices == [f"/opt: UUID={UUID} of fstab is not on this disk"]


def test_of_subvolumes_the_one_that_fstab_names_is_the_system():
    files = RELEASE | {"/etc/fstab": f"UUID={UUID} / btrfs subvol=root,compress=zstd:1 0 0\n".encode()}
    top = GuestVolume("/dev/sda2", "btrfs", 1 << 30, UUID, number=2, subvolume="/", subvolume_id=5)
    engine = MemoryEngine({top: {}, btrfs("/root", 256): files, btrfs("/snapshots/root-1", 300): files})
    search = find_roots(engine)
    assert choose_root(search, None).volume.subvolume == "/root"
    assert [place.volume.subvolume for place in search.snapshots] == ["/snapshots/root-1"]


def test_two_systems_in_subvolumes_are_a_choice():
    engine = MemoryEngine({btrfs("/debian", 256): RELEASE, btrfs("/fedora", 257): RELEASE})
    with pytest.raises(GuestError, match="2 installed systems"):
        choose_root(find_roots(engine), None)


# -- where /boot is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fstab", "more"),
    [
        ("/dev/disk/by-id/virtio-x-part1 /boot ext4 defaults 0 2\n", {}),
        ("/dev/disk/by-path/pci-0000:00:05.0-part1 /boot ext4 defaults 0 2\n", {}),
        (f"/dev/disk/by-uuid/{BOOT_UUID} /boot ext4 defaults 0 2\n", {}),
        ("PARTLABEL=xboot /boot ext4 defaults 0 2\n", {}),
        ("LABEL=boot\\040it /boot ext4 defaults 0 2\n", {}),
        ("/dev/nvme0n1p1 /boot ext4 defaults 0 2\n", {}),
        ("/dev/disk/by-id/unknown /boot ext4 defaults 0 2\n", {}),
        ("UUID=12345678-9abc-4def-8123-456789abcdef /boot ext4 defaults 0 2\n", {}),
        ("", {"/etc/systemd/system/boot.mount": f"[Mount]\nWhat=UUID={BOOT_UUID}\nWhere=/boot\n".encode()}),
        ("", {"/usr/lib/systemd/system/boot.mount": b"[Mount]\nWhat=/dev/disk/by-label/boot\\x20it\nWhere=/boot\n"}),
        ("", {}),
    ],
    ids=["by-id", "by-path", "by-uuid", "PARTLABEL", "LABEL", "nvme", "unknown", "other", "unit", "vendor", "none"],
)
def test_boot_is_found_whatever_fstab_calls_it(tmp_path, fstab, more):
    boot = Part("ext4", MENU, label="boot it", uuid=BOOT_UUID)
    root = Part("ext4", RELEASE | {"/etc/fstab": fstab.encode(), "/boot/.keep": b""} | more, size=24)
    image = make_disk(tmp_path / "disk.img", [boot, root])
    with guest_of(image) as (_, guest):
        if "PARTLABEL" not in fstab:
            assert guest.mounts["/boot"].number == 1
        assert guest.tree.exists("/boot/grub/grub.cfg")


def test_a_boot_volume_is_not_guessed_where_there_are_two(tmp_path):
    parts = [Part("ext4", MENU), Part("ext4", MENU), Part("ext4", RELEASE | {"/boot/.keep": b""}, size=24)]
    with guest_of(make_disk(tmp_path / "disk.img", parts)) as (_, guest):
        assert "/boot" not in guest.mounts


def test_a_root_that_has_its_boot_loader_takes_no_other(tmp_path):
    parts = [Part("ext4", MENU), Part("ext4", RELEASE | {"/boot/grub/grub.cfg": b""}, size=24)]
    with guest_of(make_disk(tmp_path / "disk.img", parts)) as (_, guest):
        assert "/boot" not in guest.mounts


def test_openwrts_boot_is_a_folder_of_a_volume_that_nothing_names(tmp_path):
    kernel = Part("ext4", {"/boot/grub/grub.cfg": b"menuentry 'OpenWrt' {\n}\n"}, label="kernel")
    image = make_disk(tmp_path / "disk.img", [kernel, Part("ext4", RELEASE, size=24)])
    with guest_of(image) as (_, guest):
        assert guest.tree.read("/boot/grub/grub.cfg").startswith(b"menuentry 'OpenWrt'")
        assert any("/boot is assumed to be /dev/sda1" in notice for notice in guest.notices)
        guest.tree.write("/boot/grub/grub.cfg", b"edited")
        assert guest.tree.read("/boot/grub/grub.cfg") == b"edited"


def test_mount_units_and_subvolumes():
    assert parse_mount_unit("[Mount]\nWhat=LABEL=x\nWhere=/boot/efi\nOptions=ro,umask=077\n").options == (
        "ro",
        "umask=077",
    )
    assert parse_mount_unit("[Unit]\nDescription=x\n") is None
    (mount,) = parse_fstab("/dev/vg/root / btrfs rw,subvolid=256,subvol=/@ 0 0\n")
    assert mount.subvolume == "/@"
    inner = GuestVolume("btrfsvol:/dev/vg/root/@", "btrfs", 0, subvolume="/@", subvolume_id=256)
    assert find_volumes(mount.source, [inner]) == [inner]
    assert mount.is_of(inner)


# -- systems -----------------------------------------------------------------------------------------------------------


def test_nixos_whose_fstab_is_a_link(tmp_path):
    files = {
        "/etc/static": "/nix/store/x-etc/etc",
        "/etc/fstab": "/etc/static/fstab",
        "/etc/os-release": "/etc/static/os-release",
        "/nix/store/x-etc/etc/fstab": b"/dev/disk/by-label/nixos / ext4 defaults 0 1\nLABEL=boot /boot ext4 x 0 0\n",
        "/nix/store/x-etc/etc/os-release": b'ID=nixos\nPRETTY_NAME="NixOS 25.05"\n',
        "/boot/.keep": b"",
    }
    parts = [Part("ext4", MENU, label="boot"), Part("ext4", files, size=24, label="nixos")]
    with guest_of(make_disk(tmp_path / "disk.img", parts)) as (_, guest):
        assert guest.mounts["/boot"].label == "boot"
        assert guest.tree.read("/etc/os-release").startswith(b"ID=nixos")


@pytest.mark.parametrize("fstab", ["/etc/gone", "/etc"])
def test_an_fstab_that_is_a_link_to_nowhere_or_a_folder_mounts_nothing(tmp_path, fstab):
    image = make_disk(tmp_path / "disk.img", [Part("ext4", RELEASE | {"/etc/fstab": fstab}, size=24)])
    with guest_of(image) as (_, guest):
        assert set(guest.mounts) == {"/"}


DEPLOY = "/ostree/deploy/default/deploy"
NEW, OLD = f"{DEPLOY}/{'ab' * 32}.0", f"{DEPLOY}/{'cd' * 32}.0"
ENTRY = f"title CentOS (ostree:0)\noptions root=UUID={UUID} rw ostree=/ostree/boot.1/default/e/0\nlinux /vmlinuz\n"


def deployment(folder, fstab):
    return {
        f"{folder}/usr/lib/os-release": b'ID="centos"\n',
        f"{folder}/etc/os-release": "../usr/lib/os-release",
        f"{folder}/etc/fstab": fstab.encode(),
        f"{folder}/usr/lib/systemd/systemd": b"\x7fELF",
        f"{folder}/sbin": "usr/sbin",
        f"{folder}/ostree": "sysroot/ostree",
        f"{folder}/boot/.keep": b"",
        f"{folder}/sysroot/.keep": b"",
    }


@pytest.mark.parametrize("linked", [True, False])
def test_an_ostree_deployment_is_the_root(tmp_path, linked):
    boot = {
        "/loader": "loader.1",
        "/loader.1/entries/ostree-1.conf": ENTRY.encode(),
        "/grub2/grub.cfg": b"set timeout=1\ninsmod blscfg\nblscfg\n",
    }
    root = {"/ostree/repo/config": b"[core]\n", "/ostree/deploy/default/var/log/x": b""}
    root |= deployment(NEW, f"UUID={BOOT_UUID} /boot ext4 ro 1 2\n")
    if linked:
        root |= deployment(OLD, "") | {"/ostree/boot.1.1/default/e/0": f"../../../../..{NEW}"}
        root |= {"/ostree/boot.1": "boot.1.1"}
    parts = [Part("ext4", boot, uuid=BOOT_UUID), Part("ext4", root, size=32, uuid=UUID)]
    with guest_of(make_disk(tmp_path / "disk.img", parts)) as (_, guest):
        tree = guest.tree
        assert tree.read("/etc/os-release") == b'ID="centos"\n'
        assert tree.read("/etc/fstab").startswith(b"UUID=")
        assert tree.exists("/boot/loader/entries/ostree-1.conf")
        assert tree.exists("/sysroot/ostree/repo/config")
        assert tree.exists("/ostree/repo/config"), "through the deployment's link"
        assert tree.exists("/var/log/x")
        tree.write("/etc/new", b"x")
        assert tree.read(f"/sysroot{NEW}/etc/new") == b"x"


@pytest.mark.parametrize(
    ("labels", "name", "way"),
    [
        (("EFI-SYSTEM", "USR-A", "USR-B", "OEM", "ROOT"), "Flatcar Container Linux", "linux_append"),
        (("ubuntu-seed", "ubuntu-boot", "ubuntu-save", "ubuntu-data"), "Ubuntu Core", "snap set system"),
        (("hassos-boot", "hassos-kernel0", "hassos-system0", "hassos-data"), "Home Assistant OS", "cmdline.txt"),
    ],
)
def test_systems_that_set_their_console_in_a_way_of_their_own_are_named(tmp_path, labels, name, way):
    parts = [Part("ext4", {"/x": b""}, size=8, label=label) for label in labels]
    image = make_disk(tmp_path / "disk.img", parts)
    with pytest.raises(GuestError, match=name) as caught, guest_of(image):
        pass
    assert way in caught.value.hint


@pytest.mark.parametrize(
    ("title", "name", "way"),
    [("VyOS 1.4 (KVM console)", "VyOS", "set system console"), ("OpenWrt", "OpenWrt", "ext4-combined")],
)
def test_systems_that_are_told_by_their_menu_are_named(tmp_path, title, name, way):
    menu = {"/boot/grub/grub.cfg": f'menuentry "{title}" {{\n\tlinux /boot/vmlinuz\n}}\n'.encode()}
    image = make_disk(tmp_path / "disk.img", [Part("ext4", menu, label="persistence"), Part("")])
    with pytest.raises(GuestError, match=name) as caught, guest_of(image):
        pass
    assert way in caught.value.hint


def test_an_esp_with_loader_entries_needs_no_other_boot(tmp_path):
    esp = {"/loader/entries/a.conf": b"title x\nlinux /vmlinuz\n"}
    root = RELEASE | {"/etc/fstab": b"LABEL=ESP /boot/efi vfat x 0 0\n", "/boot/efi/.keep": b""}
    parts = [Part("vfat", esp, label="ESP"), Part("ext4", MENU), Part("ext4", root, size=24)]
    with guest_of(make_disk(tmp_path / "disk.img", parts)) as (_, guest):
        assert set(guest.mounts) == {"/", "/boot/efi"}


def test_a_refusal_says_that_boot_was_not_found(tmp_path):
    fstab = b"UUID=12345678-9abc-4def-8123-456789abcdef /boot ext4 defaults 0 2\n"
    image = make_disk(
        tmp_path / "disk.img", [Part("ext4", RELEASE | {"/etc/fstab": fstab, "/boot/.keep": b""}, size=24)]
    )
    with (
        pytest.raises(UnsupportedError, match=r"/boot: UUID=12345678.* is not on this disk"),
        guest_of(image) as (_, guest),
    ):
        enable(guest.tree, SerialConsole())
