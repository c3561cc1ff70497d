"""`imgkit batch` as a user meets it: resumed, asked for its state, given what is wrong."""

import sqlite3

import pytest

from tests.cli.command import assert_refused, imgkit, snapshot
from tests.support import oracle

pytestmark = pytest.mark.batch

PLAN = 'inputs = ["*.qcow2"]\nin-place = true\n[operation]\nkind = "console enable"\n'


@pytest.fixture
def plan(small):
    path = small.with_name("plan.toml")
    path.write_text(PLAN)
    return path


def test_run_again_does_nothing_and_undo_brings_the_bytes_back(small, plan):
    before = small.read_bytes()
    assert imgkit("batch", "run", plan).stderr == "imgkit: 1 done\n"
    assert imgkit("console", "status", small).status == 0
    oracle.run("qemu-img", "check", small)
    done = small.read_bytes()
    assert imgkit("batch", "run", plan).stderr == "imgkit: 1 done\n"
    assert small.read_bytes() == done
    assert imgkit("batch", "undo", plan).stderr == "imgkit: 1 undone\n"
    assert small.read_bytes() == before
    assert imgkit("batch", "retry", plan).status == 0
    assert imgkit("console", "status", small).status == 0


def test_what_is_enabled_already_is_unchanged(small, plan):
    assert imgkit("console", "enable", small, "--in-place").status == 0
    assert imgkit("batch", "run", plan).stderr == "imgkit: 1 unchanged\n"


def test_a_dry_run_shows_diffs_and_writes_nothing(small, plan):
    before = snapshot(small.parent)
    done = imgkit("batch", "run", plan, "--dry-run")
    assert done.status == 0
    assert "+GRUB_TERMINAL" in done.text
    assert snapshot(small.parent) == before


def test_a_broken_image_does_not_stop_the_others(small, plan):
    small.with_name("a.qcow2").write_bytes(b"no image")
    done = imgkit("batch", "run", plan)
    assert done.status == 1
    assert "a.qcow2" in done.stderr
    assert done.stderr.endswith("imgkit: 1 done, 1 failed\n")
    listed = imgkit("batch", "status", plan).text.splitlines()
    assert [line.split()[0] for line in listed] == ["failed", "done"]


def test_a_plan_that_changed_is_told_and_done_work_stays(small, plan):
    assert imgkit("batch", "run", plan).status == 0
    done = small.read_bytes()
    plan.write_text(PLAN + "timeout = 7\n")
    told = imgkit("batch", "run", plan)
    assert told.status == 0
    assert "was done by another plan (console enable, now: console enable timeout=7) and stays so" in told.stderr
    assert small.read_bytes() == done


def test_what_is_wrong_is_refused(small, plan):
    folder = small.parent
    assert_refused(folder, "batch", "status", plan, status=2, says="contains no ledger", hint="imgkit batch run")
    assert_refused(
        folder, "batch", "run", folder / "none.toml", status=2, says="no such file", hint="lists what exists"
    )
    plan.write_text(PLAN + "colour = 1\n")
    assert_refused(folder, "batch", "run", plan, status=12, says="plan.toml:5: unknown key 'colour'", hint="Known keys")


@pytest.mark.parametrize(("pragma", "says"), [("user_version = 99", "version 99"), ("application_id = 1", "another")])
def test_a_ledger_that_is_not_ours_is_refused(small, plan, pragma, says):
    assert imgkit("batch", "run", plan).status == 0
    database = sqlite3.connect(small.parent / "plan.batch" / "ledger.sqlite")
    database.execute(f"PRAGMA {pragma}")
    database.close()
    assert_refused(
        small.parent, "batch", "run", plan, status=5, says=says, hint="plan" if "app" in pragma else "start over"
    )


def test_a_ledger_that_is_no_database_is_refused(small, plan):
    ledger = small.parent / "plan.batch" / "ledger.sqlite"
    (ledger.parent / "undo").mkdir(parents=True)
    ledger.write_bytes(b"no database at all" * 100)
    assert_refused(small.parent, "batch", "run", plan, status=4, says="file is not a database", hint="start over")
