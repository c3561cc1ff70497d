"""FAT12, FAT16 and FAT32: fsck.vfat finds nothing after an edit, and mtools finds what was written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgkit.errors import OutputError, PathNotFoundError, TreeError, UnsupportedError
from imgkit.filesystem.fat.directory import decode_time, encode_time
from imgkit.filesystem.fat.filesystem import FatFileSystem, open_fat
from imgkit.filesystem.probe import open_filesystem
from imgkit.tree import FileType
from tests.filesystem.images import (
    FAT_FORMATS,
    NOW,
    TREE,
    assert_fat_clean,
    contents,
    fat_device,
    fat_tree,
    mtools,
    mtools_changed,
)
from tests.support.memorydevice import MemoryDevice

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LATER = NOW + 1001
SMALL = FAT_FORMATS[0]


def edited(device: MemoryDevice, edit: Callable[[FatFileSystem], None], *, now: int = NOW) -> None:
    """Edit a device, and let fsck.vfat and our own check look at the result."""
    with open_fat(device, writable=True, now=now) as fs:
        edit(fs)
        fs.flush()
    assert_fat_clean(device)
    open_fat(device, writable=True, now=now).close()


@pytest.fixture
def boot_files(tmp_path: Path) -> Path:
    """What mtools puts on a volume, as an installer would: short names, long names, names beyond ASCII."""
    for name, data in (
        ("EFI/BOOT/BOOTX64.EFI", b"MZ" + bytes(70_000)),
        ("EFI/debian/grub.cfg", b"search.fs_uuid x\n"),
        ("EFI/debian/A rather long name.txt", b"long"),
        ("r\u00e9sum\u00e9.txt", b"accents"),
        ("\u65e5\u672c\u8a9e.txt", b"japanese"),
        ("empty", b""),
        ("lower.txt", b"lower"),
        ("MiXed.TxT", b"mixed"),
    ):
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "source"


@pytest.mark.parametrize(("options", "size"), FAT_FORMATS)
def test_reading_what_mtools_wrote(options: str, size: str, boot_files: Path) -> None:
    device = mtools_changed(fat_device(options, size), "mcopy", "-s", *sorted(boot_files.iterdir()), "::/")
    with open_fat(device, writable=False, now=NOW) as fs:
        assert fs.listdir("/") == sorted(path.name for path in boot_files.iterdir())
        assert fs.listdir("/EFI/debian") == ["A rather long name.txt", "grub.cfg"]
        for path in boot_files.rglob("*"):
            inside = "/" + str(path.relative_to(boot_files))
            assert fs.exists(inside.upper()) == fs.exists(inside) == True  # noqa: E712
            assert fs.stat(inside).type is (FileType.DIRECTORY if path.is_dir() else FileType.FILE)
            if path.is_file():
                assert fs.read(inside) == b"".join(fs.read_chunks(inside)) == path.read_bytes()


@pytest.mark.parametrize(("options", "size"), FAT_FORMATS)
def test_all_verbs(options: str, size: str, boot_files: Path) -> None:
    device = mtools_changed(fat_device(options, size), "mcopy", "-s", *sorted(boot_files.iterdir()), "::/")
    expected = fat_tree(device)

    def edit(fs: FatFileSystem) -> None:
        fs.write("/EFI/debian/grub.cfg", b"serial --unit=0\n" * 1000)
        fs.write("/EFI/BOOT/BOOTX64.EFI", b"")
        fs.write("/\u65e5\u672c\u8a9e.txt", b"found by its short name")
        fs.write("/New File With A Long Name.conf", b"new")
        fs.write("/short.cfg", b"short")
        fs.mkdir("/loader")
        fs.mkdir("/loader/entries")
        fs.write("/loader/entries/linux.conf", b"options console=ttyS0\n")
        fs.remove("/EFI/debian/A rather long name.txt")
        fs.remove("/empty")
        fs.mkdir("/gone")
        fs.remove("/gone")

    edited(device, edit, now=LATER)
    expected |= {
        "/EFI/debian/grub.cfg": b"serial --unit=0\n" * 1000,
        "/EFI/BOOT/BOOTX64.EFI": b"",
        "/\u65e5\u672c\u8a9e.txt": b"found by its short name",
        "/New File With A Long Name.conf": b"new",
        "/short.cfg": b"short",
        "/loader": None,
        "/loader/entries": None,
        "/loader/entries/linux.conf": b"options console=ttyS0\n",
    }
    del expected["/EFI/debian/A rather long name.txt"], expected["/empty"]
    assert fat_tree(device) == expected


def test_names_and_short_names_of_what_was_there_stay(boot_files: Path) -> None:
    device = mtools_changed(fat_device(*SMALL), "mcopy", "-s", *sorted(boot_files.iterdir()), "::/")
    before = _names(device)
    edited(device, lambda fs: fs.write("/efi/DEBIAN/a RATHER long NAME.TXT", b"other case"))
    edited(device, lambda fs: fs.write("/MIXED.TXT", b"other case"))
    assert _names(device) == before


def _names(device: MemoryDevice) -> list[str]:
    """Every line of mdir without sizes and times."""
    listing = mtools(device, "mdir", "-/", "-a", "::/")
    return re.findall(r"^(\S.{11}).*?\d?\d:\d\d *(.*)$", listing, re.MULTILINE)


def test_new_names_keep_their_case() -> None:
    names = [
        "lower.txt",
        "UPPER.TXT",
        "Mixed.txt",
        "lower",
        "no.ext.at.all",
        "with space",
        "\u00e4\u00f6.cfg",
        "x" * 200,
    ]

    def edit(fs: FatFileSystem) -> None:
        for name in names:
            fs.write(f"/{name}", name.encode())

    device = fat_device(*SMALL)
    edited(device, edit)
    with open_fat(device, writable=False, now=NOW) as fs:
        assert fs.listdir("/") == sorted(names)
    assert set(fat_tree(device)) == {f"/{name}" for name in names}


@pytest.mark.parametrize(("options", "size"), [SMALL, FAT_FORMATS[3]])
def test_times(options: str, size: str) -> None:
    device = fat_device(options, size)
    edited(device, lambda fs: fs.write("/file.txt", b"1"))
    edited(device, lambda fs: fs.mkdir("/dir"))
    edited(device, lambda fs: fs.write("/file.txt", b"2"), now=LATER)
    with open_fat(device, writable=False, now=0) as fs:
        assert fs.stat("/file.txt").mtime == LATER // 2 * 2
        assert fs.stat("/dir").mtime == NOW // 2 * 2
    assert re.search(r"dir\s+<DIR>\s+2023-11-14\s+22:13", mtools(device, "mdir", "::/"))
    assert (
        len(re.findall(r"^\.+\s+<DIR>\s+2023-11-14\s+22:13", mtools(device, "mdir", "-a", "::/dir"), re.MULTILINE)) == 2
    )
    raw = contents(device)
    entry = raw[raw.index(b"FILE    TXT") :][:32]
    assert decode_time(int.from_bytes(entry[14:18], "little")) == NOW // 2 * 2
    assert decode_time(int.from_bytes(entry[22:26], "little")) == LATER // 2 * 2
    assert entry[18:20] == entry[24:26]


@given(seconds=st.integers(-(1 << 33), 1 << 33))
def test_times_are_clamped(seconds: int) -> None:
    first, last = 315_532_800, 4_354_819_198
    assert decode_time(encode_time(seconds)) == max(first, min(seconds // 2 * 2, last))


@pytest.mark.parametrize(("options", "size"), FAT_FORMATS)
def test_same_input_same_bytes(options: str, size: str) -> None:
    results = []
    for _ in range(2):
        device = fat_device(options, size)
        edited(device, lambda fs: fs.mkdir("/a dir"))
        edited(device, lambda fs: fs.write("/a dir/A File", b"x" * 9999))
        results.append(contents(device))
    assert results[0] == results[1]


def test_attributes_stay() -> None:
    device = fat_device(*SMALL)
    edited(device, lambda fs: fs.write("/file.txt", b"old"))
    device = mtools_changed(device, "mattrib", "+r", "+h", "+s", "-a", "::/file.txt")
    with open_fat(device, writable=False, now=NOW) as fs:
        assert fs.stat("/file.txt").mode == 0o555
    edited(device, lambda fs: fs.write("/file.txt", b"new" * 1000), now=LATER)
    assert re.search(r"A\s*SHR", mtools(device, "mattrib", "::/file.txt"))
    edited(device, lambda fs: fs.remove("/file.txt"))


def test_several_volumes_at_once() -> None:
    devices = [fat_device(*SMALL) for _ in range(20)]
    systems = [open_fat(device, writable=True, now=NOW) for device in devices]
    for number, fs in enumerate(systems):
        fs.write("/number", b"%d" % number)
    for number, fs in enumerate(systems):
        fs.write("/again", b"%d" % number)
        assert fs.read("/number") == b"%d" % number
    for device in devices:
        assert_fat_clean(device)


def test_free_space_is_counted_right() -> None:
    options, size = FAT_FORMATS[3]
    device = fat_device(options, size)
    free = mtools(device, "minfo", "::").partition("free clusters=")[2].split()[0]
    edited(device, lambda fs: fs.write("/file", b"x" * 512 * 7))
    assert int(mtools(device, "minfo", "::").partition("free clusters=")[2].split()[0]) == int(free) - 7
    edited(device, lambda fs: fs.remove("/file"))
    assert mtools(device, "minfo", "::").partition("free clusters=")[2].split()[0] == free


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda fs: fs.read("/EFI"), "not a regular file"),
        (lambda fs: fs.read("/"), "not a regular file"),
        (lambda fs: fs.listdir("/file"), "not a directory"),
        (lambda fs: fs.write("/EFI", b""), "not a regular file"),
        (lambda fs: fs.write("/a:b", b""), "does not allow"),
        (lambda fs: fs.write("/ends with dot.", b""), "does not allow"),
        (lambda fs: fs.write("/" + "n" * 256, b""), "does not allow"),
        (lambda fs: fs.mkdir("/efi"), "exists already"),
        (lambda fs: fs.symlink("a", "/b"), "no symbolic links"),
        (lambda fs: fs.readlink("/file"), "not a symbolic link"),
        (lambda fs: fs.remove("/EFI"), "not empty"),
        (lambda fs: fs.remove("/"), "cannot be removed"),
        (lambda fs: fs.write("/no/such", b""), "no such file"),
    ],
)
def test_impossible_edits(call: Callable[[FatFileSystem], None], why: str) -> None:
    device = fat_device(*SMALL)
    edited(device, lambda fs: fs.mkdir("/EFI"))
    edited(device, lambda fs: fs.mkdir("/EFI/BOOT"))
    edited(device, lambda fs: fs.write("/file", b""))
    before = contents(device)
    with open_fat(device, writable=True, now=LATER) as fs, pytest.raises(TreeError, match=why):
        call(fs)
    assert contents(device) == before


def test_missing_files() -> None:
    with open_fat(fat_device(*SMALL), writable=True, now=NOW) as fs:
        assert not fs.exists("/nothing")
        for call in (fs.read, fs.stat, fs.remove, fs.listdir):
            with pytest.raises(PathNotFoundError):
                call("/nothing")


def test_names_beyond_the_code_page_are_refused() -> None:
    with (
        open_fat(fat_device(*SMALL), writable=True, now=NOW) as fs,
        pytest.raises(UnsupportedError, match="code page 437"),
    ):
        fs.write("/\u65e5\u672c\u8a9e", b"")


def test_full_volume_and_full_root_directory() -> None:
    device = fat_device(*SMALL)
    with open_fat(device, writable=True, now=NOW) as fs, pytest.raises(OutputError, match="no room"):
        fs.write("/big", bytes(4 << 20))
    device = fat_device(*SMALL)
    with open_fat(device, writable=True, now=NOW) as fs, pytest.raises(OutputError, match="no room"):
        for number in range(600):
            fs.write(f"/{number}", b"")


def test_read_only() -> None:
    device = fat_device(*SMALL)
    with open_filesystem(device, writable=False, now=NOW) as fs:
        assert (fs.kind, fs.label, len(fs.uuid)) == ("vfat", "IMGKIT", 9)
        for call in (lambda: fs.write("/a", b""), lambda: fs.mkdir("/a"), lambda: fs.remove("/a")):
            with pytest.raises(UnsupportedError, match="reading only"):
                call()


class _FailingDevice(MemoryDevice):
    """A block device that breaks at its nth write."""

    __slots__ = ("_left",)

    def fail_after(self, writes: int) -> None:
        self._left = writes

    def write_at(self, offset: int, data: bytes, /) -> None:
        self._left -= 1
        if self._left < 0:
            raise OutputError("the device is broken")
        super().write_at(offset, data)


def test_a_failure_below_fatfs_comes_out_as_itself() -> None:
    for writes in range(5):
        device = _FailingDevice(contents(fat_device(*SMALL)))
        device.fail_after(writes)
        with open_fat(device, writable=True, now=NOW) as fs, pytest.raises(OutputError, match="broken"):
            fs.write("/file", b"x" * 5000)


NAMES = st.sampled_from(["a", "B.TXT", "Mixed.Case", "a long name with spaces.conf", "\u00fcmlaut", "y" * 100])
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["write", "write", "mkdir", "remove"]),
        st.lists(NAMES, min_size=1, max_size=3),
        st.sampled_from([0, 1, 511, 512, 513, 4096, 30_000]),
    ),
    min_size=1,
    max_size=30,
)


@pytest.mark.parametrize(("options", "size"), FAT_FORMATS[:4])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(operations=OPERATIONS)
def test_random_edits(options: str, size: str, operations: list[tuple[str, list[str], int]]) -> None:
    device, model = fat_device(options, size), TREE()
    with open_fat(device, writable=True, now=NOW) as fs:
        for number, (operation, names, length) in enumerate(operations):
            path = "/" + "/".join(names)
            parent = path.rsplit("/", 1)[0]
            possible = parent == "" or (parent in model and model[parent] is None)
            if operation == "write" and possible and not (path in model and model[path] is None):
                data = bytes([number]) * length
                fs.write(path, data)
                model[path] = data
            elif operation == "mkdir" and possible and path not in model:
                fs.mkdir(path)
                model[path] = None
            elif operation == "remove" and path in model and not any(each.startswith(path + "/") for each in model):
                fs.remove(path)
                del model[path]
    assert_fat_clean(device)
    assert fat_tree(device) == model
