"""Jobs of Upstart (Ubuntu 6.10 to 14.10, RHEL 6): /etc/init/ttyS0.conf keeps a getty on the serial line.

RHEL 6 starts one by itself on the console that the kernel names (serial.conf), and needs no job.

The format: https://manpages.ubuntu.com/manpages/trusty/man5/init.5.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.configtext.text import Splice, lines, splice
from imgkit.errors import ConfigError
from imgkit.inits import getty

if TYPE_CHECKING:
    from imgkit.configtext.serial import SerialConsole
    from imgkit.inits.getty import GettyCommand

_EXEC = re.compile(r"[ \t]*exec[ \t]+")


@dataclass(frozen=True, slots=True)
class JobFacts:
    """A job: the line of its getty command (0 without one), the command, and whether the job starts by itself."""

    line: int
    getty: GettyCommand | None
    starts: bool

    def has_getty(self, console: SerialConsole) -> bool:
        """Whether the job asks for a login on the console, at its speed."""
        return self.starts and self.getty is not None and self.getty.serves(console)


def path(console: SerialConsole) -> str:
    """Path of the job for the console's port."""
    return f"/etc/init/{console.port}.conf"


def job(console: SerialConsole) -> str:
    """Text of a new job."""
    return (
        f"# {console.port} - getty\n"
        "#\n"
        f"# Keeps a getty on {console.port} from the time the system is up until it goes down.\n"
        "\n"
        "start on stopped rc RUNLEVEL=[2345]\n"
        "stop on runlevel [!2345]\n"
        "\n"
        "respawn\n"
        f"exec {getty.command(console)}\n"
    )


def facts(text: str) -> JobFacts:
    """What a job does."""
    starts, found, where = False, None, 0
    for line in lines(text):
        body = line.body.strip()
        if re.match(r"start[ \t]+on\b", body):
            starts = True
        elif body == "manual":
            starts = False
        elif found is None and _EXEC.match(line.body):
            found = getty.find(text, line.start, line.stop)
            where = line.number if found else 0
    return JobFacts(where, found, starts)


def enable(text: str, console: SerialConsole) -> str:
    """An existing job with a getty on the console at its speed; "" gives a new job.

    Raises `ConfigError` for a job that starts something else, or starts by hand only.
    """
    if not text.strip():
        return job(console)
    found = facts(text)
    if found.has_getty(console):
        return text
    if found.getty is None or not found.starts or found.getty.port != console.port:
        raise ConfigError(
            f"the job does not keep a getty on {console.port}",
            line=found.line,
            hint=f"Remove {path(console)}, so that a new job can replace it.",
        )
    return splice(text, [_correction(text, found.line, found.getty, console)])


def _correction(text: str, number: int, command: GettyCommand, console: SerialConsole) -> Splice:
    if command.speed_range is not None and command.program != "mgetty":
        return Splice(*command.speed_range, str(console.baud))
    line = next(line for line in lines(text) if line.number == number)
    match = _EXEC.match(line.body)
    assert match is not None
    return Splice(line.start + match.end(), line.stop, getty.command(console))
