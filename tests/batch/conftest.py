"""A folder with a plan and small Debian disks to do it to."""

import shutil

import pytest

from tests.support.images import fixture, private_copy

IN_PLACE = 'inputs = ["*.qcow2"]\nin-place = true\n[operation]\nkind = "console enable"\n'
NEW_FILES = 'inputs = ["*.qcow2"]\noutput = "out/{stem}-serial{suffix}"\n[operation]\nkind = "console enable"\n'


@pytest.fixture
def disks(tmp_path):
    """Make a plan file for so many copies of the small disk, and a broken one if wanted."""

    def make(number, plan=IN_PLACE, *, broken=0):
        original = private_copy("small-qcow2", tmp_path)
        for n in range(number):
            shutil.copyfile(original, tmp_path / f"disk-{n:03}.qcow2")
        original.unlink()
        for n in range(broken):
            (tmp_path / f"broken-{n}.qcow2").write_bytes(fixture("small-qcow2").read_bytes()[:100_000])
        (tmp_path / "plan.toml").write_text(plan)
        return tmp_path / "plan.toml"

    return make
