"""A batch that is killed, at any instant: it goes on where it stopped, and does each image once."""

import hashlib
import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from imgkit.batch.jobs import find_jobs
from imgkit.batch.ledger import State, ledger_folder, open_ledger
from imgkit.batch.plan import read_plan
from imgkit.batch.work import Task, carry_out
from tests.batch.conftest import IN_PLACE, NEW_FILES
from tests.cli.command import environment, imgkit, script
from tests.support import oracle
from tests.support.images import private_copy

pytestmark = pytest.mark.batch

SEED = 5


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def start(plan, command="run"):
    return subprocess.Popen(
        [script(), "batch", command, plan, "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(SOURCE_DATE_EPOCH="1700000000"),
    )


def records(plan):
    with open_ledger(ledger_folder(plan), alone=False) as ledger:
        return list(ledger.records())


def workers(pid):
    """The worker processes of a batch; none, where its coordinator is gone."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    except OSError:
        return []


def kill_at_random(plan, kills, chance):
    """Run a batch, and kill a worker or the coordinator after every few images, `kills` times in all."""
    undo = ledger_folder(plan) / "undo"
    running = None
    for _ in range(kills):
        if running is None or running.poll() is not None:
            running = start(plan)
        wanted = len(list(undo.glob("*.undo"))) + chance.randrange(3)
        while running.poll() is None and len(list(undo.glob("*.undo"))) < wanted:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.02))
        alive = workers(running.pid)
        victim = chance.choice([running.pid, *alive])
        assert running.poll() is None, "the batch was over before all kills; give it more images"
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        if victim == running.pid:
            running.communicate(timeout=60)
            for worker in alive:
                while Path(f"/proc/{worker}").exists():  # none outlives its coordinator
                    time.sleep(0.01)
    if running.poll() is None:
        running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)


@pytest.mark.parametrize(("text", "kills", "number"), [(IN_PLACE, 20, 200), (NEW_FILES, 6, 80)])
def test_coordinator_and_workers_are_killed_at_random(disks, tmp_path_factory, text, kills, number):
    plan = disks(number, text, broken=1)
    before = {path.name: sha256(path) for path in plan.parent.glob("*.qcow2")}
    single = private_copy("small-qcow2", tmp_path_factory.mktemp("single"))
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    assert imgkit("console", "enable", single, "--in-place", env=epoch).status == 0

    kill_at_random(plan, kills, random.Random(SEED))
    last = start(plan, "retry")  # an image whose worker we killed three times has failed
    _, told = last.communicate(timeout=120)
    assert last.returncode == 1, told

    found = {record.input.name: record for record in records(plan)}
    assert len(found) == number + 1
    assert found.pop("broken-0.qcow2").outcome.state is State.FAILED
    results = [record.output or record.input for record in found.values()]
    for record, result in zip(found.values(), results, strict=True):
        assert record.outcome.state is State.DONE, record
        assert record.outcome.sha256 == (sha256(result) if text == IN_PLACE else ""), "as the plan asks"
        assert "/boot/grub/grub.cfg" in [change.path for change in record.outcome.changes]
    assert {sha256(result) for result in results} == {sha256(single)}, "each edited once, as a single edit does it"
    oracle.run("qemu-img", "check", results[0])
    assert imgkit("console", "status", results[0]).status == 0
    assert not list(plan.parent.rglob(".*")), "no journal and no temporary file stays behind"

    assert imgkit("batch", "undo", plan, env=epoch).status == 0
    assert {path.name: sha256(path) for path in plan.parent.glob("*.qcow2")} == before
    assert not list(plan.parent.glob("out/*"))


@pytest.mark.parametrize("text", [IN_PLACE, NEW_FILES])
def test_a_commit_that_the_ledger_did_not_hear_of_is_found(disks, text):
    plan = disks(1, text)
    (plan.parent / "out").mkdir()
    with open_ledger(ledger_folder(plan), create=True) as ledger:
        remaining, _ = ledger.enter(find_jobs(read_plan(plan)))
        ((number, job),) = remaining.items()
        first = carry_out(Task(job, ledger.undo_file(number)))  # and now comes the kill, before ledger.settle
    written = job.target.stat()
    assert imgkit("batch", "run", plan).status == 0
    (record,) = records(plan)
    assert (record.outcome.state, record.outcome.sha256) == (State.DONE, first.sha256)
    assert record.outcome.changes == first.changes
    assert record.outcome.engine == first.engine == "native"
    assert job.target.stat().st_mtime_ns == written.st_mtime_ns, "written once"


@pytest.mark.parametrize("text", [IN_PLACE, NEW_FILES])
def test_what_a_kill_left_before_the_commit_is_cleared_away(disks, text):
    plan = disks(1, text)
    (plan.parent / "out").mkdir()
    with open_ledger(ledger_folder(plan), create=True) as ledger:
        remaining, _ = ledger.enter(find_jobs(read_plan(plan)))
        ((number, job),) = remaining.items()
        undo = ledger.undo_file(number)
        original = job.input.read_bytes()
        assert carry_out(Task(job, undo)).state is State.DONE
        job.target.unlink()
        job.input.write_bytes(original)  # as if the kill came between undo file and image
        again = carry_out(Task(job, undo))
        assert again.state is State.DONE
        assert again.sha256 == (sha256(job.target) if job.sha256 else "")
        undo.write_bytes(undo.read_bytes()[:50])  # torn
        (job.target if job.output else undo.with_suffix(".none")).unlink(missing_ok=True)
        job.input.write_bytes(original)
        assert carry_out(Task(job, undo)).state is State.DONE


def test_a_new_file_of_somebody_elses_is_not_taken_for_ours(disks):
    plan = disks(1, NEW_FILES)
    other = plan.parent / "out" / "disk-000-serial.qcow2"
    other.parent.mkdir()
    other.write_bytes(b"precious")
    assert imgkit("batch", "run", plan).status == 1
    (record,) = records(plan)
    assert (record.outcome.state, record.outcome.error) == (State.FAILED, "OutputError")
    assert other.read_bytes() == b"precious"
    other.unlink()
    assert imgkit("batch", "retry", plan).status == 0
    assert records(plan)[0].outcome.state is State.DONE


def test_ctrl_c_finishes_what_is_in_work_and_leaves_the_rest(disks):
    plan = disks(40)
    running = start(plan)
    while running.poll() is None and not list(ledger_folder(plan).glob("undo/*.undo")):
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=60)
    assert running.returncode == 130, told
    assert b"imgkit: interrupted; " in told
    states = {record.outcome.state for record in records(plan)}
    assert states <= {State.DONE, State.PENDING}
    assert b"Traceback" not in told
    assert imgkit("batch", "run", plan).status == 0
    assert {record.outcome.state for record in records(plan)} == {State.DONE}
