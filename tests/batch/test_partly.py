"""Images of a batch whose serial console is enabled in part only: a state of its own, from the ledger to the page."""

from __future__ import annotations

import json

import pytest

from tests.cli.command import imgkit
from tests.support import cases
from tests.support.disks import sha256

HALF, WHOLE, NONE = "a sealed half", "debian", "Windows only"
PLAN = 'inputs = ["*.img"]\nin-place = true\nsha256 = true\n[operation]\nkind = "console enable"\n'


@pytest.fixture
def plan(tmp_path):
    """A plan for three images in its folder: one to be enabled, one in part, one not at all."""
    for name, kind in (("half", HALF), ("whole", WHOLE), ("none", NONE)):
        folder = tmp_path / f"{name}.made"
        folder.mkdir()
        cases.make_disk(kind, folder).rename(tmp_path / f"{name}.img")
        folder.rmdir()
    (tmp_path / "plan.toml").write_text(PLAN)
    return tmp_path / "plan.toml"


def states(plan):
    *images, total = map(json.loads, imgkit("batch", "status", plan, "--json").text.splitlines())
    return {image["image"].rpartition("/")[2]: image for image in images}, total["counts"]


def test_it_is_counted_reported_and_undone(plan):
    before = {path.name: sha256(path) for path in plan.parent.glob("*.img")}
    done = imgkit("batch", "run", plan)
    assert done.status == 1, "one image failed"
    assert "half.img: NOT enabled: kernel under UEFI: " in done.stderr
    assert ". Fix: " in done.stderr
    assert "1 done, 1 partly, 1 failed" in done.stderr
    images, counts = states(plan)
    assert {name: image["state"] for name, image in images.items()} == {
        "half.img": "partly",
        "whole.img": "done",
        "none.img": "failed",
    }
    assert counts["partly"] == 1
    assert [images[name]["verdict"] for name in ("half.img", "whole.img", "none.img")] == ["partly", "enabled", ""]
    (check,) = images["half.img"]["failing"]
    assert (check["kind"], check["firmware"], check["ok"]) == ("kernel", "UEFI", False)
    assert check["hint"]
    assert images["half.img"]["sha256"] == sha256(plan.with_name("half.img"))
    listed = imgkit("batch", "status", plan, "--once").text
    assert "1 check failed: kernel under UEFI" in next(li for li in listed.splitlines() if "half" in li)
    page = imgkit("batch", "report", plan, "-o", "-").text
    assert "s-partly" in page
    assert "not enabled: kernel" in page
    assert "<strong>Fix: </strong>" in page
    told = imgkit("batch", "report", plan, "-o", plan.with_name("page"), "--json").json["partly"]
    assert [(image["image"], image["failing"]) for image in told] == [(str(plan.with_name("half.img")), [check])]
    assert imgkit("batch", "run", plan).status == 1
    assert imgkit("batch", "undo", plan).status == 0
    assert {path.name: sha256(path) for path in plan.parent.glob("*.img")} == before


def test_the_exit_status_says_so_unless_something_failed(plan):
    plan.with_name("none.img").unlink()
    dry = imgkit("batch", "run", plan, "--dry-run", "--json")
    assert (dry.status, dry.json["counts"]["partly"]) == (15, 1)
    assert imgkit("batch", "run", plan).status == 15
    assert imgkit("batch", "run", plan).status == 15
    again = imgkit("batch", "console", "enable", plan.with_name("half.img"), "--in-place", "--json")
    assert (again.status, again.json["counts"]["partly"], again.json["failed"]) == (15, 1, [])
    quick = plan.with_name("console-enable.batch")
    assert imgkit("batch", "undo", quick).status == 0, "nothing was written, and nothing is taken back"
    assert states(quick)[1]["partly"] == 1


@pytest.mark.parametrize("by_plan", [True, False])
def test_strict_images_fail_and_keep_their_bytes(plan, by_plan):
    half = plan.with_name("half.img")
    before = sha256(half)
    plan.write_text(f"{PLAN}strict = true\n")
    words = ["run", plan] if by_plan else ["console", "enable", half, "--in-place", "--strict"]
    assert imgkit("batch", *words).status == 1
    images, _ = states(plan if by_plan else plan.with_name("console-enable.batch"))
    assert (images["half.img"]["state"], images["half.img"]["error"]) == ("failed", "PartlyEnabledError")
    assert "--strict" in images["half.img"]["hint"]
    assert sha256(half) == before
