"""The library's face: what `import imgkit` offers works as the README teaches it, and changes with a changelog line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import imgkit
from imgkit import errors
from tests.support import oracle
from tests.support.disks import sha256
from tests.support.guests import OS_RELEASE, Part, make_file_system
from tests.support.images import private_copy
from tests.support.surface import digest, surface

ROOT = Path(__file__).parents[1]
RECORD = Path(__file__).with_name("surface.txt")
SYSTEM = {
    "/etc/os-release": OS_RELEASE.encode(),
    "/etc/fstab": b"",
    "/etc/motd": b"hello\n",
    "/boot/grub/grub.cfg": b"menuentry 'Debian' {\n\tlinux /vmlinuz root=/dev/sda1 quiet\n}\n",
    "/sbin/init": "/lib/systemd/systemd",
    "/lib/systemd/system/serial-getty@.service": b"[Unit]\n",
}
USER_SCRIPT = """
from pathlib import Path

import imgkit


def motd(tree: imgkit.EditedTree) -> None:
    tree.write("/etc/motd", tree.read("/etc/motd") + b"Welcome\\n")


def main(image: str) -> list[str]:
    console = imgkit.SerialConsole(port="ttyS1", baud=9600)
    enabled = imgkit.enable_console(image, imgkit.InPlace(), console=console, undo=Path("undo"))
    if enabled.verdict is imgkit.Verdict.PARTLY:
        return [f"{check.file}: {check.message}. {check.hint}" for check in enabled.failing]
    try:
        imgkit.edit(image, imgkit.NewFile(Path("new.img"), force=True), motd)
    except imgkit.ImgkitError as error:
        return [str(error), error.hint or ""]
    with imgkit.open(imgkit.ImageSource(Path("new.img"), engine=imgkit.EngineChoice.NATIVE)) as opened:
        files: list[str] = opened.tree.listdir("/")
        print(opened.kind, opened.inspect(), imgkit.console_status("new.img").enabled)
    imgkit.undo(image, "undo")
    print(imgkit.verify(image, login=("root", "secret")).passed, imgkit.__version__)
    return [change.path for change in enabled.changes] + files
"""


@pytest.fixture
def disk(tmp_path):
    return make_file_system(tmp_path / "disk.img", Part("ext4", SYSTEM))


def test_the_public_surface_changes_with_a_line_in_the_changelog():
    """After a change: `python -m tests.support.surface > tests/surface.txt`, and a line in CHANGELOG.md."""
    now = surface()
    assert RECORD.read_text().splitlines() == now, "record the public surface anew (see this test's docstring)"
    released = ROOT.joinpath("CHANGELOG.md").read_text().split("\n## ")[1]
    named = f"(public surface {digest(now)})"
    assert named in released, f"say in the changelog what changed in the library, and name the surface: {named}"


def test_all_names_are_typed_and_nothing_else_is():
    stub = ROOT.joinpath("imgkit/__init__.pyi").read_text()
    typed = re.findall(r"import (\w+) as \1\b", stub) + re.findall(r"^(\w+): ", stub, re.MULTILINE)
    assert sorted(typed) == sorted(imgkit.__all__)
    assert set(imgkit.__all__) <= set(dir(imgkit))
    with pytest.raises(AttributeError, match="no attribute 'recipe'"):
        imgkit.recipe  # noqa: B018


def test_every_error_class_is_public():
    classes = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert classes == {name for name in imgkit.__all__ if name.endswith("Error")}


def test_importing_it_imports_nothing_else():
    code = "import sys, imgkit; print([name for name in sys.modules if name.startswith('imgkit.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_users_script_is_typed_strictly(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(USER_SCRIPT)
    words = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={ROOT / '.mypy_cache'}"]
    # As from outside: what the package itself imports without types is not the user's business.
    done = subprocess.run([*words, "--follow-imports=silent", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    script.write_text(USER_SCRIPT.replace("imgkit.InPlace()", "imgkit.Inplace()").replace("list[str] = op", "int = op"))
    done = subprocess.run([*words, "--follow-imports=silent", script], capture_output=True, text=True, check=False)
    assert '"Inplace"' in done.stdout
    assert 'variable has type "int"' in done.stdout


def test_consoles_are_enabled_and_taken_back(disk):
    before, undo = sha256(disk), disk.with_name("undo")
    dry = imgkit.enable_console(disk)
    assert sha256(disk) == before
    done = imgkit.enable_console(str(disk), imgkit.InPlace(), undo=undo)
    assert done.verdict is imgkit.Verdict.ENABLED
    assert (
        [change.path for change in done.changes] == [change.path for change in dry.changes] == ["/boot/grub/grub.cfg"]
    )
    assert imgkit.console_status(disk).enabled
    assert not imgkit.console_status(disk, imgkit.SerialConsole(port="ttyS1")).enabled
    assert not imgkit.console_status(disk, {"baud": 9600}).enabled
    assert imgkit.enable_console(disk, imgkit.InPlace()).changes == ()
    imgkit.undo(disk, undo)
    assert sha256(disk) == before


def test_a_destination_that_is_a_path_replaces_nothing(disk):
    new = disk.with_name("new.img")
    imgkit.enable_console(disk, new)
    assert imgkit.console_status(new).enabled
    with pytest.raises(imgkit.OutputError, match="exists"):
        imgkit.enable_console(disk, str(new))
    imgkit.enable_console(disk, imgkit.NewFile(new, force=True))


def test_isos_go_through_the_same_call(tmp_path):
    """All menus of an ISO are edited, as the command line edits them: a library user cannot do half of it."""
    iso, new = private_copy("iso-debian", tmp_path), tmp_path / "new.iso"
    done = imgkit.enable_console(iso, new)
    assert done.verdict is imgkit.Verdict.ENABLED
    changed = {change.path for change in done.changes}
    assert {"/isolinux/isolinux.cfg", "/isolinux/txt.cfg", "/boot/grub/grub.cfg"} <= changed
    assert imgkit.console_status(new).enabled
    with imgkit.open(new) as image:
        assert image.kind is imgkit.ImageKind.ISO
        assert b"console=ttyS0,115200n8" in image.tree.read("/isolinux/txt.cfg")
        assert isinstance(image.inspect(), imgkit.IsoInspection)


def test_an_edit_of_files(disk):
    undo = disk.with_name("undo")
    before = sha256(disk)

    def edit(tree):
        tree.write("/etc/motd", tree.read("/etc/motd") + b"Welcome\n")
        assert tree.read("/etc/motd") == b"hello\nWelcome\n"
        tree.write("/opt/a/b", b"deep")
        tree.write("/opt/a/b", b"deeper")
        tree.symlink("a/b", "/opt/link")
        assert (tree.readlink("/opt/link"), tree.read("/opt/link")) == ("a/b", b"deeper")
        tree.mkdir("/srv/empty")
        tree.remove("/sbin/init")
        tree.write("/etc/fstab", b"")

    done = imgkit.edit(disk, imgkit.InPlace(), edit, undo=undo)
    assert [change.path for change in done.changes] == [
        "/etc/motd",
        "/opt/a/b",
        "/opt/link",
        "/srv/empty",
        "/sbin/init",
    ]
    assert done.changes[1].before is None
    assert done.changes[1].after == b"deeper"
    assert oracle.run("e2fsck", "-fn", disk).returncode == 0
    with imgkit.open(disk) as image:
        assert image.kind == "disk"
        assert image.tree.read("/etc/motd") == b"hello\nWelcome\n"
        assert (image.tree.listdir("/opt"), image.tree.listdir("/sbin")) == (["a", "link"], [])
    imgkit.undo(disk, undo)
    assert sha256(disk) == before


def test_an_edit_of_an_iso_and_one_that_fails(tmp_path):
    iso = private_copy("iso-isolinux", tmp_path)
    before = sha256(iso)
    imgkit.edit(iso, tmp_path / "new.iso", lambda tree: tree.write("/answers/preseed.cfg", b"d-i x\n"))
    found = oracle.run("xorriso", "-indev", tmp_path / "new.iso", "-find", "/answers", "-exec", "lsdl").stdout
    assert "'/answers/preseed.cfg'" in found

    def fail(tree):
        tree.write("/preseed.cfg", b"d-i x\n")
        message = "on second thoughts"
        raise ValueError(message)

    with pytest.raises(ValueError, match="second thoughts"):
        imgkit.edit(iso, imgkit.InPlace(), fail)
    assert sha256(iso) == before
    with imgkit.open(iso) as image:
        assert "answers" not in image.tree.listdir("/")


def test_what_cannot_be_opened_or_undone_is_told(disk, tmp_path):
    with pytest.raises(imgkit.UnclassifiedImageError, match=r"nothing\.img"):
        imgkit.open(tmp_path / "nothing.img")
    with pytest.raises(imgkit.UsageError, match="undo"):
        imgkit.undo(disk, tmp_path / "undo")
    with pytest.raises(imgkit.UnsupportedError, match="nothing is edited there"):
        imgkit.undo("https://localhost/a.img", tmp_path / "undo")
    with pytest.raises(imgkit.UsageError, match="unknown firmware: 'efi'"):
        imgkit.verify(disk, firmware="efi")
    empty = make_file_system(tmp_path / "empty.img", Part("ext4", {"/x": b""}))
    with imgkit.open(empty) as image, pytest.raises(imgkit.GuestError):
        image.tree  # noqa: B018
