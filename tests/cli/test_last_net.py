"""What nobody expected: a bug in imgkit, standard streams that are closed or full, signals and what is said then."""

import json
import os
import signal
import subprocess
import sys

import pytest

from imgkit.cli import main as command
from imgkit.cli.main import BUG
from tests.cli.command import environment, imgkit, script, snapshot
from tests.support.guests import OS_RELEASE, Part, make_file_system

FILES = {"/etc/os-release": OS_RELEASE.encode(), "/etc/fstab": b"", "/etc/motd": b"hello\n"}


@pytest.fixture
def image(tmp_path):
    return make_file_system(tmp_path / "disk.raw", Part("ext4", FILES, size=2))


BROKEN = """
import sys
from imgkit.cli import main
from imgkit import editing
def opened(*_):
    raise KeyError("x\\x1b[31m")
editing.opened = opened
main.main()
"""


@pytest.mark.parametrize("as_json", [False, True])
def test_a_bug_is_called_one_and_changes_nothing(image, as_json):
    before = snapshot(image.parent)
    words = [sys.executable, "-c", BROKEN, "ls", image, *(["--json"] if as_json else [])]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == BUG == 70
    assert "Traceback" not in done.stderr
    if as_json:
        document = json.loads(done.stdout)
        assert (document["error"], document["status"]) == ("Bug", 70)
        assert document["details"]["frames"][0].endswith("opened")
    else:
        assert done.stderr.startswith("imgkit bug: KeyError: ")
        assert "\x1b" not in done.stderr
        assert "cli/files.py:" in done.stderr
        assert "Please report it" in done.stderr
        assert f"Python {sys.version.split()[0]}" in done.stderr
    assert snapshot(image.parent) == before


def test_an_error_of_the_operating_system_that_names_a_file_is_no_bug(image, monkeypatch, capsys):
    def refuse(**_):
        raise PermissionError(13, "Permission denied", "/some/file")

    monkeypatch.setattr(command, "app", refuse)
    monkeypatch.setattr(command, "_ENDING", ())
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 8
    assert "/some/file: Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["cat", "IMAGE", "/etc/motd"], ["ls", "IMAGE"], ["--help"], ["console", "-h"]])
@pytest.mark.parametrize("how", [">&-", ">/dev/full"])
def test_standard_output_that_takes_nothing(image, words, how):
    words = [image if word == "IMAGE" else word for word in words]
    done = imgkit(*words, through=["sh", "-c", f'exec "$@" {how}', "sh"])
    assert done.status == 8
    assert "standard output cannot be written" in done.stderr
    assert done.stderr.count("imgkit: error") == 1
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("words", [["cat", "IMAGE", "/etc/motd"], ["--help"], ["console", "-h"], ["exit-status"]])
def test_the_status_is_never_a_no_where_nothing_can_be_said(image, words):
    words = [image if word == "IMAGE" else word for word in words]
    full = imgkit(*words, through=["sh", "-c", 'exec "$@" >/dev/full 2>/dev/full', "sh"])
    assert full.status == 8
    left = imgkit(*words, through=["bash", "-c", 'set -o pipefail; "$@" | true', "bash"])
    assert (left.status, left.stderr) in ((141, ""), (0, ""))  # 0: all was written before the reader left


def test_all_standard_streams_may_be_closed(image):
    before = snapshot(image.parent)
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    assert imgkit("cat", image, "/etc/motd", through=closed).status == 8
    assert imgkit("write", image, "/etc/motd", "/etc/passwd", "-o", "-", through=closed).status == 8
    assert snapshot(image.parent) == before
    assert imgkit("write", image, "/etc/motd", "/etc/passwd", "--in-place", through=closed).status == 0


STOPPED = """
import os, sys, signal
from imgkit.cli import main
from imgkit.storage import durable
where, number = sys.argv.pop(1), int(sys.argv.pop(1))
real = durable.write_plan
def write_plan(fd, plan):
    for patch in plan.patches[:1]:
        durable.write_all(fd, patch.after, patch.offset)
    os.kill(os.getpid(), number)
    real(fd, plan)
def created(*arguments, **options):
    os.kill(os.getpid(), number)
    return make(*arguments, **options)
make = durable.created
if where == "commit":
    durable.write_plan = write_plan
else:
    durable.created = created
main.main()
"""


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("where", "says"), [("before", "no image is half edited"), ("commit", "disk.raw is edited")])
def test_a_signal_waits_for_a_commit_and_the_message_is_what_is_on_the_disk(image, number, where, says):
    before = snapshot(image.parent)
    words = [sys.executable, "-c", STOPPED, where, str(int(number)), "write", image, "/etc/motd", "/etc/passwd"]
    done = subprocess.run([*words, "--in-place"], capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 128 + number, done.stderr
    assert done.stderr.startswith("imgkit: interrupted; ")
    assert says in done.stderr
    if where == "before":
        assert snapshot(image.parent) == before
    else:
        assert imgkit("cat", image, "/etc/motd").stdout.startswith(b"root:")
        assert sorted(path.name for path in image.parent.iterdir()) == ["disk.raw"]
        assert "user.imgkit.edit" not in os.listxattr(image)


def test_a_stream_that_was_cut_is_said_to_be_incomplete(image):
    words = [script(), "write", image, "/etc/motd", "/etc/passwd", "-o", "-"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as streaming:
        assert streaming.stdout.read(512)  # and no more: the pipe is full
        streaming.send_signal(signal.SIGTERM)
        _, told = streaming.communicate(timeout=60)
    assert streaming.returncode == 143
    assert b"the image on standard output is incomplete" in told
