"""`ls`, `cat`, `write`, `edit`: what goes in and out of an image, byte for byte."""

import os
import stat
from pathlib import Path

import pexpect
import pytest

from tests.cli.command import assert_refused, environment, imgkit, script, snapshot
from tests.support import oracle
from tests.support.guests import OS_RELEASE, Part, make_file_system

BINARY = bytes(range(256)) * 9000 + b"\r\n\0no line end"
HOSTILE = "\x1b]0;owned\x07\n"


@pytest.fixture
def image(tmp_path):
    """A raw image that is one file system."""
    files = {
        "/etc/os-release": OS_RELEASE.encode(),
        "/etc/motd": b"hello\n",
        "/etc/link": "motd",
        "/etc/dangling": "nowhere",
        "/etc/latin": b"caf\xe9\n",
        "/srv/blob": BINARY,
        "/srv/empty": b"",
        "/srv/colours": b"\x1b[31mred\x1b[0m\n",
        f"/srv/odd{HOSTILE.strip()}": b"x",
    }
    return make_file_system(tmp_path / "disk.img", Part("ext4", files))


@pytest.fixture
def editor(tmp_path_factory):
    """A function that makes an editor of a shell script, whose first argument is the file."""

    def make(body):
        program = tmp_path_factory.mktemp("editor") / "my editor"
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
        return f"'{program}'"

    return make


def dumped(image, path):
    """A file's contents as debugfs reads them."""
    target = image.with_name("dumped")
    oracle.run("debugfs", "-R", f"dump {path} {target}", image)
    data = target.read_bytes()
    target.unlink()
    return data


def test_ls_names_one_entry_a_line(image):
    done = imgkit("ls", image, "/etc")
    assert (done.status, done.stderr) == (0, "")
    assert done.text.splitlines() == ["dangling", "latin", "link", "motd", "os-release"]
    assert imgkit("ls", image).text.splitlines() == ["etc", "lost+found", "srv"]
    assert imgkit("ls", image, "/etc/motd").text == "/etc/motd\n"


def test_ls_long_shows_what_debugfs_shows(image):
    oracle.run("debugfs", "-w", "-R", "sif /etc/motd mode 0104755", image)
    oracle.run("debugfs", "-w", "-R", "sif /etc/motd uid 1000", image)
    oracle.run("debugfs", "-w", "-R", "sif /etc/motd mtime @1700000000", image)
    lines = {line.split()[6]: line for line in imgkit("ls", "-l", image, "/etc").text.splitlines()}
    assert lines["motd"].split() == ["-rwsr-xr-x", "1000", str(os.getgid()), "6", "2023-11-14", "22:13", "motd"]
    assert lines["link"].endswith("link -> motd")
    assert lines["link"].startswith("lrwxrwxrwx")
    assert lines["dangling"].endswith("dangling -> nowhere")
    assert imgkit("ls", "-l", image, "/").text.startswith("drwx")


def test_names_from_an_image_cannot_command_the_terminal(image):
    shown = imgkit("ls", image, "/srv").text
    assert "\x1b" not in shown
    assert "odd\\x1b]0;owned\\x07" in shown.splitlines()


@pytest.mark.parametrize("path", ["/srv/blob", "/srv/empty", "/etc/latin", "/srv/colours"])
def test_cat_gives_every_byte(image, path):
    done = imgkit("cat", image, path)
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout == dumped(image, path)


def test_cat_follows_links(image):
    assert imgkit("cat", image, "/etc/link").stdout == b"hello\n"


@pytest.mark.parametrize(
    ("words", "says", "hint"),
    [
        (["cat", "/etc/nothing"], "/etc/nothing: no such file or directory", "`imgkit ls IMAGE /etc`"),
        (["cat", "/nowhere/at/all"], "/nowhere/at/all: no such file or directory", "`imgkit ls IMAGE /`"),
        (["cat", "/etc/dangling"], "/etc/dangling: no such file or directory", "`imgkit ls IMAGE /etc`"),
        (["cat", "etc/motd"], "etc/motd: path is not absolute", "/etc/motd"),
        (["cat", "/etc"], "/etc: not a regular file", ""),
        (["ls", "/etc/motd/x"], "/etc/motd/x", ""),
        (["ls", "/nowhere"], "/nowhere: no such file or directory", "`imgkit ls IMAGE /`"),
    ],
)
def test_paths_that_lead_nowhere_are_named(image, words, says, hint):
    command, path = words
    assert_refused(image.parent, command, image, path, status=11, says=says, hint=hint)


def test_an_error_names_the_path_in_the_tree_not_below_the_mount_point(small):
    assert_refused(small.parent, "cat", small, "/boot/grub", status=11, says="/boot/grub: not a regular file")


def test_cat_refuses_to_show_binary_on_a_terminal(image):
    child = pexpect.spawn(str(script()), ["cat", str(image), "/srv/blob"], env=environment(), encoding="utf-8")
    child.expect("is binary, and standard output is a terminal")
    child.expect("Redirect it")
    child.wait()
    assert child.exitstatus == 2


def test_write_from_standard_input_and_from_a_file_are_the_same(image, tmp_path):
    source = tmp_path / "contents"
    source.write_bytes(BINARY[::-1])
    for words, stdin in ((["/srv/new"], BINARY[::-1]), (["/srv/new", source], b""), (["/srv/new", "-"], BINARY[::-1])):
        out = tmp_path / "out.img"
        done = imgkit("write", image, *words, "-o", out, "--force", stdin=stdin)
        assert done.status == 0, done.stderr
        assert "created /srv/new" in done.stderr
        assert done.stdout == b""
        assert dumped(out, "/srv/new") == BINARY[::-1]
        assert oracle.run("e2fsck", "-fn", out)


def test_write_keeps_mode_and_owner_of_a_file_that_exists(image):
    for field, value in (("mode", "0100640"), ("uid", "12"), ("gid", "34")):
        oracle.run("debugfs", "-w", "-R", f"sif /etc/motd {field} {value}", image)
    done = imgkit(
        "write", image, "/etc/motd", "--in-place", stdin=b"changed\n", env={"SOURCE_DATE_EPOCH": "1000000000"}
    )
    assert done.status == 0
    assert "changed /etc/motd" in done.stderr
    fields = oracle.run("debugfs", "-R", "stat /etc/motd", image).stdout
    assert "Mode:  0640" in fields
    assert "User:    12   Group:    34" in fields
    assert "-- Sun Sep  9 01:46:40 2001" in oracle.run("env", "TZ=UTC", "debugfs", "-R", "stat /etc/motd", image).stdout
    assert dumped(image, "/etc/motd") == b"changed\n"


def test_write_makes_missing_directories(image):
    done = imgkit("write", image, "/opt/a/b/c", "--in-place", stdin=b"deep")
    assert done.status == 0, done.stderr
    assert dumped(image, "/opt/a/b/c") == b"deep"
    assert oracle.run("e2fsck", "-fn", image).returncode == 0


@pytest.mark.parametrize(
    ("path", "says", "hint"),
    [
        ("/etc", "/etc: not a regular file", ""),
        ("/etc/motd/below", "/etc/motd is not a directory", ""),
        ("relative", "relative: path is not absolute", "/relative"),
    ],
)
def test_write_to_what_is_no_file_is_refused(image, path, says, hint):
    assert_refused(image.parent, "write", image, path, "--in-place", status=11, says=says, hint=hint)


def test_write_of_a_host_file_that_is_not_there(image, tmp_path):
    missing = tmp_path / "nothing"
    assert_refused(
        image.parent,
        "write",
        image,
        "/etc/motd",
        missing,
        "--in-place",
        status=2,
        says=f"{missing}: no such file",
        hint="lists what exists",
    )


def test_writing_what_is_there_already_changes_nothing(image):
    before = snapshot(image.parent)
    done = imgkit("write", image, "/etc/motd", "--in-place", stdin=b"hello\n")
    assert done.status == 0
    assert "nothing to change" in done.stderr
    assert snapshot(image.parent) == before


def test_edit_runs_the_editor_on_a_copy_that_bears_the_files_name(image, editor):
    program = editor('case "$1" in */motd) printf "edited\\n" >> "$1";; *) exit 3;; esac')
    done = imgkit("edit", image, "/etc/motd", "--in-place", env={"EDITOR": program})
    assert done.status == 0, done.stderr
    assert dumped(image, "/etc/motd") == b"hello\nedited\n"


def test_visual_comes_before_editor_and_may_have_arguments(image):
    env = {"VISUAL": "sed -i s/hello/bye/", "EDITOR": "false"}
    assert imgkit("edit", image, "/etc/motd", "--in-place", env=env).status == 0
    assert dumped(image, "/etc/motd") == b"bye\n"


def test_edit_makes_a_file_that_does_not_exist(image, editor):
    done = imgkit("edit", image, "/etc/new", "--in-place", env={"EDITOR": editor('echo fresh > "$1"')})
    assert done.status == 0
    assert "created /etc/new" in done.stderr
    assert dumped(image, "/etc/new") == b"fresh\n"


def test_an_edit_that_changes_nothing_writes_nothing(image):
    before = snapshot(image.parent)
    done = imgkit("edit", image, "/etc/motd", "--in-place", env={"EDITOR": "true"})
    assert done.status == 0
    assert "nothing to change" in done.stderr
    assert snapshot(image.parent) == before


@pytest.mark.parametrize(
    ("editor_word", "says", "hint"),
    [
        ("false", "the editor 'false' exited with status 1; nothing was changed", ""),
        ("no-such-editor", "cannot be started (no such command)", "EDITOR=nano"),
        ("  ", "cannot be started (no such command)", "EDITOR=nano"),
        ("vi 'unbalanced", "cannot be parsed", "EDITOR=nano"),
    ],
)
def test_an_editor_that_fails_leaves_the_image_alone(image, editor_word, says, hint):
    env = {"EDITOR": editor_word}
    assert_refused(image.parent, "edit", image, "/etc/motd", "--in-place", status=2, says=says, hint=hint, env=env)


def test_the_editor_has_the_terminal_and_its_copy_is_private_and_goes(image, tmp_path, editor):
    seen = tmp_path / "seen"
    program = editor(f'test -t 0 && test -t 1 && echo "$1" > {seen} && stat -c %a "$(dirname "$1")" >> {seen}')
    child = pexpect.spawn(
        str(script()), ["edit", str(image), "/etc/motd", "--in-place"], env=environment(EDITOR=program)
    )
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 0
    copy, mode = seen.read_text().splitlines()
    assert not Path(copy).exists()
    assert mode == "700"
    assert b"\x1b[?25l" not in child.before, "the cursor stays while an editor runs"


def test_modes_of_new_files_are_those_of_the_input(image, tmp_path):
    image.chmod(0o640)
    out = tmp_path / "out.img"
    assert imgkit("write", image, "/etc/motd", "-o", out, stdin=b"x").status == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o640
