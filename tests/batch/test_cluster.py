"""A batch on a Dask cluster of real processes on the loopback: the same outputs, whoever dies on the way."""

import shutil
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor
from pathlib import Path

import pytest

import imgkit as imgkit_package
from imgkit.batch.cluster import cluster as workers_of
from imgkit.batch.ledger import ledger_folder, open_ledger
from tests.batch.conftest import IN_PLACE, NEW_FILES
from tests.cli.command import environment, imgkit

pytestmark = pytest.mark.batch


def sums(plan):
    with open_ledger(ledger_folder(plan), alone=False) as ledger:
        return {record.input.name: record.outcome.sha256 for record in ledger.records()}


def test_the_outputs_are_those_of_local_processes_with_a_worker_killed(disks, cluster):
    plan = disks(30, NEW_FILES)
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    assert imgkit("batch", "run", plan, env=epoch).status == 0
    local = sums(plan)
    assert imgkit("batch", "undo", plan, env=epoch).status == 0
    address, workers = cluster()
    status, told = kill_in_the_middle(plan, ["batch", "retry", plan, "--scheduler", address], workers[0])
    assert status == 0, told
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


def kill_in_the_middle(plan, words, victim):
    """Run imgkit, kill another process when the first result is there; status and standard error."""
    env = environment(SOURCE_DATE_EPOCH="1700000000")
    with subprocess.Popen([sys.executable, "-m", "imgkit", *words], stderr=subprocess.PIPE, env=env) as running:
        try:
            while running.poll() is None and not any(plan.parent.glob("out/disk-*")):
                time.sleep(0.01)
            victim.kill()
            _, told = running.communicate(timeout=100)
        except BaseException:
            running.kill()
            raise
    return running.returncode, told.decode()


def test_a_scheduler_that_vanishes_loses_nothing(disks, cluster):
    plan = disks(150, NEW_FILES)  # more than are done until the scheduler is killed
    address, workers = cluster()
    status, told = kill_in_the_middle(plan, ["batch", "run", plan, "--scheduler", address], cluster.scheduler)
    assert status == 9, told
    assert "no Dask scheduler answers" in told
    assert "Traceback" not in told
    for worker in workers:  # one that lives on finishes what it has
        worker.kill()
        worker.wait()
    assert imgkit("batch", "run", plan, env={"SOURCE_DATE_EPOCH": "1700000000"}).stderr == "imgkit: 150 done\n"
    assert len({*sums(plan).values()}) == 1
    assert not list(plan.parent.rglob(".*"))


def test_a_scheduler_that_vanishes_with_a_result_on_its_way_is_noticed(cluster):
    address, _ = cluster()
    # The worker packs the result when it is asked for it, which is after the news that there is one.
    late = f"type('Late', (), {{'__reduce__': lambda _: __import__('os').kill({cluster.scheduler.pid}, 9)}})()"
    with workers_of(address) as pool:
        assert pool.submit(eval, "6 * 7").result(timeout=100) == 42
        with pytest.raises(ZeroDivisionError):
            pool.submit(eval, "1 / 0").result(timeout=100)
        with pytest.raises(BrokenExecutor):
            pool.submit(eval, late).result(timeout=100)


@pytest.mark.parametrize(
    ("version", "says"), [("99.0", "has imgkit 99.0 on Python"), (None, "cannot import this imgkit")]
)
def test_workers_of_another_version_are_refused(disks, cluster, tmp_path_factory, version, says):
    other = tmp_path_factory.mktemp("other") / "imgkit"
    if version is None:  # the unrelated project of that name
        other.with_suffix(".py").write_text('__version__ = "1.2"\n')
    else:
        shutil.copytree(Path(imgkit_package.__file__).parent, other, ignore=shutil.ignore_patterns("__pycache__"))
        head = other / "__init__.py"
        head.write_text(head.read_text().replace(f'"{imgkit_package.__version__}"', f'"{version}"'))
    plan = disks(1, IN_PLACE)
    address, _ = cluster(PYTHONPATH=str(other.parent))
    done = imgkit("batch", "run", plan, "--scheduler", address)
    assert done.status == 9, done.stderr
    assert says in done.stderr
    assert f"pip install imgkit-vm=={imgkit_package.__version__}" in done.stderr
    assert imgkit("batch", "status", plan).text.startswith("pending")
