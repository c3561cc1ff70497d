"""Where an edit goes: in place, a new file, a pipe, nowhere; and back again with `undo` and `recover`."""

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from tests.cli.command import assert_refused, environment, imgkit, script, snapshot
from tests.support import oracle
from tests.support.disks import sha256

ENABLE = ("console", "enable")
CHANGED = ["/boot/grub/grub.cfg", "/etc/default/grub.d/zz-imgkit-serial.cfg"]


def sound(image):
    """The image is whole for QEMU, and so is its root file system for e2fsck."""
    assert oracle.run("qemu-img", "check", image).returncode == 0
    raw = image.with_name("checked.raw")
    oracle.run("qemu-img", "convert", "-O", "raw", image, raw)
    root = raw.with_name("checked.ext4")
    root.write_bytes(raw.read_bytes()[18432 * 512 : (18432 + 98304) * 512])
    checked = oracle.run("e2fsck", "-fn", root)
    raw.unlink()
    root.unlink()
    return checked.returncode == 0


@pytest.mark.parametrize("command", [(*ENABLE,), ("write", "/etc/motd"), ("edit", "/etc/motd")])
@pytest.mark.parametrize(
    ("places", "says", "hint"),
    [
        ([], "no output was given", "-o OUT to write a new image, --in-place to edit this one"),
        (["-o", "new.qcow2", "--in-place"], "-o and --in-place are mutually exclusive", "Give one of the two."),
    ],
)
def test_one_place_has_to_be_named(small, command, places, says, hint):
    words = [*command[:2], small] if command[0] == "console" else [command[0], small, command[1]]
    assert_refused(small.parent, *words, *places, status=2, says=says, hint=hint, env={"EDITOR": "false"})


def test_in_place_says_what_was_done_and_how_to_take_it_back(small, tmp_path):
    before, undo = sha256(small), tmp_path / "an undo file"
    done = imgkit(*ENABLE, small, "--in-place", "--undo", undo)
    assert (done.status, done.stdout) == (0, b"")
    assert done.stderr == (
        f"imgkit: {small}: serial console ttyS0 enabled; changed {CHANGED[0]}; created {CHANGED[1]}; "
        f"undo with: imgkit undo {small} '{undo}'\n"
    )
    assert sha256(small) != before
    assert sound(small)
    assert sorted(snapshot(tmp_path)) == [undo.name, small.name]

    # The words that it printed are the command that works.
    told = subprocess.run(
        done.stderr.rpartition("undo with: ")[2].replace("imgkit", str(script()), 1),
        shell=True,
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    assert "undone" in told.stderr
    assert sha256(small) == before


def test_a_new_file_leaves_the_input_alone_and_is_named(small, tmp_path):
    before, out = sha256(small), tmp_path / "new.qcow2"
    done = imgkit(*ENABLE, small, "-o", out)
    assert done.status == 0
    assert f"written to {out}" in done.stderr
    assert sha256(small) == before
    assert sound(out)
    assert imgkit("console", "status", out).status == 0


def test_a_new_file_can_be_undone_as_well(small, tmp_path):
    out, undo = tmp_path / "new.qcow2", tmp_path / "new.undo"
    done = imgkit(*ENABLE, small, "-o", out, "--undo", undo)
    assert f"undo with: imgkit undo {out} {undo}" in done.stderr
    assert imgkit("undo", out, undo).status == 0
    assert sha256(out) == sha256(small)


def test_all_ways_out_give_the_same_bytes(small, tmp_path):
    env = {"SOURCE_DATE_EPOCH": "1700000000"}
    out = tmp_path / "new.qcow2"
    assert imgkit(*ENABLE, small, "-o", out, env=env).status == 0
    streamed = imgkit(*ENABLE, small, "-o", "-", env=env)
    assert streamed.status == 0
    assert "serial console ttyS0 enabled" in streamed.stderr
    assert imgkit(*ENABLE, small, "--in-place", env=env).status == 0
    assert streamed.stdout == out.read_bytes() == small.read_bytes()
    assert small.stat().st_mtime == out.stat().st_mtime == 1700000000


def test_a_stream_into_a_file_and_into_one_that_is_appended_to(small, tmp_path):
    env = {"SOURCE_DATE_EPOCH": "1700000000"}
    expected = imgkit(*ENABLE, small, "-o", "-", env=env).stdout
    for mode, before in (("wb", b""), ("ab", b"before")):
        target = tmp_path / "target"
        target.write_bytes(before)
        with target.open(mode) as file:
            assert imgkit(*ENABLE, small, "-o", "-", env=env, stdout=file).status == 0
        assert target.read_bytes() == before + expected


def test_a_stream_is_not_sent_to_a_terminal(small):
    before = snapshot(small.parent)
    controller, terminal = pty.openpty()
    done = imgkit(*ENABLE, small, "-o", "-", stdout=terminal)
    os.close(terminal)
    os.close(controller)
    assert done.status == 8
    assert "refusing to write an image to a terminal" in done.stderr
    assert "-o - > OUT" in done.stderr
    assert snapshot(small.parent) == before


@pytest.mark.parametrize(
    ("extra", "says", "hint"),
    [
        (["--json"], "--json and -o - both write to standard output", "Write the image to a file"),
        (["--undo", "u"], "an undo file needs an image file", "Omit --undo"),
    ],
)
def test_what_does_not_go_with_a_stream(small, extra, says, hint):
    done = imgkit(*ENABLE, small, "-o", "-", *extra, cwd=small.parent)
    assert done.status == 2
    assert says in done.stderr + done.text
    assert hint in done.stderr + done.text
    assert sorted(snapshot(small.parent)) == [small.name]


def test_a_target_that_exists_is_kept_unless_forced(small, tmp_path):
    out = tmp_path / "new.qcow2"
    out.write_bytes(b"precious")
    assert_refused(tmp_path, *ENABLE, small, "-o", out, status=8, says=f"{out}: exists", hint="--force")
    assert imgkit(*ENABLE, small, "-o", out, "--force").status == 0
    assert sound(out)
    assert sorted(snapshot(tmp_path)) == sorted([out.name, small.name])


def test_an_undo_file_that_exists_is_kept(small, tmp_path):
    undo = tmp_path / "u"
    undo.write_bytes(b"precious")
    out = tmp_path / "new.qcow2"
    for place in (["--in-place"], ["-o", out]):
        words = [*ENABLE, small, *place, "--undo", undo]
        assert_refused(tmp_path, *words, status=8, says=f"{undo}: exists", hint="Name another file")


@pytest.mark.parametrize("place", [[], ["--in-place"], ["-o", "new.qcow2"]])
def test_a_dry_run_shows_plain_diffs_and_changes_nothing(small, place):
    before = snapshot(small.parent)
    done = imgkit(*ENABLE, small, *place, "--dry-run", "--undo", "u", cwd=small.parent)
    assert done.status == 0
    assert "dry run, nothing was written" in done.stderr
    assert re.findall(r"^\+\+\+ (.*)$", done.text, re.MULTILINE) == [f"b{path}" for path in CHANGED]
    assert re.findall(r"^--- (.*)$", done.text, re.MULTILINE) == [f"a{CHANGED[0]}", "/dev/null"]
    assert "+terminal_input serial console" in done.text
    assert "\x1b" not in done.text + done.stderr
    assert snapshot(small.parent) == before


def test_a_dry_runs_diffs_are_patches(small, tmp_path):
    old = imgkit("cat", small, CHANGED[0]).stdout
    tree = tmp_path / "tree"
    (tree / "boot/grub").mkdir(parents=True)
    (tree / "boot/grub/grub.cfg").write_bytes(old)
    diff = imgkit(*ENABLE, small, "--dry-run").text
    oracle.run("patch", "-p1", "-d", tree, text_in=diff)
    assert imgkit(*ENABLE, small, "--in-place").status == 0
    for path in CHANGED:
        assert (tree / path.lstrip("/")).read_bytes() == imgkit("cat", small, path).stdout


@pytest.mark.parametrize(
    ("settings", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_a_terminal_gets_colours_unless_it_does_not_want_them(small, settings, coloured):
    shown = on_a_terminal(script(), *ENABLE, small, "--dry-run", **{"TERM": "xterm", **settings})
    assert ("\x1b[32m+terminal_input serial console\x1b[0m" in shown) is coloured
    assert ("\x1b[31m-terminal_output gfxterm\x1b[0m" in shown) is coloured
    assert ("\x1b" in shown) is coloured
    assert ("\x1b" in on_a_terminal(script(), "inspect", "nothing", **{"TERM": "xterm", **settings})) is coloured


def on_a_terminal(*words, **settings):
    """What a command writes to a terminal that is its standard output and error."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(words, stdout=terminal, stderr=terminal, env=environment(**settings))
    os.close(terminal)
    shown = b""
    try:
        while data := os.read(controller, 65536):
            shown += data
    except OSError:  # Linux's way to say that the other side is closed
        pass
    process.wait(60)
    os.close(controller)
    return shown.decode().replace("\r\n", "\n")


def test_undo_refuses_what_is_not_as_the_commit_left_it(small, tmp_path):
    before, undo = sha256(small), tmp_path / "u"
    assert imgkit(*ENABLE, small, "--in-place", "--undo", undo).status == 0
    os.truncate(small, small.stat().st_size + 512)
    assert_refused(tmp_path, "undo", small, undo, "--force", status=7, says="size is", hint="only works before that")
    os.truncate(small, small.stat().st_size - 512)
    small = small.rename(small.with_name("renamed.qcow2"))
    assert_refused(tmp_path, "undo", small, undo, status=7, says="not of 'renamed.qcow2'", hint="use --force")
    assert imgkit("undo", small, undo, "--force").status == 0
    assert sha256(small) == before
    again = imgkit("undo", small, undo, "--force")
    assert again.status == 0
    assert "nothing to undo" in again.stderr
    assert sha256(small) == before


@pytest.mark.parametrize(
    ("contents", "status", "says"),
    [(b"", 4, "undo"), (b"no undo file at all" * 100, 4, "undo"), (None, 2, "no such file")],
)
def test_undo_with_something_else(small, tmp_path, contents, status, says):
    undo = tmp_path / "undo"
    if contents is not None:
        undo.write_bytes(contents)
    done = imgkit("undo", small, undo)
    assert done.status == status, done.stderr
    assert says in done.stderr
    assert str(undo) in done.stderr
    assert "Traceback" not in done.stderr


def test_recover_has_nothing_to_do(small):
    before = snapshot(small.parent)
    done = imgkit("recover", small)
    assert (done.status, done.stdout) == (0, b"")
    assert "no edit was interrupted" in done.stderr
    assert snapshot(small.parent) == before


def test_recover_finishes_a_commit_that_was_killed(small, tmp_path):
    wanted = tmp_path / "wanted.qcow2"
    env = {"SOURCE_DATE_EPOCH": "1700000000"}
    assert imgkit(*ENABLE, small, "-o", wanted, env=env).status == 0
    at_the_end = [oracle.find("strace"), "-qq", "-o", "/dev/null", "-e", "inject=utimensat:signal=KILL:when=1"]
    assert imgkit(*ENABLE, small, "--in-place", env=env, through=at_the_end).status != 0
    journal = small.with_name(f".{small.name}.imgkit-journal")
    assert journal.exists(), "the kill came while the journal was there"
    done = imgkit("recover", small)
    assert done.status == 0, done.stderr
    assert "the interrupted edit was finished" in done.stderr
    assert not journal.exists()
    assert sha256(small) == sha256(wanted)


def test_twice_is_once(small):
    assert imgkit(*ENABLE, small, "--in-place").status == 0
    before = snapshot(small.parent)
    done = imgkit(*ENABLE, small, "--in-place", "--undo", small.with_name("u"))
    assert done.status == 0
    assert done.stderr == f"imgkit: {small}: serial console ttyS0 enabled already; nothing to change\n"
    assert snapshot(small.parent) == before


def test_a_reader_that_has_enough_ends_the_command_in_silence(small):
    for words in (["ls", small], ["cat", small, "/boot/grub/grub.cfg"], ["inspect", small, "--json"]):
        reader, writer = os.pipe()
        os.close(reader)
        done = imgkit(*words, stdout=writer)
        os.close(writer)
        assert (done.status, done.stderr) == (141, "")


def test_standard_output_that_is_full_is_an_error(small):
    for words in (["ls", small], ["cat", small, "/boot/grub/grub.cfg"], ["exit-status"]):
        with Path("/dev/full").open("wb") as full:
            done = imgkit(*words, stdout=full)
        assert done.status == 8, done.stderr
        assert done.stderr == "imgkit: error: standard output cannot be written (No space left on device)\n"
    with Path("/dev/full").open("wb") as full:
        done = imgkit(*ENABLE, small, "-o", "-", stdout=full)
    assert done.status == 8
    assert "standard output cannot be written (No space left on device); the image there is incomplete\n" in done.stderr
    assert "  Name a file instead" in done.stderr


def test_source_date_epoch_has_to_be_a_number(small):
    words = [*ENABLE, small, "--in-place"]
    env = {"SOURCE_DATE_EPOCH": "yesterday"}
    assert_refused(small.parent, *words, status=2, says="SOURCE_DATE_EPOCH is 'yesterday'", hint="date +%s", env=env)
    for number in ("-1", "4294967296", "9" * 5000, "\udcff"):
        done = imgkit(*words, env={"SOURCE_DATE_EPOCH": number})
        assert done.status == 2
        assert "not a number of seconds" in done.stderr
