"""What a batch knows of its results without having read them whole, and that undo goes by it."""

from __future__ import annotations

import json
import os

import pytest

from tests.batch.conftest import NEW_FILES
from tests.cli.command import imgkit
from tests.support.disks import sha256

pytestmark = pytest.mark.batch


def images_of(plan):
    *images, _ = map(json.loads, imgkit("batch", "status", plan, "--json").text.splitlines())
    return images


@pytest.mark.parametrize("asked", [False, True])
def test_sums_are_noted_only_where_they_are_asked_for(disks, asked):
    plan = disks(1, NEW_FILES)
    assert imgkit("batch", "run", plan, *(["--sha256"] if asked else [])).status == 0
    (image,) = images_of(plan)
    (result,) = (plan.parent / "out").iterdir()
    assert image["sha256"] == (sha256(result) if asked else "")


def test_undo_removes_what_the_batch_wrote_and_nothing_else(disks):
    plan = disks(3, NEW_FILES)
    assert imgkit("batch", "run", plan).status == 0
    kept, lost, changed = sorted((plan.parent / "out").iterdir())
    lost.unlink()
    with changed.open("r+b") as file:
        file.seek(100_000)
        file.write(b"mine now")
    status = changed.stat()
    os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    done = imgkit("batch", "undo", plan)
    assert done.status != 0
    assert f"{changed}: is not what the batch wrote" in done.stderr
    assert not kept.exists()
    assert changed.exists()
    assert sorted(image["state"] for image in images_of(plan)) == ["done", "undone", "undone"]
