"""Engines from the command's side: a virtual environment without guestfs, and what `doctor` says of a machine."""

import subprocess
import sys
from pathlib import Path

import pytest

import imgkit as package
from tests.cli.command import Run, assert_refused, imgkit
from tests.support.guests import Part, make_disk

ENABLE = ("console", "enable")
DEPENDENCIES = (
    *("construct", "fatfs", "pycdlib", "rich", "typer", "zstandard"),
    *("annotated_doc", "click", "markdown_it", "mdurl", "pygments", "shellingham", "typing_extensions.py"),
)


@pytest.fixture(scope="module")
def without_guestfs(tmp_path_factory):
    """The command of a virtual environment that has all that imgkit depends on, but no guestfs."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python3*/site-packages")
    for name in DEPENDENCIES:
        found = next((path / name for path in map(Path, sys.path) if (path / name).exists()), None)
        if found is not None:  # which of the last ones there are is up to Typer and Rich
            (site / name).symlink_to(found)
    (site / "imgkit.pth").write_text(f"{Path(package.__file__).parent.parent}\n")
    command = folder / "bin" / "imgkit"
    command.write_text(f"#!{folder}/bin/python\nfrom imgkit.cli.main import main\nmain()\n")
    command.chmod(0o755)
    probe = subprocess.run([folder / "bin/python", "-c", "import guestfs"], capture_output=True, text=True, check=False)
    assert "No module named 'guestfs'" in probe.stderr, "the premise of these tests"
    return command


def test_without_guestfs_everything_native_works(small, without_guestfs):
    def run(*words: object, stdin: bytes = b"") -> Run:
        done = imgkit(*map(str, words), command=without_guestfs, stdin=stdin)
        assert "appliance" not in done.stderr
        return done

    undo = small.with_name("u")
    before = small.read_bytes()
    assert run("inspect", small).status == 0
    assert run("console", "status", small).status == 1
    assert run(*ENABLE, small, "--in-place", "--undo", undo).status == 0
    assert run("console", "status", small).status == 0
    assert run("ls", "-l", small, "/boot").status == 0
    assert run("cat", small, "/boot/grub/grub.cfg").status == 0
    assert run("write", small, "/etc/motd", "-o", small.with_name("new"), stdin=b"x").status == 0
    assert run("undo", small, undo).status == 0
    assert small.read_bytes() == before


def test_without_guestfs_its_engine_is_missing_with_the_way_to_get_it(small, without_guestfs):
    words = [*ENABLE, small, "--in-place", "--engine", "guestfs"]
    done = imgkit(*words, command=without_guestfs)
    assert done.status == 9
    assert "the guestfs engine needs libguestfs's Python binding (No module named 'guestfs')" in done.stderr
    assert "apt install python3-guestfs" in done.stderr
    assert "imgkit doctor" in done.stderr
    assert [path.name for path in small.parent.iterdir()] == [small.name]


def test_without_guestfs_what_only_it_serves_says_so(tmp_path, without_guestfs):
    image = make_disk(tmp_path / "disk.img", [Part("", size=16)])
    with image.open("r+b") as file:  # an XFS superblock's magic: nothing that is native
        file.seek(1 << 20)
        file.write(b"XFSB" + bytes([0, 0, 16, 0]) + bytes(100))
    native = [*ENABLE, image, "--in-place", "--engine", "native"]
    assert_refused(tmp_path, *native, status=5, says="xfs", hint="guestfs", command=without_guestfs)
    done = imgkit(*ENABLE, image, "--in-place", command=without_guestfs)
    assert done.status == 5
    assert "starting the libguestfs appliance" in done.stderr
    assert "xfs" in done.stderr
    assert "and the guestfs engine does not work here" in done.stderr
    assert "apt install python3-guestfs" in done.stderr


def test_doctor_lists_each_part_with_a_remedy_for_what_is_missing(without_guestfs):
    done = imgkit("doctor", command=without_guestfs)
    assert done.status == 1
    assert done.stderr == ""
    lines = done.text.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("MISSING guestfs binding"))
    assert lines[at + 1].startswith("        ")
    assert any(line.startswith("ok      libext2fs") for line in lines)


def test_doctors_status_is_0_only_where_nothing_is_missing():
    done = imgkit("doctor")
    assert done.status == (1 if "MISSING" in done.text else 0)
    assert "ok      libext2fs" in done.text
