"""Fedora CoreOS: the argument areas hold the console, keep their size, and are found where kargs.json says."""

import json

import pytest

from imgkit.configtext.options import EnableOptions
from imgkit.configtext.serial import SerialConsole
from imgkit.errors import ConfigError, UnsupportedError
from imgkit.installers.recipe import enable
from imgkit.installers.status import status
from imgkit.tree import apply_changes
from tests.support import oracle
from tests.support.memorytree import MemoryTree, files_of_iso

CONSOLE = SerialConsole()
DEFAULT = "mitigations=auto,nosmt quiet ignition.platform.id=metal"
SIZE = 160
AREA = (DEFAULT + "\n").ljust(SIZE, "#")
GRUB = f"""set default="1"
set timeout=5
menuentry 'Fedora CoreOS (Live)' --class fedora {{
	linux /images/pxeboot/vmlinuz {AREA} COREOS_KARG_EMBED_AREA
	initrd /images/pxeboot/initrd.img /images/ignition.img
}}
"""
ISOLINUX = f"""serial 0
default vesamenu.c32
timeout 50
label linux
  menu default
  kernel /images/pxeboot/vmlinuz
  append initrd=/images/pxeboot/initrd.img,/images/ignition.img {AREA} COREOS_KARG_EMBED_AREA
"""


def info(*files, size=SIZE, **more):
    entries = [{"offset": offset, "path": path} | more for path, offset in files]
    return json.dumps({"default": DEFAULT, "files": entries, "size": size}, indent=2, sort_keys=True) + "\n"


def coreos():
    files = [("EFI/fedora/grub.cfg", GRUB.index(AREA)), ("isolinux/isolinux.cfg", ISOLINUX.index(AREA))]
    return {
        "/EFI/fedora/grub.cfg": GRUB,
        "/isolinux/isolinux.cfg": ISOLINUX,
        "/coreos/kargs.json": info(*files),
    }


def areas(tree):
    """What `coreos-installer iso kargs show` would read: the arguments of each area, by file."""
    told = json.loads(tree.read("/coreos/kargs.json"))
    result = {}
    for entry in told["files"]:
        end, pad = entry.get("end", "\n").encode(), entry.get("pad", "#").encode()
        held = tree.read(f"/{entry['path']}")[entry["offset"] : entry["offset"] + told["size"]]
        assert len(held) == told["size"]
        words, found, padding = held.partition(end)
        assert found
        assert not padding.strip(pad)
        result[entry["path"]] = words.decode()
    return result


def enabled(files, console=CONSOLE, options=None):
    tree = MemoryTree(files)
    apply_changes(tree, enable(tree, console, options))
    assert enable(tree, console, options) == []
    assert status(tree, console).enabled
    assert status(tree).enabled
    return tree


def test_the_areas_hold_the_console_and_are_where_kargs_json_says():
    tree = enabled(coreos())
    wanted = f"{DEFAULT} console=tty0 console=ttyS0,115200n8"
    assert areas(tree) == {"EFI/fedora/grub.cfg": wanted, "isolinux/isolinux.cfg": wanted}
    told = json.loads(tree.read("/coreos/kargs.json"))
    assert (told["default"], told["size"]) == (DEFAULT, SIZE)
    for path in ("/EFI/fedora/grub.cfg", "/isolinux/isolinux.cfg"):
        assert tree.read(path).count(b"# COREOS_KARG_EMBED_AREA") == 1
    oracle.run("grub-script-check", text_in=tree.read("/EFI/fedora/grub.cfg").decode())


def test_of_kargs_json_only_the_offsets_change():
    before = coreos()["/coreos/kargs.json"].splitlines()
    after = enabled(coreos()).read("/coreos/kargs.json").decode().splitlines()
    changed = [old for old, new in zip(before, after, strict=True) if old != new]
    assert [line.split(":")[0].strip() for line in changed] == ['"offset"', '"offset"']


def test_wishes_reach_the_areas():
    assert "quiet" not in str(areas(enabled(coreos(), options=EnableOptions(quiet_off=True))))


def test_an_area_without_room_is_refused():
    area = (DEFAULT + "\n").ljust(70, "#")
    files = {"/EFI/fedora/grub.cfg": GRUB.replace(AREA, area)}
    files["/coreos/kargs.json"] = info(("EFI/fedora/grub.cfg", GRUB.index(AREA)), size=70)
    with pytest.raises(ConfigError, match=r"^/EFI/fedora/grub\.cfg: .*is full: 92 bytes of 70") as caught:
        enable(MemoryTree(files), CONSOLE)
    assert "--quiet-off" in caught.value.hint


def test_an_area_in_a_binary_file_on_a_machine_without_a_menu():
    image = b"\x00" * 100 + DEFAULT.encode().ljust(SIZE, b"\0") + b"\xff" * 50
    files = {"/images/cdboot.img": image, "/generic.ins": ""}
    files["/coreos/kargs.json"] = info(("images/cdboot.img", 100), end="\0", pad="\0")
    tree = enabled(files, SerialConsole(port="ttysclp0"))
    assert areas(tree) == {"images/cdboot.img": f"{DEFAULT} console=ttysclp0"}
    after = tree.read("/images/cdboot.img")
    assert (after[:100], after[100 + SIZE :]) == (image[:100], image[100 + SIZE :])


def test_areas_that_no_file_lists_are_refused():
    files = coreos()
    del files["/coreos/kargs.json"]
    with pytest.raises(UnsupportedError, match=r"^/isolinux/isolinux\.cfg: holds an area") as caught:
        enable(MemoryTree(files), CONSOLE)
    assert "coreos-installer: iso kargs modify" in caught.value.hint


@pytest.mark.parametrize(
    "told",
    [
        "no JSON",
        "[]",
        "[" * 100_000,
        "{}",
        '{"size": 160, "files": {}}',
        '{"size": -1, "files": []}',
        '{"size": 160, "files": [1]}',
        '{"size": 160, "files": [{"path": "EFI/fedora/grub.cfg"}]}',
        info(("EFI/fedora/grub.cfg", GRUB.index(AREA)), end="##"),
        info(("EFI/fedora/grub.cfg", 1)),
        info(("EFI/fedora/grub.cfg", 1 << 40)),
        info(("EFI/fedora/grub.cfg", -1)),
        info(("missing", 1)),
        info(("EFI/fedora/grub.cfg", GRUB.index(AREA))).replace('"offset"', r'"\u006fffset"'),
        '{"size": 160, "files": [], "more": {"offset": 3}}',
    ],
)
def test_a_kargs_json_that_makes_no_sense_is_refused_by_name(told):
    with pytest.raises(ConfigError, match=r"^/(coreos/kargs\.json|EFI/fedora/grub\.cfg): "):
        enable(MemoryTree(coreos() | {"/coreos/kargs.json": told}), CONSOLE)


def released(name, folder):
    return files_of_iso(f"iso/coreos-installer/iso/{name}.iso.xz", folder)


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["embed-areas-2021-12", "embed-areas-2022-02"])
def test_real_releases(name, tmp_path):
    tree = enabled(released(name, tmp_path))
    (arguments,) = set(areas(tree).values())
    assert arguments.endswith("ignition.platform.id=metal console=tty0 console=ttyS0,115200n8")
    assert len(areas(tree)) == 2


@pytest.mark.corpus
def test_a_real_release_for_the_mainframe(tmp_path):
    tree = enabled(released("embed-areas-2023-07.s390x", tmp_path), SerialConsole(port="ttysclp0"))
    assert areas(tree)["images/cdboot.img"].endswith("ignition.platform.id=metal console=ttysclp0")


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["embed-areas-2021-01", "embed-areas-2023-03.s390x"])
def test_real_releases_that_are_refused(name, tmp_path):
    with pytest.raises(UnsupportedError):
        enable(MemoryTree(released(name, tmp_path)), CONSOLE)
