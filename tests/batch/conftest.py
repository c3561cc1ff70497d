"""A folder with a plan and small Debian disks to do it to."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.command import environment
from tests.support.images import fixture, private_copy

DASK = Path(sys.executable).with_name("dask")
IN_PLACE = 'inputs = ["*.qcow2"]\nin-place = true\nsha256 = true\n[operation]\nkind = "console enable"\n'
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


@pytest.fixture
def cluster(tmp_path_factory):
    """Start a scheduler with two workers; its address and the workers."""
    folder = tmp_path_factory.mktemp("dask")
    where = folder / "scheduler.json"
    processes = []

    def start(*words, **settings):
        env = environment(SOURCE_DATE_EPOCH="1700000000", **settings)
        with (folder / f"{len(processes)}.log").open("wb") as log:
            processes.append(subprocess.Popen([DASK, *words], stdout=log, stderr=log, env=env))

    start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", where)

    def workers(threads="1", **settings):
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
                **settings,
            )
        while any("Registered to" not in (folder / f"{n}.log").read_text() for n in (1, 2)):
            assert all(process.poll() is None for process in processes), [*map(Path.read_text, folder.glob("*.log"))]
            time.sleep(0.1)
        return json.loads(where.read_text())["address"], processes[1:]

    workers.scheduler = processes[0]
    yield workers
    for process in processes:
        process.kill()
        process.wait()
