"""What a confined process reaches: tried by a process that tries everything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from imgkit.confinement import confined_child, reader, walls
from imgkit.errors import EngineError

pytestmark = pytest.mark.skipif(not walls().complete, reason="this kernel has no Landlock or no seccomp filters")


def run(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Python code that knows `tried`, which says whether an action was possible."""
    head = """
        import os, socket, sys, threading
        from pathlib import Path
        from imgkit.confinement import confine_self
        def tried(action):
            try: action()
            except OSError: return False
            return True
    """
    script = textwrap.dedent(head) + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )


def test_files_that_were_not_given_are_out_of_reach(tmp_path):
    (tmp_path / "mine").mkdir()
    for name in ("mine/file", "neighbour"):
        (tmp_path / name).write_text("secret")
    ran = run(
        """
        folder = Path(sys.argv[1]); mine, other = folder / "mine", folder / "neighbour"
        open_before = other.open()
        confine_self(read=[mine])
        assert (mine / "file").read_text() == "secret"
        assert open_before.read() == "secret"
        for name, action in {
            "read": other.read_text, "list": lambda: list(folder.iterdir()), "write": lambda: other.write_text(""),
            "truncate": lambda: os.truncate(other, 0), "remove": other.unlink, "make": (folder / "new").touch,
            "rename": lambda: other.rename(mine / "x"), "link": lambda: (mine / "x").hardlink_to(other),
            "chmod": lambda: other.chmod(0o777), "utime": lambda: os.utime(other),
            "chown": lambda: os.chown(other, 0, 0), "write mine": lambda: (mine / "file").write_text(""),
            "attribute": lambda: os.setxattr(other, "user.x", b"y"),
        }.items():
            assert not tried(action), name
        """,
        tmp_path,
    )
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "neighbour").read_text() == "secret"


def test_what_was_given_to_write_can_be_written(tmp_path):
    ran = run(
        """
        folder = Path(sys.argv[1])
        confine_self(write=[folder])
        (folder / "a").mkdir(); (folder / "a/b").write_text("x"); (folder / "a/b").chmod(0o600)
        (folder / "a/b").rename(folder / "c"); (folder / "a").rmdir(); (folder / "l").symlink_to("c")
        """,
        tmp_path,
    )
    assert ran.returncode == 0, ran.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "l"]


def test_no_socket_no_process_no_signal_but_threads_and_modules():
    ran = run(
        """
        confine_self()
        assert not tried(socket.socket) and not tried(os.fork) and not tried(lambda: os.kill(os.getppid(), 0))
        assert not tried(lambda: socket.socketpair())
        seen = []
        thread = threading.Thread(target=lambda: seen.append(1)); thread.start(); thread.join()
        assert seen
        import difflib, sqlite3, ctypes
        ctypes.CDLL("libext2fs.so.2")
        """
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    "attempt",
    [
        "os.execv('/bin/sh', ['sh', '-c', 'echo reached'])",
        "ctypes.CDLL(None).ptrace(16, os.getppid(), None, None)",
        "ctypes.CDLL(None).mount(b'none', b'/mnt', b'tmpfs', 0, None)",
        "ctypes.CDLL(None).process_vm_readv(os.getppid(), None, 0, None, 0, 0)",
        "ctypes.CDLL(None).unshare(0x10000000)",
    ],
)
def test_what_only_hostile_code_does_ends_the_process(attempt):
    ran = run(f"import ctypes; confine_self(); {attempt}; print('reached')")
    assert ran.returncode == -signal.SIGSYS
    assert ran.stdout == ""


def test_keystrokes_cannot_be_put_into_the_terminal():
    ran = run(
        """
        import fcntl, pty
        primary, terminal = pty.openpty()
        confine_self()
        try: fcntl.ioctl(terminal, 0x5412, b"x")
        except PermissionError: sys.exit(7)
        """
    )
    assert ran.returncode == 7, ran.stderr


def test_a_program_reaches_what_it_was_given_and_may_fork(tmp_path):
    (tmp_path / "given").mkdir()
    (tmp_path / "given/in").write_text("here")
    (tmp_path / "other").write_text("secret")
    script = "cat given/in; (cat given/in > given/out); cat other; echo x > other; echo $?"
    with confined_child(write=[tmp_path / "given"], execute=[Path("/usr")]) as preexec:
        ran = subprocess.run(
            ["/bin/sh", "-c", script], cwd=tmp_path, preexec_fn=preexec, capture_output=True, text=True, check=False
        )
    assert ran.stdout.startswith("here"), ran.stderr
    assert "secret" not in ran.stdout
    assert (tmp_path / "given/out").read_text() == "here"
    assert (tmp_path / "other").read_text() == "secret"


def supervise(child: str, services: str = "{}") -> subprocess.CompletedProcess[str]:
    """A process that forks a reader; the child runs one piece of code, the parent prints how it ended."""
    return run(
        f"""
        from imgkit.confinement.reader import Child, fork_reader
        from imgkit.errors import ImgkitError, ReaderEnded
        log = []
        side = fork_reader(keep=[])
        if isinstance(side, Child):
            try: side.serve({services})
            except ReaderEnded as ended: print("ended", ended.status, *log)
            except ImgkitError as error: print("error", error, "|", error.hint)
            sys.exit()
        {child}
        """
    )


def test_a_reader_asks_its_parent_by_name():
    ran = supervise(
        "assert side.ask('double', b'ab') == b'abab'; sys.exit(5)",
        "{'double': lambda data: log.append('served') or data * 2}",
    )
    assert ran.stdout == "ended 5 served\n", ran.stderr


def test_whoever_ends_a_reader_is_named():
    ran = supervise("os.execv('/bin/true', ['true'])")
    assert ran.stdout.startswith("error the confined process that reads the image was ended by SIGSYS: it tried")
    assert "Nothing was written" in ran.stdout


def test_a_reader_that_asks_for_what_there_is_not_is_ended():
    assert "asked for 'shell'" in supervise("side.ask('shell', b'id')").stdout


def test_an_error_of_a_service_is_the_parents():
    ran = supervise("side.ask('fail'); print('not reached')", "{'fail': lambda data: Path('/none/none').read_bytes()}")
    assert "FileNotFoundError" in ran.stderr
    assert "not reached" not in ran.stdout


def test_a_result_comes_back_from_a_reader():
    def fork() -> bytes:
        side = reader.fork_reader(keep=[])
        if isinstance(side, reader.Child):
            side.serve({})
        return b"from the child"

    assert reader.supervised(fork) == b"from the child"


def test_a_reader_without_a_result_is_an_error():
    def fork() -> bytes:
        side = reader.fork_reader(keep=[])
        if isinstance(side, reader.Child):
            side.serve({})
        os._exit(3)

    with pytest.raises(EngineError, match="status 3 and no result"):
        reader.supervised(fork)
