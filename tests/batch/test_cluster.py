"""A batch on a Dask cluster of real processes on the loopback: the same outputs, whoever dies on the way."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imgkit.batch.ledger import ledger_folder, open_ledger
from tests.batch.conftest import IN_PLACE, NEW_FILES
from tests.cli.command import environment, imgkit

DASK = Path(sys.executable).with_name("dask")


def sums(plan):
    with open_ledger(ledger_folder(plan), alone=False) as ledger:
        return {record.input.name: record.outcome.sha256 for record in ledger.records()}


@pytest.fixture
def cluster(tmp_path_factory):
    """Start a scheduler with two workers; its address and the workers."""
    folder = tmp_path_factory.mktemp("dask")
    where = folder / "scheduler.json"
    processes = []

    def start(*words):
        log = (folder / f"{len(processes)}.log").open("wb")
        processes.append(
            subprocess.Popen([DASK, *words], stdout=log, stderr=log, env=environment(SOURCE_DATE_EPOCH="1700000000"))
        )
        log.close()

    start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", where)

    def workers(threads="1"):
        while not where.exists():
            assert processes[0].poll() is None, (folder / "0.log").read_text()
            time.sleep(0.1)
        for _ in range(2):
            start(
                "worker",
                "--scheduler-file",
                where,
                "--nthreads",
                threads,
                "--no-nanny",
                "--no-dashboard",
                "--local-directory",
                folder,
            )
        while any("Registered to" not in (folder / f"{n}.log").read_text() for n in (1, 2)):
            assert all(process.poll() is None for process in processes), [*map(Path.read_text, folder.glob("*.log"))]
            time.sleep(0.1)
        return json.loads(where.read_text())["address"], processes[1:]

    yield workers
    for process in processes:
        process.kill()
        process.wait()


def test_the_outputs_are_those_of_local_processes_with_a_worker_killed(disks, cluster):
    plan = disks(30, NEW_FILES)
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    assert imgkit("batch", "run", plan, env=epoch).status == 0
    local = sums(plan)
    assert imgkit("batch", "undo", plan, env=epoch).status == 0
    address, workers = cluster()
    words = [sys.executable, "-m", "imgkit", "batch", "retry", plan, "--scheduler", address]
    running = subprocess.Popen(words, stderr=subprocess.PIPE, env=environment(**epoch))
    out = plan.parent / "out"
    while running.poll() is None and not any(out.glob("disk-*")):
        time.sleep(0.01)
    workers[0].kill()
    _, told = running.communicate(timeout=100)
    assert running.returncode == 0, told
    assert sums(plan) == local


def test_workers_with_threads_are_refused(disks, cluster):
    plan = disks(1, IN_PLACE)
    address, _ = cluster(threads="2")
    done = imgkit("batch", "run", plan, "--scheduler", address)
    assert done.status == 9
    assert "has 2 threads" in done.stderr
    assert "--nthreads 1" in done.stderr


def test_a_scheduler_that_does_not_answer_is_told(disks):
    plan = disks(1, IN_PLACE)
    done = imgkit("batch", "run", plan, "--scheduler", "tcp://127.0.0.1:9")
    assert done.status == 9
    assert "no Dask scheduler answers" in done.stderr
    assert imgkit("batch", "status", plan).text.startswith("pending")
