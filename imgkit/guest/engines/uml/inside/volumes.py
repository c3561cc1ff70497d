"""Inside the kernel: volumes that are made of others, by the host's lvm, mdadm and cryptsetup; btrfs's subvolumes.

Every verb answers with what there is: one field for each, its parts with NULs between them.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imgkit.guest.engines.uml.inside import syscalls
else:
    import syscalls

_LVM_CONFIG = (
    'devices{external_device_info_source="none" use_devicesfile=0 obtain_device_list_from_udev=0 '
    'filter=["a|^/dev/vda|","a|^/dev/md|","a|^/dev/mapper/luks|","r|.*|"]} '
    "activation{udev_rules=0 udev_sync=0 verify_udev_operations=1 monitoring=0} "
    'global{locking_dir="/run/lock" use_lvmpolld=0 thin_check_executable="" cache_check_executable=""} '
    "backup{backup=0 archive=0}"
)
_LVM = ("/usr/sbin/lvm", "/sbin/lvm", "/usr/bin/lvm")
_MDADM = ("/usr/sbin/mdadm", "/sbin/mdadm", "/usr/bin/mdadm")
_CRYPTSETUP = ("/usr/sbin/cryptsetup", "/sbin/cryptsetup", "/usr/bin/cryptsetup")
_LVM_MODULES = ("dm-mod", "dm-snapshot", "dm-mirror", "dm-thin-pool", "dm-cache", "dm-cache-smq", "dm-raid")
_RAID_MODULES = ("md-mod", "linear", "raid0", "raid1", "raid10", "raid456")
# cbc comes first: a part of dm-crypt does not load without it.
_CRYPT_MODULES = (
    *("dm-mod", "cbc", "xts", "essiv", "ecb", "sha512_generic", "wp512", "rmd160"),
    *("af_alg", "algif_hash", "algif_skcipher", "serpent_generic", "twofish_generic", "dm-crypt"),
)
_LVM_UUID = len("LVM-") + 64  # a longer one is a part of another volume
_NO_FILE = 2


def assemble(kind: bytes) -> list[bytes]:
    """Make what there is of the members of a kind that the kernel sees; every volume so far: device, name, size."""
    if kind == b"LVM2_member":
        syscalls.load_modules(*_LVM_MODULES)
        words = _run(_LVM, "vgchange", "-ay", "--noudevsync", "--sysinit", "--config", _LVM_CONFIG)
    else:
        syscalls.load_modules(*_RAID_MODULES)
        _set("/sys/module/md_mod/parameters/start_ro", "1")  # nothing is resynchronised before the first write
        words = _run(_MDADM, "--assemble", "--scan", "--run", "--config=partitions", "--homehost=any")
        for name in _block_devices("md"):
            _set(f"/sys/block/{name}/md/sync_action", "frozen")  # nor after it: the guest does that itself
    return [words, *_assembled()]


def unlock(device: bytes, name: bytes, key: bytes) -> list[bytes]:
    """Open a LUKS volume; every volume so far. Raises OSError (EPERM) where the key is another one's."""
    syscalls.load_modules(*_CRYPT_MODULES)
    words = _run(
        _CRYPTSETUP,
        "open",
        "--type",
        "luks",
        "--key-file=-",
        "--disable-keyring",
        os.fsdecode(device),
        os.fsdecode(name),
        given=key,
    )
    if not os.path.exists(b"/dev/mapper/" + name):
        raise PermissionError(1, words.decode(errors="replace"))
    return [words, *_assembled()]


def take_apart() -> None:
    """Close everything that was assembled, the last first, so that all of it is on the disk."""
    for _ in range(8):
        if not (names := [*_block_devices("dm-"), *_block_devices("md")]):
            return
        for name in reversed(names):
            if os.listdir(f"/sys/block/{name}/holders"):
                continue
            if name.startswith("dm-"):
                syscalls.remove_mapping(_get(f"/sys/block/{name}/dm/name"))
            else:
                _set(f"/sys/block/{name}/md/array_state", "clear")


def _assembled() -> list[bytes]:
    found = []
    for name in _block_devices("dm-"):
        mapping, uuid = (_get(f"/sys/block/{name}/dm/{part}") for part in ("name", "uuid"))
        if uuid.startswith("LVM-") and len(uuid) > _LVM_UUID:
            continue
        path = f"/dev/mapper/{mapping}"
        shown = "/dev/" + _split(mapping) if uuid.startswith("LVM-") else path
        found.append((path, shown, name))
    # A name may have its host's in front, which a machine leaves out of the names of its own arrays.
    named = {os.path.realpath(f"/dev/md/{link}"): f"/dev/md/{link.rpartition(':')[2]}" for link in _names("/dev/md")}
    found += [(f"/dev/{name}", named.get(f"/dev/{name}", f"/dev/{name}"), name) for name in _block_devices("md")]
    return [f"{path}\0{shown}\0{int(_get(f'/sys/block/{name}/size')) * 512}".encode() for path, shown, name in found]


def _split(mapping: str) -> str:
    """GROUP/VOLUME of a mapping's name, in which a hyphen of either is written twice."""
    return mapping.replace("--", "\0").replace("-", "/", 1).replace("\0", "-")


def _block_devices(prefix: str) -> list[str]:
    """Names of the kernel's block devices, those of a size, in the order in which they were made."""
    names = [name for name in _names("/sys/block") if name.startswith(prefix) and name[len(prefix) :].isdigit()]
    return sorted(
        (name for name in names if _get(f"/sys/block/{name}/size") != "0"), key=lambda name: int(name[len(prefix) :])
    )


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _get(path: str) -> str:
    with open(path) as file:
        return file.read().strip()


def _set(path: str, value: str) -> None:
    try:
        with open(path, "w") as file:
            file.write(value)
    except OSError:
        return  # an older or newer kernel has no such switch


def _run(places: tuple[str, ...], *arguments: str, given: bytes = b"") -> bytes:
    """Run a program of the host; what it said. OSError (ENOENT) with its name where the host has none."""
    program = next((place for place in places if os.access(place, os.X_OK)), None)
    if program is None:
        raise FileNotFoundError(_NO_FILE, f"{os.path.basename(places[0])} is not installed")
    their_input, our_output = os.pipe()
    said = os.open("/tmp/said", os.O_RDWR | os.O_CREAT | os.O_TRUNC)  # noqa: S108
    actions = [(os.POSIX_SPAWN_DUP2, their_input, 0), (os.POSIX_SPAWN_DUP2, said, 1), (os.POSIX_SPAWN_DUP2, said, 2)]
    environment = {
        **os.environ,
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C",
        "LVM_SYSTEM_DIR": "/tmp",  # noqa: S108 - the host's lvm.conf is none of the image's
        "MDADM_NO_UDEV": "1",
        "DM_DISABLE_UDEV": "1",
    }
    child = os.posix_spawn(program, [program, *arguments], environment, file_actions=actions)
    os.close(their_input)
    os.write(our_output, given)
    os.close(our_output)
    os.waitpid(child, 0)
    words = os.pread(said, 4096, 0)
    os.close(said)
    return words


def subvolumes(number: bytes) -> list[bytes]:
    """The subvolumes of a btrfs that is mounted at /mnt/NUMBER: identifier, path, and flags: default, read-only."""
    root = os.open(b"/mnt/" + number, os.O_RDONLY | os.O_DIRECTORY)
    try:
        default, found = syscalls.btrfs_subvolumes(root)
    finally:
        os.close(root)
    return [
        b"%d\0%b\0%b%b" % (identifier, path, b"d" if identifier == default else b"", b"r" if read_only else b"")
        for identifier, path, read_only in found
    ]
