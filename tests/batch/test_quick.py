"""Batches of a command line: what their plan says, once it is a file; where their ledger is."""

from pathlib import Path

import pytest

from imgkit.batch.jobs import find_jobs
from imgkit.batch.operations import AddFiles, EnableConsole, WriteFile
from imgkit.batch.plan import Selector, read_plan
from imgkit.batch.quick import check_plan, default_folder, keep, make_plan, plan_of, point_to
from imgkit.configtext.options import EnableOptions
from imgkit.errors import UsageError
from imgkit.guest.engines.choice import EngineChoice

pytestmark = pytest.mark.batch

ENABLE = EnableConsole((), EnableOptions())


@pytest.mark.parametrize(
    "operation",
    [
        ENABLE,
        EnableConsole(
            (("baud", 9600), ("keep_vga", False), ("port", "ttyS1")), EnableOptions(timeout=0, recovery=True)
        ),
        WriteFile('/etc/a "quoted" \\ name \x7f', b"\xff\0binary\n"),
        AddFiles((Path("/a b/ü"), Path("/c")), "/at/", replace=True),
    ],
)
@pytest.mark.parametrize("out", [None, "new", "new/{stem}-x{suffix}"])
@pytest.mark.parametrize("engine", EngineChoice)
@pytest.mark.parametrize("where", [".", "[1] ?"])
def test_the_plan_that_is_kept_says_the_same(tmp_path, operation, out, engine, where):
    tmp_path = tmp_path / where
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "a.img").write_bytes(b"a")
    (tmp_path / "[b].img").write_bytes(b"b")
    made = make_plan(["[b].img", "a*"], operation, Selector("*", engine=engine), out=out, folder=tmp_path)
    folder = tmp_path / "ledger"
    folder.mkdir()
    keep(made, folder)
    assert find_jobs(read_plan(plan_of(folder))) == find_jobs(made)
    assert [job.input.name for job in find_jobs(made)] == ["[b].img", "a.img"]


@pytest.mark.parametrize(
    ("image", "out", "folder"),
    [
        ("isos/*.iso", "serial/", "serial.batch"),
        ("isos/*.iso", "a/serial", "a/serial.batch"),
        ("isos/*.iso", "new/{stem}/x{suffix}", "new.batch"),
        ("isos/*.iso", "{stem}-serial{suffix}", "console-enable.batch"),
        ("isos/*.iso", "s3://bucket/serial", "console-enable.batch"),
        ("isos/*.iso", None, "isos/console-enable.batch"),
        ("a/**/b/*.img", None, "a/console-enable.batch"),
        ("a.img", None, "console-enable.batch"),
    ],
)
@pytest.mark.parametrize("where", [".", "[1] ?"])
def test_the_ledger_is_beside_the_results(tmp_path, image, out, folder, where):
    plan = make_plan([image], ENABLE, Selector("*"), out=out, folder=tmp_path / where)
    assert default_folder(plan) == tmp_path / where / folder


def test_a_ledger_knows_its_plan_wherever_it_is(tmp_path):
    plan, ledger = tmp_path / "plan.toml", tmp_path / "elsewhere" / "ledger"
    ledger.mkdir(parents=True)
    plan.write_text("")
    for _ in range(2):
        point_to(plan, ledger)
        assert plan_of(ledger) == plan
    point_to(plan_of(ledger), ledger)
    assert plan_of(ledger) == plan
    assert plan_of(plan) == plan
    with pytest.raises(UsageError, match="contains no batch"):
        plan_of(ledger.parent)


def test_a_ledger_is_of_one_plan(tmp_path):
    plan, other, ledger = tmp_path / "plan.toml", tmp_path / "other.toml", tmp_path / "ledger"
    ledger.mkdir()
    plan.write_text("")
    other.write_text("")
    check_plan(plan, ledger)
    point_to(plan, ledger)
    check_plan(plan, ledger)
    check_plan(ledger / "plan.toml", ledger)
    without_file = make_plan(["a.img"], ENABLE, Selector("*"), out="new", folder=tmp_path)
    for wrong in (other, without_file):
        with pytest.raises(UsageError, match=f"{ledger}: is the ledger of another plan, {plan}") as caught:
            check_plan(wrong, ledger)
        assert "--ledger" in caught.value.hint
    plan.unlink()
    check_plan(other, ledger)


def test_a_ledger_without_a_plan_file_goes_on_with_the_same_images(tmp_path):
    ledger = tmp_path / "ledger"
    ledger.mkdir()
    keep(make_plan(["a.img"], ENABLE, Selector("*"), out="new", folder=tmp_path), ledger)
    check_plan(ledger / "plan.toml", ledger)
    other_way = WriteFile("/etc/motd", b"hi")
    check_plan(make_plan(["a.img"], other_way, Selector("*"), out="new", folder=tmp_path), ledger)
    for images, out in ((["b.img"], "new"), (["a.img"], "newer"), (["a.img"], None)):
        with pytest.raises(UsageError, match="is the ledger of another plan"):
            check_plan(make_plan(images, ENABLE, Selector("*"), out=out, folder=tmp_path), ledger)


def test_a_name_that_no_plan_can_hold_is_refused(tmp_path):
    (tmp_path / "\udcff.img").write_bytes(b"")
    with pytest.raises(UsageError, match="not UTF-8"):
        keep(make_plan(["\udcff.img"], ENABLE, Selector("*"), out=None, folder=tmp_path), tmp_path)
