"""What goes wrong around a batch: a disk that is full, a worker that dies, an impatient user. No image is lost."""

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from imgkit.batch.jobs import find_jobs
from imgkit.batch.ledger import Outcome, State, ledger_folder, open_ledger
from imgkit.batch.plan import read_plan
from tests.batch.conftest import IN_PLACE, NEW_FILES
from tests.cli.command import environment, imgkit, script
from tests.support import oracle

pytestmark = pytest.mark.batch

# A file system of the test's own, with so many bytes left, in a user's own mount namespace; then with space again.
FULL = """
mount -t tmpfs -o size=24m tmpfs "$1" && cp -a "$2/." "$1" && cd "$1"
head -c 100m /dev/zero > filler 2>/dev/null; truncate -s "-$3" filler; shift 3
"$@" batch run plan.toml; echo "status $?"
"$@" batch status plan.toml | cut -d' ' -f1 | sort | uniq -c
rm filler
"$@" batch run plan.toml 2>/dev/null; "$@" batch retry plan.toml; echo "status $?"
sha256sum disk-*.qcow2 out/* 2>/dev/null; ls -A
"""


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def start(plan, *words):
    command = [script(), "batch", "run", plan, "--jobs", "2", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())


def workers(pid):
    """The worker processes of a batch."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
            yield int(child)


def states(plan):
    with open_ledger(ledger_folder(plan), alone=False) as ledger:
        return {record.input.name: record.outcome for record in ledger.records()}


def test_ctrl_c_twice_stops_at_once_and_harms_nothing(disks):
    plan = disks(100)
    before = {sha256(path) for path in plan.parent.glob("*.qcow2")}
    with start(plan, "--ledger", plan.parent / "ledger") as running:
        while running.poll() is None and not list(plan.parent.glob("ledger/undo/*.undo")):
            time.sleep(0.01)
        for worker in workers(running.pid):
            os.kill(worker, signal.SIGSTOP)  # what is in work does not end by itself
        running.send_signal(signal.SIGINT)
        assert b"finishing the images in progress" in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=60)
    assert running.returncode == 130, told
    assert b"Traceback" not in told
    assert imgkit("batch", "run", plan, "--ledger", plan.parent / "ledger").stderr == "imgkit: 100 done\n"
    assert imgkit("batch", "undo", plan.parent / "ledger").stderr == "imgkit: 100 undone\n"
    assert {sha256(path) for path in plan.parent.glob("*.qcow2")} == before


@pytest.mark.parametrize(("text", "free"), [(IN_PLACE, 0), (IN_PLACE, 100_000), (NEW_FILES, 0), (NEW_FILES, 300_000)])
def test_a_disk_that_is_full_fails_images_until_there_is_space(disks, tmp_path_factory, text, free):
    plan = disks(3, text)
    for path in plan.parent.glob("*.qcow2"):
        with path.open("r+b") as image:  # what is in place has no holes to be filled
            os.posix_fallocate(image.fileno(), 0, path.stat().st_size)
    folder = tmp_path_factory.mktemp("full")
    unshare = [oracle.find("unshare"), "--user", "--map-root-user", "--mount", "sh", "-c", FULL, "sh"]
    done = subprocess.run(
        [*map(str, [*unshare, folder, plan.parent, free, sys.executable, "-m", "imgkit"])],
        capture_output=True,
        text=True,
        check=False,
        env=environment(SOURCE_DATE_EPOCH="1700000000"),
    )
    assert "Traceback" not in done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] in ("status 1", "status 8"), done
    assert "space" in done.stderr or "full" in done.stderr, done.stderr
    assert "status 0" in lines[1:], done
    results = [line for line in lines if ("out/" in line if text is NEW_FILES else " disk-" in line)]
    assert len(results) == 3, done
    assert len({line.split()[0] for line in results}) == 1, "each edited once, and whole"
    assert not [line for line in lines if line.startswith(".")], "no journal and no temporary file stays"


class Hanging(BaseHTTPRequestHandler):
    """Answers no request, and says that there was one."""

    asked = Event()
    over = Event()

    def do_GET(self):
        self.asked.set()
        self.over.wait()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_):
        pass


@pytest.fixture
def hanging():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hanging)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/disk-bad.qcow2"
    Hanging.over.set()
    server.shutdown()
    server.server_close()


def test_an_image_whose_worker_dies_each_time_fails_and_the_others_are_done(disks, hanging):
    plan = disks(6, NEW_FILES.replace('"*.qcow2"', f'"{hanging}", "*.qcow2"'))
    running = start(plan)
    for _ in range(4):  # in company, then three times alone
        assert Hanging.asked.wait(60)
        Hanging.asked.clear()
        for worker in list(workers(running.pid)):
            os.kill(worker, signal.SIGKILL)
    _, told = running.communicate(timeout=60)
    assert running.returncode == 1, told
    assert b"died 3 times" in told
    assert b"--jobs 1" in told
    found = states(plan)
    assert found.pop("disk-bad.qcow2").error == "EngineError"
    assert {outcome.state for outcome in found.values()} == {State.DONE}
    assert len(found) == 6


def test_a_plan_that_changed_names_what_changed(disks):
    plan = disks(3)
    assert imgkit("batch", "run", plan).status == 0
    done = {path.name: sha256(path) for path in plan.parent.glob("*.qcow2")}
    text = (
        plan.read_text()
        .replace('"*.qcow2"', '"disk-001.qcow2", "disk-002.qcow2"')
        .replace("in-place = true", 'output = "o/{name}"')
    )
    plan.write_text(text + "timeout = 7\n")
    told = imgkit("batch", "run", plan)
    assert told.status == 0
    assert "disk-000.qcow2: left the plan" in told.stderr
    now = f"console enable, now: console enable timeout=7; to itself, now: to {plan.parent}/o"
    assert f"disk-001.qcow2: was done by another plan ({now}) and stays so" in told.stderr
    assert {path.name: sha256(path) for path in plan.parent.glob("*.qcow2")} == done
    plan.write_text(IN_PLACE.replace("*.qcow2", "a.qcow2"))
    (plan.parent / "a.qcow2").write_bytes(b"")
    with open_ledger(ledger_folder(plan)) as ledger:
        for n in range(9):
            ledger._database.execute(f"INSERT INTO image (input, operation, state) VALUES ('/x{n}', '', 'done')")
        ledger._database.commit()
    assert "disk-000.qcow2 and 11 more: left the plan" in imgkit("batch", "run", plan).stderr
    assert not (plan.parent / "o").exists() or not list((plan.parent / "o").iterdir())


def test_a_message_that_names_a_file_in_no_encoding_is_kept(disks):
    plan = disks(1)
    with open_ledger(ledger_folder(plan), create=True) as ledger:
        ((number, _),) = ledger.enter(find_jobs(read_plan(plan)))[0].items()
        ledger.settle(number, Outcome(State.FAILED, error="TreeError", message="/etc/\udcff: is a directory"))
        assert ledger.record(number).outcome.message == "/etc/\\xff: is a directory"


def test_two_runs_of_one_batch_at_a_time_are_refused(disks):
    plan = disks(1)
    with open_ledger(ledger_folder(plan), create=True):
        second = imgkit("batch", "run", plan)
    assert second.status == 6
    assert "another process is running this batch" in second.stderr


def test_undo_takes_back_what_a_killed_run_had_no_time_to_note(disks):
    plan = disks(2, NEW_FILES)
    assert imgkit("batch", "run", plan).status == 0
    with open_ledger(ledger_folder(plan)) as ledger:
        ledger.reopen(State.DONE)
        noted = list(ledger.folder.rglob("*.identity"))
    assert len(noted) == 2
    for path in noted:
        path.unlink()  # as if the kill came before they were noted
    assert imgkit("batch", "undo", plan).stderr == "imgkit: 2 undone\n"
    assert not list(plan.parent.glob("out/*"))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("input", "'a' || char(0) || 'b'"),
        ("output", "'a' || char(0) || 'b'"),
        ("input", "CAST(x'2fff41' AS TEXT)"),
        ("state", "'odd'"),
        ("changes", "'[1]'"),
        ("changes", "'no JSON'"),
        ("notices", "'5'"),
    ],
)
def test_a_ledger_with_a_row_that_no_batch_writes_is_refused(disks, column, value):
    plan = disks(1)
    assert imgkit("batch", "run", plan).status == 0
    folder = ledger_folder(plan)
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as database, database:
        database.execute(f"UPDATE image SET {column} = {value}")
    for words in (["status", plan, "--once"], ["undo", plan], ["report", plan, "-o", plan.with_name("page.html")]):
        done = imgkit("batch", *words)
        assert done.status == 4, (words, done.stderr)
        assert "ledger.sqlite" in done.stderr
        assert "Move the directory away" in done.stderr


@pytest.mark.parametrize(
    "text",
    [
        'inputs = ["a\\u0000b"]\nin-place = true\n[operation]\nkind = "console enable"\n',
        'list = "a\\u0000b"\nin-place = true\n[operation]\nkind = "console enable"\n',
        'inputs = ["*"]\noutput = "a\\u0000b"\n[operation]\nkind = "console enable"\n',
        'inputs = ["*"]\nin-place = true\n[operation]\nkind = "write"\npath = "/a\\u0000b"\ncontents = ""\n',
        'inputs = ["*"]\nin-place = true\n[operation]\nkind = "iso add"\nfiles = ["a\\u0000b"]\nat = "/"\n',
        'inputs = ["*"]\nin-place = true\n[operation]\nkind = "console enable"\n[[select]]\nmatch = "a\\u0000"\n',
    ],
)
def test_a_plan_with_a_nul_byte_is_refused(tmp_path, text):
    plan = tmp_path / "plan.toml"
    plan.write_text(text)
    done = imgkit("batch", "run", plan)
    assert done.status == 12, done.stderr
    assert "NUL byte" in done.stderr
    assert str(plan) in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["plan.toml"]


def test_a_list_with_a_nul_byte_is_refused(tmp_path):
    (tmp_path / "list").write_bytes(b"a\0b\n")
    plan = tmp_path / "plan.toml"
    plan.write_text('list = "list"\nin-place = true\n[operation]\nkind = "console enable"\n')
    done = imgkit("batch", "run", plan)
    assert done.status == 2, done.stderr
    assert "NUL byte" in done.stderr
