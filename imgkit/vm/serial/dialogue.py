"""A conversation with a running machine over its serial line, by a script: wait for text, type, in order.

Not here: a person at the line (`attach`); images that are booted for the purpose (`verification`).
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imgkit.errors import UsageError
from imgkit.vm.serial.lasting import LastingLine, Now
from imgkit.vm.serial.line import ExpectTimeout, LineClosed
from imgkit.vm.serial.outlet import opened_log
from imgkit.vm.serial.transcript import Transcript
from imgkit.vm.stages import Stage, reached

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_LOOK = 1.0  # seconds between looks at a machine that is on
_POLL = 0.1  # seconds between looks at a machine that is off
_ESCAPES = {"n": b"\n", "r": b"\r", "t": b"\t", "e": b"\x1b", "\\": b"\\"}


@dataclass(frozen=True, slots=True)
class Expect:
    """Wait for a regular expression. UsageError if it is none."""

    pattern: str

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern.encode())
        except re.error as error:
            raise UsageError(
                f"{self.pattern!r} is not a regular expression ({error})", hint="Escape . ( [ * and the like with \\."
            ) from error


@dataclass(frozen=True, slots=True)
class Send:
    """Type text."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What is to be said and heard, in order, and how: seconds for each text to come, seconds for a reboot.

    `force` takes the console from another user, `log` is appended to.
    """

    steps: Sequence[Expect | Send]
    timeout: float = 120
    reconnect: float = 10
    force: bool = False
    log: Path | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """What came of it. `passed` if all texts came; `found` are those that did, as they were.

    `reached` is how far a boot came by the words that were heard; `explanation` says what did not come.
    """

    passed: bool
    seconds: float
    found: tuple[bytes, ...]
    reached: Stage
    explanation: str
    transcript: bytes


def parse_text(words: str) -> bytes:
    r"""Text to type as its bytes; `\n`, `\r`, `\t`, `\e`, `\\` and `\xHH` mean what they mean elsewhere."""
    literals_and_escapes = re.split(r"\\(x[0-9a-fA-F]{2}|.|$)", words, flags=re.DOTALL)
    typed = bytearray()
    for i, part in enumerate(literals_and_escapes):
        if i % 2 == 0:
            typed += part.encode(errors="surrogateescape")
        elif part in _ESCAPES:
            typed += _ESCAPES[part]
        elif len(part) == 3:  # noqa: PLR2004  -- x and two digits
            typed += bytes.fromhex(part[1:])
        else:
            raise UsageError(f"{words!r} has an escape that is none: \\{part}", hint=r"Write \\ for a backslash.")
    return bytes(typed)


def converse(
    connection: Any,
    name: str,
    dialogue: Dialogue,
    *,
    on_output: Callable[[bytes], None] | None = None,
    on_open: Callable[[], None] | None = None,
) -> Conversation:
    """Say and hear what the dialogue has. Should the machine go off and be on again in time, the rest is done there.

    `on_open` is called when the line is open; a machine that was started paused is let go there.

    Raises MachineError where there is no such machine, or it is off or takes no input, InUseError where its console is
    another's, OutputError where the log cannot be written.
    """
    heard = Transcript()
    found: list[bytes] = []
    explanation = ""
    began = time.monotonic()
    with opened_log(dialogue.log) as log:

        def hear(data: bytes) -> None:
            log.put(data)
            heard.append(data)
            if on_output is not None:
                on_output(data)

        with LastingLine(connection, name, on_output=hear, force=dialogue.force) as line:
            if on_open is not None:
                on_open()
            try:
                for step in dialogue.steps:
                    if isinstance(step, Send):
                        _send(line, step.data, dialogue)
                    else:
                        found.append(_expect(line, step.pattern, dialogue))
            except LineClosed:
                explanation = f"the machine was powered off before {_wanted(step)} came"
            except ExpectTimeout:
                explanation = f"{_wanted(step)} did not come in {dialogue.timeout:g} seconds"
        log.check()
    transcript = bytes(heard)
    return Conversation(
        passed=not explanation,
        seconds=time.monotonic() - began,
        found=tuple(found),
        reached=reached(transcript),
        explanation=explanation,
        transcript=transcript,
    )


def _wanted(step: Expect | Send) -> str:
    return repr(step.pattern) if isinstance(step, Expect) else "the end of what was to be typed"


def _expect(line: LastingLine, pattern: str, dialogue: Dialogue) -> bytes:
    deadline = time.monotonic() + dialogue.timeout
    while True:
        left = deadline - time.monotonic()
        try:
            return line.line.expect(pattern, min(left, _LOOK))[0]
        except LineClosed:
            if not _is_on_again(line, min(deadline, time.monotonic() + dialogue.reconnect)):
                raise
        except ExpectTimeout:
            if left <= _LOOK:
                raise
            line.look()  # libvirt may have gone, and the line does not say so


def _send(line: LastingLine, data: bytes, dialogue: Dialogue) -> None:
    try:
        line.line.send(data)
    except LineClosed:
        if not _is_on_again(line, time.monotonic() + dialogue.reconnect):
            raise
        line.line.send(data)


def _is_on_again(line: LastingLine, deadline: float) -> bool:
    """Wait for a machine whose line ended; whether there is a new one."""
    while True:
        state = line.look()
        if state in (Now.ANEW, Now.OPEN):
            return True
        if state is Now.OFF and time.monotonic() >= deadline:
            return False
        time.sleep(_POLL)
