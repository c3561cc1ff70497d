"""A process under attack: it has imgkit loaded, and forks a child for each command, which the injector may then kill.

`Victim` is the attacker's side; `python -m tests.hardening.victim`, with the injector preloaded, is the other one. They
talk in lines of JSON.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import pkgutil
import subprocess
import sys
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.support import oracle

if TYPE_CHECKING:
    from collections.abc import Sequence

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
_SOURCE = Path(__file__).with_name("injector.c")


class Action(IntEnum):
    """What happens at the chosen call; the numbers are the injector's."""

    NOTHING = 0
    KILL_BEFORE = 1
    KILL_AFTER = 2
    KILL_HALF = 3
    FAIL = 4
    SHORT = 5
    SIGNAL = 6


@dataclass(frozen=True)
class Attack:
    """At the `at`-th changing call under `prefix` (from 1), `action`, with an errno or a signal as `value`.

    `record` is a file that gets all changing calls.
    """

    prefix: str
    at: int = 0
    action: Action = Action.NOTHING
    value: int = 0
    record: str = ""


@dataclass(frozen=True)
class Ended:
    """How a command ended: status, or the negative signal; changing calls that it made; what it said."""

    status: int
    calls: int
    stderr: str


class Victim:
    """Runs commands of imgkit, each in a process of its own; for a `with` block."""

    def __init__(self, folder: Path) -> None:
        library = folder / "injector.so"
        oracle.run("gcc", "-O1", "-shared", "-fPIC", "-o", library, _SOURCE, "-ldl")
        self._stderr = folder / "stderr"
        environment = {**os.environ, "LD_PRELOAD": str(library), "SOURCE_DATE_EPOCH": "1700000000"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hardening.victim", library, self._stderr],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def run(self, words: Sequence[str | Path], attack: Attack) -> Ended:
        """Run one command under attack."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"words": [str(word) for word in words], **asdict(attack)}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return Ended(answer["status"], answer["calls"], self._stderr.read_text(errors="replace"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process as process:
            process.communicate()


def serve(library: str, stderr: str) -> None:
    """Answer requests until there are no more."""
    import imgkit  # noqa: PLC0415 - in this process only
    from imgkit.cli.main import main  # noqa: PLC0415

    for module in pkgutil.walk_packages(imgkit.__path__, "imgkit."):
        if not module.name.startswith(("imgkit.vm", "imgkit.remote", "imgkit.batch", "imgkit.__main__")):
            importlib.import_module(module.name)
    injector = ctypes.CDLL(library)
    injector.injector_share()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            _run(main, injector, request, stderr)
        _, waited = os.waitpid(child, 0)
        # What the child had started, such as a confined reader, holds the image's locks until it has ended too.
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        answer = {"status": os.waitstatus_to_exitcode(waited), "calls": injector.injector_count()}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _run(main, injector, request, stderr):
    """Be the child: never returns."""
    status = 70
    with ExitStack() as stack:
        log = stack.enter_context(Path(request["record"]).open("ab")).fileno() if request["record"] else -1
        os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(0, 1)
        sys.argv = ["imgkit", *request["words"]]
        injector.injector_arm(request["prefix"].encode(), request["at"], request["action"], request["value"], log)
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1 if end.code else 0
        finally:
            sys.stderr.flush()
            os._exit(status)


if __name__ == "__main__":
    serve(*sys.argv[1:])
