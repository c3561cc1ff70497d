"""Ctrl-C and SIGTERM in the middle of a long copy: the same end each time, and nothing left behind."""

import signal
import subprocess
import sys
import time

import pexpect
import pytest

from tests.cli.command import environment, imgkit, script, snapshot
from tests.support import oracle
from tests.support.images import private_copy

# Every piece of a copy takes half a second; -D keeps imgkit the process that is signalled.
SLOWLY = ["-D", "-qq", "-o", "/dev/null", "-e", "trace=copy_file_range,sendfile"]
SLOWLY += ["-e", "inject=copy_file_range:delay_enter=2000000", "-e", "inject=sendfile:delay_enter=2000000"]


@pytest.fixture
def raw(tmp_path):
    """The small disk as a raw image of 64 MiB, enough for a progress bar."""
    return private_copy("small", tmp_path)


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_copy_that_is_interrupted_leaves_nothing(raw, number, status):
    before = snapshot(raw.parent)
    out, undo = raw.with_name("new.raw"), raw.with_name("u")
    words = [oracle.find("strace"), *SLOWLY, script(), "console", "enable", raw, "-o", out, "--undo", undo]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment()) as copying:
        wait_for(lambda: any(".imgkit-new-" in path.name for path in raw.parent.iterdir()))
        copying.send_signal(number)
        _, told = copying.communicate(timeout=60)
    assert copying.returncode == status
    assert told == "imgkit: interrupted; no image is half edited\n"
    assert snapshot(raw.parent) == before


INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Finder:
    def find_spec(self, name, *_):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from imgkit.__main__ import run
run()
"""


def test_ctrl_c_while_the_program_is_loaded_says_nothing():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_a_signal_that_is_ignored_stays_ignored(raw):
    out = raw.with_name("new.raw")
    words = ["sh", "-c", 'trap "" HUP INT; exec "$@"', "sh", oracle.find("strace"), *SLOWLY]
    words += [script(), "console", "enable", raw, "-o", out]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment()) as copying:
        wait_for(lambda: any(".imgkit-new-" in path.name for path in raw.parent.iterdir()))
        copying.send_signal(signal.SIGHUP)
        copying.send_signal(signal.SIGINT)
        copying.communicate(timeout=60)
    assert copying.returncode == 0
    assert out.exists()


def test_a_stream_that_is_interrupted_ends(raw):
    words = [script(), "console", "enable", raw, "-o", "-"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as streaming:
        assert streaming.stdout.read(512)  # and no more: the pipe is full
        streaming.send_signal(signal.SIGTERM)
        streaming.communicate(timeout=60)
    assert streaming.returncode == 143


def test_a_temporary_file_that_a_kill_left_behind_goes_with_the_next_run(raw):
    out = raw.with_name("new.raw")
    words = [oracle.find("strace"), *SLOWLY, script(), "console", "enable", raw, "-o", out]
    with subprocess.Popen(words, env=environment()) as copying:
        wait_for(lambda: any(".imgkit-new-" in path.name for path in raw.parent.iterdir()))
        copying.kill()
    assert imgkit("console", "enable", raw, "-o", out).status == 0
    assert sorted(snapshot(raw.parent)) == sorted([raw.name, out.name])


def test_ctrl_c_takes_the_progress_bar_away(raw):
    before = snapshot(raw.parent)
    words = [*SLOWLY, str(script()), "console", "enable", str(raw), "-o", str(raw.with_name("new.raw"))]
    env = environment(TERM="xterm")
    child = pexpect.spawn(oracle.find("strace"), words, env=env, encoding="utf-8", dimensions=(24, 200), timeout=60)
    child.expect(r"writing .*new\.raw .*MB")
    child.sendintr()
    child.expect("imgkit: interrupted; no image is half edited")
    bar = child.before
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    assert "\x1b[?25h" in bar, "the cursor is back"
    assert snapshot(raw.parent) == before


def test_the_progress_bar_ends_with_the_copy(raw):
    words = [*SLOWLY, str(script()), "console", "enable", str(raw), "-o", str(raw.with_name("new.raw"))]
    env = environment(TERM="xterm")
    child = pexpect.spawn(oracle.find("strace"), words, env=env, encoding="utf-8", dimensions=(24, 200), timeout=60)
    child.expect(r"writing .*new\.raw .*MB")
    child.expect("imgkit: .*serial console ttyS0 enabled")
    assert "\x1b[?25h" in child.before
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
