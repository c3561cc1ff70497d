"""Hostile code in the place of libext2fs: it has the process that reads the image, and gets nowhere from there.

The command is the real one, and so is all that it does until it calls the library to edit. Then the code of the test
runs instead, with all that the process may do.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from imgkit.confinement import walls
from tests.support import oracle

pytestmark = pytest.mark.skipif(not walls().complete, reason="this kernel has no Landlock or no seccomp filters")

# What stands in for the library: `hostile` runs at the first call of ext2fs_open2, in the process that made it.
DRIVER = """
    import ctypes, json, os, signal, socket, sys, threading
    from pathlib import Path
    from imgkit.filesystem.ext import editor
    home, neighbour, image = (Path(path) for path in os.environ["PLACES"].split(":"))
    genuine = editor.Editor._call
    parent = os.getpid()
    def report(**found): os.write(2, json.dumps(found).encode() + b"\\n")
    def tried(action):
        try: action()
        except OSError as error: return False
        return True
    def hostile():
        {code}
    def call(self, name, *arguments):
        if name == "open2": hostile()
        return genuine(self, name, *arguments)
    editor.Editor._call = call
    if __name__ == "__main__":  # the workers of a batch import this file
        from imgkit.cli.main import main
        main()
"""


@pytest.fixture
def place(tmp_path):
    """A home with a key, a folder with an image and its neighbour."""
    (tmp_path / "home/.ssh").mkdir(parents=True)
    (tmp_path / "home/.ssh/id_ed25519").write_text("secret")
    (tmp_path / "pool/tree/etc").mkdir(parents=True)
    (tmp_path / "pool/tree/etc/os-release").write_text("ID=debian\n")
    (tmp_path / "pool/tree/etc/motd").write_text("hello\n")
    image = tmp_path / "pool/image.raw"
    oracle.run("truncate", "-s", "8M", image)
    oracle.run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-d", tmp_path / "pool/tree", image)
    (tmp_path / "pool/neighbour.raw").write_bytes(image.read_bytes())
    return tmp_path


def run(place: Path, code: str, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    driver = place / "driver.py"
    body = textwrap.indent(textwrap.dedent(code).strip(), " " * 8).lstrip()
    driver.write_text(
        textwrap.dedent(DRIVER).replace("{code}", textwrap.indent(body, "").replace("\n        ", "\n    "))
    )
    places = ":".join(str(place / name) for name in ("home", "pool/neighbour.raw", "pool/image.raw"))
    (place / "new").write_text("new\n")
    words = command or ("write", str(place / "pool/image.raw"), "/etc/motd", str(place / "new"), "--in-place")
    return subprocess.run(
        [sys.executable, str(driver), *words],
        env={**os.environ, "HOME": str(place / "home"), "PLACES": places, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd or place,
        timeout=120,
    )


TRIES = """
    report(
        key=tried((home / ".ssh/id_ed25519").read_text), home=tried(lambda: os.listdir(home)),
        neighbour=tried(neighbour.read_bytes), spoil=tried(lambda: neighbour.write_bytes(b"x")),
        unlink=tried(neighbour.unlink), chmod=tried(lambda: neighbour.chmod(0o777)),
        truncate=tried(lambda: os.truncate(neighbour, 0)), rename=tried(lambda: neighbour.rename(image)),
        plant=tried((home / ".profile").touch), temporary=tried(Path("/tmp/planted-by-a-test").touch),
        users=tried(Path("/etc/passwd").read_text), memory=tried(lambda: open(f"/proc/{parent}/mem", "rb")),
        parent=tried(lambda: os.listdir(f"/proc/{parent}/fd")), socket=tried(socket.socket),
        local=tried(lambda: socket.socket(socket.AF_UNIX)), fork=tried(os.fork),
        kill=tried(lambda: os.kill(parent, 0)),
        descriptors=sorted(int(n) for n in range(3, 64) if tried(lambda: os.fstat(n))),
    )
"""


def test_hostile_code_reaches_nothing_and_the_edit_is_done_all_the_same(place):
    ran = run(place, TRIES)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(next(line for line in ran.stderr.splitlines() if line.startswith("{")))
    descriptors = found.pop("descriptors")
    assert not [name for name, reached in found.items() if reached]
    assert len(descriptors) == 3  # the image, and the two ends of pipes to the parent
    assert (place / "home/.ssh/id_ed25519").read_text() == "secret"
    assert not (place / "home/.profile").exists()
    assert oracle.run("debugfs", "-R", "cat /etc/motd", place / "pool/image.raw").stdout == "new\n"
    assert oracle.run("e2fsck", "-fn", place / "pool/image.raw", check=False).returncode == 0


def test_the_home_folder_is_out_of_reach_also_where_the_command_is_started_in_it(place):
    ran = run(place, TRIES, cwd=place / "home")
    found = json.loads(next(line for line in ran.stderr.splitlines() if line.startswith("{")))
    assert not found["key"]
    assert not found["home"]


@pytest.mark.parametrize(
    "code",
    [
        "os.execv('/bin/sh', ['sh', '-c', 'echo reached >&2'])",
        "ctypes.CDLL(None).ptrace(16, parent, None, None)",
        "ctypes.CDLL(None).process_vm_readv(parent, None, 0, None, 0, 0)",
    ],
)
def test_who_ends_hostile_code_is_told_and_the_image_is_as_it_was(place, code):
    before = (place / "pool/image.raw").read_bytes()
    ran = run(place, code)
    assert ran.returncode == 9
    assert "was ended by SIGSYS" in ran.stderr
    assert "Nothing was written" in ran.stderr
    assert "reached" not in ran.stderr
    assert (place / "pool/image.raw").read_bytes() == before
    assert sorted(path.name for path in (place / "pool").iterdir()) == ["image.raw", "neighbour.raw", "tree"]


def test_a_crash_of_the_library_is_told_and_leaves_no_output(place):
    words = ("write", str(place / "pool/image.raw"), "/etc/motd", str(place / "new"), "-o", str(place / "pool/out.raw"))
    ran = run(place, "ctypes.string_at(0)", *words)
    assert ran.returncode == 9
    assert f"was ended by {signal.SIGSEGV.name}" in ran.stderr
    assert sorted(path.name for path in (place / "pool").iterdir()) == ["image.raw", "neighbour.raw", "tree"]


@pytest.mark.parametrize("sent", ["b''", "b'x' * 100", "b'\\0' * 24", "b'\\xff' * 24"])
def test_what_hostile_code_sends_in_the_place_of_a_plan_is_refused(place, sent):
    before = (place / "pool/image.raw").read_bytes()
    ran = run(place, f"from imgkit.confinement import READER; READER[0].ask('commit', {sent})")
    assert ran.returncode in (0, 4), ran.stderr
    assert "Traceback" not in ran.stderr
    after = (place / "pool/image.raw").read_bytes()
    assert after == before or ran.returncode == 0


def test_workers_of_a_batch_are_confined_too(place):
    words = ("batch", "write", str(place / "pool/*.raw"), "/etc/motd", "--in-place", "-j", "1")
    driver_says = """
        report(key=tried((home / ".ssh/id_ed25519").read_text), neighbour=tried(neighbour.read_bytes))
        os.execv('/bin/true', ['true'])
    """
    ran = run(place, driver_says, *words)
    told = [json.loads(line) for line in ran.stderr.splitlines() if line.startswith("{")]
    assert told == [{"key": False, "neighbour": False}] * 2, ran.stderr
    assert "SIGSYS" in ran.stderr
    assert ran.returncode == 1


def test_confinement_can_be_required(place):
    ran = run(place, "report(ran=True)", "inspect", str(place / "pool/image.raw"), "--require-confinement")
    assert ran.returncode == 0, ran.stderr
    ran = run(place, "pass", "inspect", str(place / "pool/image.raw"), "--require-confinement", "--engine", "guestfs")
    assert ran.returncode != 0
