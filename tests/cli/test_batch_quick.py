"""`imgkit batch console enable`, `write` and `iso add`: a batch of one command line, which goes on like any other."""

import json
import shutil
import subprocess
import time

import pexpect
import pytest

from tests.cli.command import assert_refused, environment, imgkit, script, snapshot
from tests.support import oracle
from tests.support.images import private_copy

pytestmark = pytest.mark.batch


@pytest.fixture
def folder(tmp_path):
    """Two ISOs, one of them broken, and two disks."""
    iso, disk = private_copy("iso-grub-rescue", tmp_path), private_copy("small-qcow2", tmp_path)
    (tmp_path / "isos").mkdir()
    (tmp_path / "disks").mkdir()
    iso.rename(tmp_path / "isos" / "good.iso")
    (tmp_path / "isos" / "broken.iso").write_bytes((tmp_path / "isos" / "good.iso").read_bytes()[:100_000])
    shutil.copyfile(disk, tmp_path / "disks" / "a.qcow2")
    disk.rename(tmp_path / "disks" / "b.qcow2")
    return tmp_path


def test_a_batch_without_a_plan_is_told_and_goes_on_by_its_ledgers_name(folder):
    words = ["batch", "console", "enable", "isos/*.iso", "--out", "serial/", "--timeout", "5"]
    first = imgkit(*words, cwd=folder)
    assert first.status == 1, first.stderr
    assert f"ledger {folder}/serial.batch" in first.stderr
    assert first.stderr.endswith("imgkit: 1 done, 1 failed\n")
    oracle.run("xorriso", "-indev", folder / "serial" / "good.iso", "-toc")
    assert imgkit("console", "status", "serial/good.iso", cwd=folder).status == 0
    assert imgkit(*words, cwd=folder).stderr.endswith("imgkit: 1 done, 1 failed\n"), "twice is once"
    good = (folder / "isos" / "good.iso").read_bytes()
    (folder / "isos" / "broken.iso").write_bytes(good)
    again = imgkit("batch", "retry", "serial.batch", cwd=folder)
    assert again.stderr.endswith("imgkit: 2 done\n")
    assert "images whose boot default or timeout changed: 1; see `imgkit batch report" in again.stderr, (
        "broken.iso, at once"
    )
    listed = imgkit("batch", "status", "serial.batch", cwd=folder).text
    assert listed.count(f"{folder}/serial/") == 2
    assert imgkit("batch", "run", "serial.batch", cwd=folder).stderr == "imgkit: 2 done\n"
    assert imgkit("batch", "undo", "serial.batch", cwd=folder).stderr == "imgkit: 2 undone\n"
    assert not list((folder / "serial").iterdir())


def test_in_place_and_write_each_have_a_ledger_of_their_own(folder):
    assert imgkit("batch", "console", "enable", "disks/*", "--in-place", cwd=folder).status == 0
    written = imgkit("batch", "write", "disks/*", "/etc/motd", "--in-place", stdin=b"\xffhi\n", cwd=folder)
    assert written.stderr.endswith("imgkit: 2 done\n")
    for disk in ("disks/a.qcow2", "disks/b.qcow2"):
        assert imgkit("cat", disk, "/etc/motd", cwd=folder).stdout == b"\xffhi\n"
        assert imgkit("console", "status", disk, cwd=folder).status == 0
    assert imgkit("batch", "undo", "disks/write.batch", cwd=folder).status == 0
    assert imgkit("cat", "disks/a.qcow2", "/etc/motd", cwd=folder).stdout != b"\xffhi\n"
    assert imgkit("console", "status", "disks/a.qcow2", cwd=folder).status == 0


def test_iso_add(folder):
    (folder / "preseed.cfg").write_text("d-i\n")
    words = ["isos/good.iso", "--file", "preseed.cfg", "--at", "/", "--out", "auto/{stem}-auto{suffix}"]
    assert imgkit("batch", "iso", "add", *words, "--ledger", "l", cwd=folder).status == 0
    assert imgkit("cat", "auto/good-auto.iso", "/preseed.cfg", cwd=folder).stdout == b"d-i\n"
    assert (folder / "l" / "ledger.sqlite").exists()


def test_a_dry_run_shows_all_in_order_and_writes_nothing(folder):
    before = snapshot(folder)
    done = imgkit("batch", "console", "enable", "disks/*", "isos/*", "--dry-run", cwd=folder)
    assert done.status == 1
    heads = [line for line in done.text.splitlines() if line.startswith("# ")]
    assert heads[:2] == [f"# {folder}/disks/a.qcow2", f"# {folder}/disks/b.qcow2"]
    assert "+GRUB_TERMINAL" in done.text
    assert done.stderr.endswith("dry run, nothing was written: 3 done, 1 failed\n")
    assert snapshot(folder) == before


def test_what_is_wrong_is_refused(folder):
    words = ["batch", "console", "enable", "disks/*"]
    assert_refused(folder, *words, status=2, says="exactly one of --out and --in-place", hint="--out", cwd=folder)
    assert_refused(
        folder,
        *words,
        "--out",
        "x",
        "--in-place",
        status=2,
        says="exactly one of --out and --in-place",
        hint="--out",
        cwd=folder,
    )
    assert_refused(folder, *words, "--in-place", "--baud", "12345", status=2, says="12345", hint="115200", cwd=folder)
    assert_refused(folder, *words, "--out", "disks", status=2, says="overwrite an input", hint="directory", cwd=folder)
    assert_refused(folder, *words, "--out", "{x}", status=2, says="unknown placeholder", hint="{stem}", cwd=folder)
    assert_refused(folder, "batch", "retry", "isos", status=2, says="contains no batch", hint="plan file", cwd=folder)


def on_a_terminal(folder, *words):
    return pexpect.spawn(
        str(script()), list(words), cwd=folder, env=environment(TERM="xterm", COLUMNS="100"), timeout=60
    )


def test_a_bar_on_a_terminal(folder):
    shown = on_a_terminal(folder, "batch", "console", "enable", "disks/*", "--in-place").read().decode()
    assert "2/2" in shown
    assert shown.rstrip().endswith("imgkit: 2 done")


def test_status_follows_a_run(folder):
    for n in range(100):
        shutil.copyfile(folder / "disks" / "a.qcow2", folder / "disks" / f"c{n}.qcow2")
    words = [script(), "batch", "console", "enable", "disks/*.qcow2", "--in-place", "--jobs", "1"]
    ledger = folder / "disks" / "console-enable.batch"
    with subprocess.Popen(words, cwd=folder, env=environment(), stderr=subprocess.DEVNULL) as running:
        while running.poll() is None and not list(ledger.glob("undo/*.undo")):
            time.sleep(0.01)
        table = on_a_terminal(folder, "batch", "status", str(ledger))
        lines = imgkit("batch", "status", ledger, "--json", "--follow").text
        shown = table.read().decode()
    told = [json.loads(line) for line in lines.splitlines()]
    last = {line["image"]: line["state"] for line in told[:-1]}
    assert set(last.values()) == {"done"}
    assert len(last) == told[-1]["counts"]["done"] == 102
    assert "console-enable.batch: 102 done" in shown
    assert "/boot/grub/grub.cfg" in shown, "the latest images are named"
    assert len(imgkit("batch", "status", ledger, "--once").text.splitlines()) == 102


def test_a_ledger_of_another_batch_is_refused_and_stays(folder):
    words = ["batch", "console", "enable", "disks/*", "--out", "new/", "--ledger", "mine"]
    assert imgkit(*words, cwd=folder).status == 0
    before = (folder / "mine" / "plan.toml").read_bytes()
    others = ["batch", "console", "enable", "isos/*", "--out", "serial/", "--ledger", "mine"]
    assert_refused(folder, *others, status=2, says="mine: is the ledger of another plan", hint="--ledger", cwd=folder)
    (folder / "plan.toml").write_text('inputs = ["isos/*"]\nin-place = true\n[operation]\nkind = "console enable"\n')
    run = ["batch", "run", "plan.toml", "--ledger", "mine"]
    assert_refused(folder, *run, status=2, says="mine: is the ledger of another plan", hint="--ledger", cwd=folder)
    assert (folder / "mine" / "plan.toml").read_bytes() == before
    assert imgkit("batch", "run", "mine", cwd=folder).status == 0
