"""What only Linux serves, through the uml engine: volumes in volumes, btrfs's subvolumes, labels, crash copies.

The disks are made by a kernel of our own (`fixtures.kernel`), and looked at afterwards by the tools of their formats.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager

import pytest

from fixtures.kernel import CRASH, run
from imgkit.errors import LockedVolumeError, TreeError
from imgkit.formats.image import open_image
from imgkit.guest.engines.choice import EngineChoice
from imgkit.guest.session import open_guest
from imgkit.storage.output import InPlace, deliver
from tests.support import oracle

NOW = 1_700_000_000
KEY = "correct horse"

# Fill the root file system at /mnt/r.
SYSTEM = """
mkdir -p /mnt/r/etc/default
echo ID=test >/mnt/r/etc/os-release
echo GRUB_TIMEOUT=5 >/mnt/r/etc/default/grub
echo "$fstab" >/mnt/r/etc/fstab
"""


def made(folder, script, size=100, **given):
    """A raw disk of `size` MiB on which a script was run."""
    image = folder / "disk.raw"
    with image.open("wb") as file:
        file.truncate(size << 20)
    run(script, image, given=given)
    return image


@contextmanager
def guest_of(image, **options):
    options.setdefault("engine", EngineChoice.UML)
    with open_image(image, writable=True) as disk, open_guest(disk, now=NOW, **options) as guest:
        yield disk, guest


def edit(image, **options):
    """Rewrite a file and make one; the volumes by mount point."""
    with guest_of(image, **options) as (disk, guest):
        assert guest.tree.read("/etc/default/grub") == b"GRUB_TIMEOUT=5\n"
        guest.tree.write("/etc/default/grub", b"GRUB_TIMEOUT=9\n")
        guest.tree.write("/etc/default/new", b"new\n")
        guest.finish()
        deliver(disk.host, disk.plan(), InPlace(), mtime_ns=NOW * 10**9)
        return {point: volume.name for point, volume in guest.mounts.items()}


def assert_edited(image, **options):
    with guest_of(image, **options) as (_, guest):
        assert guest.tree.read("/etc/default/grub") == b"GRUB_TIMEOUT=9\n"
        assert guest.tree.read("/etc/default/new") == b"new\n"


FEDORA = """
mkfs.btrfs -q /dev/ubda
mkdir /mnt/d /mnt/r
mount -o compress=zstd /dev/ubda /mnt/d
for name in root home; do btrfs -q subvolume create /mnt/d/$name; done
mount --bind /mnt/d/root /mnt/r
uuid=$(blkid -s UUID -o value /dev/ubda)
fstab="UUID=$uuid / btrfs subvol=root,compress=zstd:1 0 0
UUID=$uuid /home btrfs subvol=/home 0 0"
SYSTEM
echo hello >/mnt/d/home/file
btrfs -q subvolume snapshot -r /mnt/d/root /mnt/d/before
btrfs -q subvolume create /mnt/d/root/container
mkdir /mnt/d/root/container/etc
echo ID=container >/mnt/d/root/container/etc/os-release
umount /mnt/r /mnt/d
""".replace("SYSTEM", SYSTEM)


def test_a_btrfs_is_mounted_as_fstab_says_and_its_snapshots_are_no_systems(tmp_path):
    image = made(tmp_path, FEDORA, size=130)
    assert edit(image) == {"/": "btrfsvol:/dev/sda/root", "/home": "btrfsvol:/dev/sda/home"}
    assert_edited(image)
    with guest_of(image) as (_, guest):
        assert guest.tree.read("/home/file") == b"hello\n"
        assert [root.name for root in guest.roots] == ["btrfsvol:/dev/sda/root"]
    oracle.run("btrfs", "check", "--check-data-csum", image)
    with guest_of(image, root="btrfsvol:/dev/sda/before") as (_, guest):
        assert guest.tree.read("/etc/default/grub") == b"GRUB_TIMEOUT=5\n"
        with pytest.raises(TreeError, match=r"btrfsvol:/dev/sda/before is read-only") as caught:
            guest.tree.write("/etc/default/grub", b"")
        assert "transactional-update" in caught.value.hint


OPENSUSE = """
mkfs.btrfs -q /dev/ubda
mkdir /mnt/d /mnt/r
mount /dev/ubda /mnt/d
btrfs -q subvolume create /mnt/d/@
for name in .snapshots home; do btrfs -q subvolume create /mnt/d/@/$name; done
mkdir /mnt/d/@/.snapshots/1 /mnt/d/@/.snapshots/2
btrfs -q subvolume create /mnt/d/@/.snapshots/1/snapshot
btrfs subvolume set-default /mnt/d/@/.snapshots/1/snapshot
mount --bind /mnt/d/@/.snapshots/1/snapshot /mnt/r
fstab="LABEL=system / btrfs defaults 0 0
LABEL=system /home btrfs subvol=/@/home 0 0"
btrfs filesystem label /mnt/d system
SYSTEM
btrfs -q subvolume snapshot -r /mnt/r /mnt/d/@/.snapshots/2/snapshot
umount /mnt/r /mnt/d
""".replace("SYSTEM", SYSTEM)


def test_the_default_subvolume_is_the_root_where_fstab_names_none(tmp_path):
    image = made(tmp_path, OPENSUSE, size=130)
    assert edit(image) == {"/": "/dev/sda", "/home": "btrfsvol:/dev/sda/@/home"}
    assert_edited(image)
    oracle.run("btrfs", "check", image)


LUKS = """
load cbc ecb xts sha512_generic af_alg algif_skcipher dm-crypt
printf '%s' "$key" >/tmp/key
cryptsetup luksFormat -q --disable-locks --key-file /tmp/key $options /dev/ubda
cryptsetup open --disable-locks --disable-keyring --key-file /tmp/key /dev/ubda inner
volumes vgcreate -q group /dev/mapper/inner
volumes lvcreate -q -an -Zn -y -n root -l 100%FREE group
volumes vgchange -q -ay
mkfs.xfs -q /dev/group/root
mkdir /mnt/r
mount /dev/group/root /mnt/r
fstab='/dev/mapper/group-root / xfs defaults 0 0'
SYSTEM
umount /mnt/r
volumes vgchange -q -an
cryptsetup close --disable-locks inner
""".replace("SYSTEM", SYSTEM)
CHEAP = "--pbkdf-force-iterations 1000"


@pytest.mark.parametrize(
    "options", [f"--type luks1 {CHEAP}", "--type luks2 --pbkdf argon2id --pbkdf-memory 32 --pbkdf-force-iterations 4"]
)
def test_a_key_opens_luks_with_logical_volumes_inside(tmp_path, options):
    image = made(tmp_path, LUKS, size=360, key=KEY, options=options)
    with pytest.raises(LockedVolumeError, match="/dev/sda is encrypted") as caught, guest_of(image):
        pass
    assert "--key-file" in caught.value.hint
    keys = ("incorrect horse", KEY)
    assert edit(image, keys=keys) == {"/": "/dev/group/root"}
    assert_edited(image, keys=keys)
    oracle.run("cryptsetup", "luksDump", image)


RAID = """
sfdisk -q /dev/ubda <<END
label: dos
size=40M, type=fd
size=40M, type=fd
END
load md-mod raid1
mdadm -q --create /dev/md0 --level=1 --raid-devices=2 --run --assume-clean --homehost=box --name=root /dev/ubda[12]
mkfs.ext4 -q /dev/md0
mkdir /mnt/r
mount /dev/md0 /mnt/r
fstab='/dev/md/root / ext4 defaults 0 0'
SYSTEM
umount /mnt/r
mdadm -q --stop /dev/md0
""".replace("SYSTEM", SYSTEM)
RAID_AFTER = """
load md-mod raid1
mdadm -q --assemble --readonly /dev/md0 /dev/ubda1 /dev/ubda2
mdadm --detail /dev/md0
mdadm --examine /dev/ubda1 /dev/ubda2 | grep -e 'State :' -e Events
e2fsck -fn /dev/md0
mdadm -q --stop /dev/md0
for part in /dev/ubda1 /dev/ubda2; do tail -c +16777217 $part | sha256sum; done
"""


def test_both_halves_of_a_mirror_are_written(tmp_path):
    image = made(tmp_path, RAID)
    assert edit(image) == {"/": "/dev/md/root"}
    assert_edited(image)
    said = run(RAID_AFTER, image)
    assert said.count("active sync") == 2
    assert said.count("State : clean") == 3
    sums = [line for line in said.splitlines() if line.endswith("  -")]
    assert len(sums) == 2
    assert sums[0] == sums[1]


THIN = """
load dm-mod dm-thin-pool
volumes pvcreate -q /dev/ubda
volumes vgcreate -q group /dev/ubda
volumes lvcreate -q -y -Zn -T -L 40M -V 60M -n root group/pool
mkfs.ext4 -q /dev/group/root
mkdir /mnt/r
mount /dev/group/root /mnt/r
fstab='/dev/group/root / ext4 defaults 0 0'
SYSTEM
umount /mnt/r
volumes vgchange -q -an
""".replace("SYSTEM", SYSTEM)


def test_thin_volumes_are_left_to_lvm(tmp_path):
    image = made(tmp_path, THIN)
    assert edit(image) == {"/": "/dev/group/root"}
    assert_edited(image)


LABELS = """
mkfs.xfs -q /dev/ubda
mkdir /mnt/r
mount /dev/ubda /mnt/r
fstab='/dev/sda / xfs defaults 0 0'
SYSTEM
chown 7:8 /mnt/r/etc/default
chmod 0640 /mnt/r/etc/default/grub
python3 -c "
import os
os.setxattr('/mnt/r/etc/default', 'security.selinux', b'folder\\0')
os.setxattr('/mnt/r/etc/default/grub', 'security.selinux', b'file\\0')
"
umount /mnt/r
""".replace("SYSTEM", SYSTEM)
LABELS_AFTER = """
mkdir /mnt/r
mount -o ro,norecovery /dev/ubda /mnt/r
cd /mnt/r/etc/default
stat -c '%n %a %u:%g %Y' grub new
python3 -c "
import os
print([os.getxattr(name, 'security.selinux') for name in ('grub', 'new')])
"
"""


def test_labels_owners_modes_and_times(tmp_path):
    image = made(tmp_path, LABELS, size=320)
    edit(image)
    said = run(LABELS_AFTER, image).splitlines()
    assert f"grub 640 0:0 {NOW}" in said
    assert f"new 644 7:8 {NOW}" in said
    assert r"[b'file\x00', b'file\x00']" in said
    assert "Metadata" not in oracle.run("xfs_repair", "-n", image).stderr


CRASHED = """
FORMAT
mkdir /mnt/r
mount /dev/ubda /mnt/r
fstab='/dev/sda / auto defaults 0 0'
SYSTEM
for number in $(seq 200); do echo $number >/mnt/r/file-$number; done
sync
for number in $(seq 100); do rm /mnt/r/file-$number; echo $number >/mnt/r/etc/late-$number; done
sync -f /mnt/r/etc/late-100
echo CRASH
""".replace("SYSTEM", SYSTEM).replace("CRASH", CRASH)


@pytest.mark.parametrize(
    ("format", "check"), [("mkfs.ext4 -q /dev/ubda", "e2fsck -fn"), ("mkfs.xfs -q /dev/ubda", "xfs_repair -n")]
)
def test_a_crash_copy_is_recovered_in_the_layer_alone(tmp_path, format, check):  # noqa: A002
    image = made(tmp_path, CRASHED.replace("FORMAT", format), size=320)
    before = hashlib.sha256(image.read_bytes()).hexdigest()
    with guest_of(image) as (disk, guest):
        names = guest.tree.listdir("/")
        assert "file-101" in names
        assert "file-100" not in names
        assert guest.tree.read("/etc/late-100") == b"100\n"
        assert disk.plan().is_empty
    assert hashlib.sha256(image.read_bytes()).hexdigest() == before
    edit(image)
    assert_edited(image)
    oracle.run(*check.split(), image)


F2FS = """
mkfs.f2fs -q /dev/ubda
load crc32_generic f2fs
mkdir /mnt/r
mount -t f2fs /dev/ubda /mnt/r
fstab='/dev/sda / f2fs defaults 0 0'
SYSTEM
umount /mnt/r
""".replace("SYSTEM", SYSTEM)


def test_f2fs_is_edited(tmp_path):
    image = made(tmp_path, F2FS)
    edit(image)
    assert_edited(image)
    oracle.run("fsck.f2fs", "--dry-run", image)


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    image = made(tmp_path, LABELS, size=320)
    edit(image)
    assert [path.name for path in tmp_path.iterdir()] == ["disk.raw"]
