"""Batches whose images are in an S3 store, or whose results go there; killed, resumed, undone."""

import json
import os
import random
import shutil
import signal
import subprocess
import time

import fsspec
import pytest

from imgkit.batch.jobs import find_jobs
from imgkit.batch.ledger import State, ledger_folder, open_ledger
from imgkit.batch.plan import read_plan
from imgkit.errors import ImgkitError
from imgkit.remote.s3 import client
from tests.cli import command
from tests.cli.command import environment, script
from tests.support.disks import sha256
from tests.support.images import private_copy
from tests.support.s3store import serving_s3
from tests.support.webserver import Manners, serving

pytestmark = pytest.mark.batch

ENABLE = '\nsha256 = true\n[operation]\nkind = "console enable"\n'
WITHIN = 'inputs = ["s3://images/in/*.qcow2"]\noutput = "s3://images/out/{stem}-serial{suffix}"' + ENABLE
DOWN = 'inputs = ["s3://images/in/*.qcow2"]\noutput = "out/{name}"' + ENABLE
ISOS = 'inputs = ["s3://images/in/*.iso"]\noutput = "s3://images/out/{name}"' + ENABLE
UP = 'inputs = ["*.qcow2"]\noutput = "s3://images/out/{name}"' + ENABLE
WHEN = {"SOURCE_DATE_EPOCH": "1700000000"}


def imgkit(*words):
    return command.imgkit(*words, env=WHEN)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store with a disk in it, which is also in `tmp_path`."""
    with serving_s3(tmp_path / "store") as running:
        for name, value in running.env.items():
            monkeypatch.setenv(name, value)
        client.cache_clear()
        original = private_copy("small-qcow2", tmp_path)
        original.rename(tmp_path / "disk-0.qcow2")
        (running.folder / "in" / "deeper").mkdir(parents=True)
        shutil.copyfile(tmp_path / "disk-0.qcow2", running.folder / "in" / "disk-0.qcow2")
        (running.folder / "in" / "deeper" / "other.qcow2").write_bytes(b"not matched")
        yield running


@pytest.fixture
def plan(tmp_path):
    def make(text):
        (tmp_path / "plan.toml").write_text(text)
        return tmp_path / "plan.toml"

    return make


def more(store, number):
    for n in range(1, number):
        shutil.copyfile(store.folder / "in" / "disk-0.qcow2", store.folder / "in" / f"disk-{n}.qcow2")


def records(path):
    with open_ledger(ledger_folder(path), alone=False) as ledger:
        return list(ledger.records())


def run(path, *words):
    return imgkit("batch", "run", path, *words)


def outputs(store):
    return sorted((store.folder / "out").iterdir()) if (store.folder / "out").is_dir() else []


@pytest.mark.parametrize("text", [WITHIN, DOWN, UP])
def test_every_way_gives_the_bytes_of_a_local_run_and_is_undone(store, plan, tmp_path, text):
    assert imgkit("console", "enable", tmp_path / "disk-0.qcow2", "-o", tmp_path / "expected").status == 0
    path = plan(text)
    before = store.objects()
    assert run(path, "--dry-run").status == 0
    assert store.objects() == before
    done = run(path)
    assert done.status == 0, done.stderr
    (result,) = outputs(store) or sorted((tmp_path / "out").iterdir())
    assert sha256(result) == sha256(tmp_path / "expected")
    (record,) = records(path)
    assert record.outcome.sha256 == ("" if text == WITHIN else sha256(result))
    assert "/boot/grub/grub.cfg" in [change.path for change in record.outcome.changes]
    told = json.loads(imgkit("batch", "status", path, "--json").text.splitlines()[0])
    assert (told["image"], told["output"]) == (str(record.input), str(record.output))
    assert told["input_version"] == record.outcome.input_version != ""
    written = result.stat().st_mtime_ns
    assert run(path).stderr == "imgkit: 1 done\n"
    assert result.stat().st_mtime_ns == written
    assert imgkit("batch", "undo", path).stderr == "imgkit: 1 undone\n"
    assert not result.exists()
    assert store.objects() == before


def test_undo_leaves_what_somebody_else_put_there(store, plan):
    path = plan(WITHIN)
    assert run(path).status == 0
    (result,) = outputs(store)
    changed = result.read_bytes()[:-1] + b"!"
    result.unlink()
    result.write_bytes(changed)
    refused = imgkit("batch", "undo", path)
    assert refused.status == 1
    assert "is not what the batch wrote" in refused.stderr
    assert result.read_bytes() == changed


def test_coordinator_and_workers_are_killed_at_random(store, plan):
    more(store, 6)
    path = plan(WITHIN)
    chance = random.Random(5)
    for _ in range(3):
        running = subprocess.Popen(
            [script(), "batch", "run", path, "--jobs", "2"], stderr=subprocess.PIPE, env=environment(**WHEN)
        )
        time.sleep(chance.uniform(1.0, 3.0))
        running.send_signal(signal.SIGKILL)
        running.communicate(timeout=60)
    last = run(path)
    assert last.status == 0, last.stderr
    assert {record.outcome.state for record in records(path)} == {State.DONE}
    assert len({sha256(result) for result in outputs(store)}) == 1
    assert len(outputs(store)) == 6
    # An upload without parts takes no room: a kill between the store's answer and our note of it leaves one.
    left = [name for name in store.objects() if "upload" in name or ".imgkit-new-" in name]
    assert [name for name in left if not name.endswith("/upload.json")] == []
    assert len(left) <= 2 * 3  # one for each worker that was killed
    assert imgkit("batch", "undo", path).stderr == "imgkit: 6 undone\n"
    assert outputs(store) == []
    assert list(ledger_folder(path).glob("undo/*")) == []


@pytest.mark.parametrize("noted", [True, False])
def test_an_object_that_the_ledger_did_not_hear_of_is_found(store, plan, noted):
    path = plan(WITHIN)
    assert run(path).status == 0
    (result,) = outputs(store)
    with open_ledger(ledger_folder(path)) as ledger:
        ledger.reopen(State.DONE)  # as if the kill had come before
        if not noted:
            ledger.undo_file(1).with_suffix(".identity").unlink()
    written = result.stat().st_mtime_ns
    store.forget()
    assert run(path).stderr == "imgkit: 1 done\n"
    assert result.stat().st_mtime_ns == written
    assert "CreateMultipartUpload" not in store.kinds()
    assert imgkit("batch", "undo", path).stderr == "imgkit: 1 undone\n"
    assert outputs(store) == []


def test_what_a_kill_left_at_the_store_goes(store, plan):
    path = plan(ISOS)
    private_copy("iso-debian", store.folder / "in")
    before = store.objects()

    def late(request):
        return request.kind == "UploadPartCopy" and ".imgkit-new-" in request.headers["x-amz-copy-source"]

    store.answer = lambda request: time.sleep(60) if late(request) else None
    running = subprocess.Popen([script(), "batch", "run", path], env=environment(**WHEN), start_new_session=True)
    while not any(late(request) for request in store.requests):
        assert running.poll() is None
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    left = set(store.objects()) - set(before)
    assert any(".imgkit-new-" in name for name in left)
    assert any("uploads" in name for name in left)
    store.forget()
    assert run(path).status == 0
    assert set(store.objects()) - set(before) == {"out/iso-debian.iso"}


def test_what_exists_is_not_taken_for_ours(store, plan):
    path = plan(WITHIN)
    other = store.folder / "out" / "disk-0-serial.qcow2"
    other.parent.mkdir()
    other.write_bytes(b"precious")
    assert run(path).status == 1
    assert records(path)[0].outcome.error == "OutputError"
    assert other.read_bytes() == b"precious"
    other.unlink()
    assert imgkit("batch", "retry", path).status == 0
    assert len(outputs(store)) == 1


def test_the_workers_of_a_cluster_read_and_write_there(store, plan, cluster):
    more(store, 3)
    path = plan(WITHIN)
    address, _ = cluster()
    done = run(path, "--scheduler", address)
    assert done.stderr == "imgkit: 3 done\n"
    assert len({sha256(result) for result in outputs(store)}) == 1


def test_a_list_names_urls_too(store, plan, tmp_path):
    (tmp_path / "list").write_text("s3://images/in/disk-0.qcow2\ndisk-0.qcow2\n")
    with serving(Manners(tmp_path / "disk-0.qcow2")) as url:
        text = f'list = "list"\ninputs = ["{url}?token=hush"]\noutput = "out/{{stem}}"' + ENABLE
        refused = run(plan(text))
        assert "is the output of both" in refused.stderr
        (tmp_path / "list").write_text("s3://images/in/disk-0.qcow2\n")
        done = run(plan(text))
    assert done.status == 0, done.stderr
    assert len({sha256(path) for path in (tmp_path / "out").iterdir()}) == 1
    assert b"hush" not in b"".join(path.read_bytes() for path in (tmp_path / "plan.batch").rglob("ledger*"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('inputs = ["s3://images/in/*.qcow2"]\nin-place = true', "cannot be edited in place"),
        ('inputs = ["s3://images/in/*.iso"]\noutput = "{name}"', "matches no file"),
        ('inputs = ["https://127.0.0.1/*.iso"]\noutput = "{name}"', "https has no patterns"),
        ('inputs = ["s3://images/in/**"]\noutput = "s3://images/in/{name}"', "would overwrite an input"),
        ('inputs = ["s3://images/in/*"]\noutput = "s3://images/x"', None),
        ('inputs = ["s3://images/in/**"]\noutput = "s3://images/x"', "is the output of both"),
        ('inputs = ["s3://images/a", "s3://images/a"]\noutput = "{name}"', "is named twice"),
        ('inputs = ["s3://images/a"]\noutput = "{sha256}"', "would need a download"),
        ('inputs = ["s3://images/a"]\noutput = "https://127.0.0.1/{name}"', "writing is not supported over https"),
        ('inputs = ["s3://nobucket/*"]\noutput = "{name}"', "no such bucket"),
    ],
)
def test_collisions_are_refused_before_anything_starts(store, plan, text, says):
    read = read_plan(plan(text + ENABLE))
    if says is None:
        assert [str(job.input) for job in find_jobs(read)] == ["s3://images/in/disk-0.qcow2"]
        return
    with pytest.raises(ImgkitError, match=says):
        find_jobs(read)


def test_other_stores_are_listed_too(plan):
    files = fsspec.filesystem("memory")
    files.pipe({"/isos/a.iso": b"a", "/isos/b.iso": b"b", "/isos/c.img": b"c"})
    jobs = find_jobs(read_plan(plan('inputs = ["memory://isos/*.iso"]\noutput = "memory://out/{stem}.new"' + ENABLE)))
    files.rm("/isos", recursive=True)
    assert [(str(job.input), str(job.output)) for job in jobs] == [
        ("memory:///isos/a.iso", "memory://out/a.new"),
        ("memory:///isos/b.iso", "memory://out/b.new"),
    ]
