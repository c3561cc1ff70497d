"""The README's examples, run: statuses are 0, and what it shows is what is printed ("…" stands for anything)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.images import private_copy

README = Path(__file__).parents[1].joinpath("README.md").read_text()
BLOCKS = re.findall(r"^```console\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
PYTHON = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def examples():
    """Commands and the output that is shown for each, in order."""
    for block in BLOCKS:
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = example.partition("\n")
            yield command, shown


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the README assumes to be there."""
    here = tmp_path_factory.mktemp("readme")
    image = private_copy("a", here)
    for name in ("debian.qcow2", "other.qcow2"):
        shutil.copyfile(image, here / name)
    image.unlink()
    private_copy("iso-debian", here).rename(here / "debian.iso")
    (here / "motd").write_text("Welcome\n")
    (here / "pw").write_text("correct horse\n")
    (here / "id_ed25519.pub").write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIETtd6RtNhTLDVC ada\n")
    (here / "preseed.cfg").write_text("d-i debian-installer/locale string C\n")
    return here


def run(folder, *argv, **options):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "EDITOR": "sed -i s/TIMEOUT=5/TIMEOUT=7/", "TERM": "dumb"}
    environment.pop("VISUAL", None)
    return subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False, **options)


def test_commands_do_and_say_what_is_shown(folder):
    ran = 0
    for command, shown in examples():
        done = run(folder, "bash", "-c", command)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stderr}"
        pattern = "[^\0]*".join(map(re.escape, shown.split("…")))
        printed = done.stdout + done.stderr
        assert not shown or re.fullmatch(pattern, printed), f"{command}\nshown:\n{shown}\nprinted:\n{printed}"
        ran += 1
    assert ran > 8
    assert "Welcome" in run(folder, "imgkit", "cat", "serial.qcow2", "/etc/motd").stdout
    assert "GRUB_TIMEOUT=7" in run(folder, "imgkit", "cat", "serial.qcow2", "/etc/default/grub").stdout
    assert run(folder, "qemu-img", "check", "streamed.qcow2").returncode == 0


def test_library_examples(folder):
    told = [run(folder, sys.executable, "-c", example) for example in PYTHON]
    assert [done.returncode for done in told] == [0, 0], "".join(done.stderr for done in told)
    changed = ["/boot/grub/grub.cfg", "/etc/default/grub.d/zz-imgkit-serial.cfg"]
    assert [done.stdout.splitlines() for done in told] == [changed, ["disk Welcome"]]
    assert run(folder, "imgkit", "console", "status", "library.qcow2").returncode == 0


def test_every_command_is_mentioned():
    listed = run(Path(), "imgkit", "--help").stdout.partition("Commands:")[2]
    names = re.findall(r"^  (\w[\w-]*) {2,}", listed, re.MULTILINE)
    assert len(names) > 8
    assert [name for name in names if not re.search(rf"\bimgkit {name}\b|`{name}\b", README)] == []


def test_make_targets_exist():
    makefile = Path(__file__).parents[1].joinpath("Makefile").read_text()
    for target in set(re.findall(r"\bmake ([a-z]+)\b", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
