"""Command lines of the programs that ask for a login on a line: getty, agetty, busybox's getty, mgetty, mingetty.

Their options differ, but each names the port, most name a speed, and the port is where a command is recognised by.
OpenEmbedded runs getty through start_getty, and that through ttyrun. Others hand the line to login or a shell, whose
port is what the command is redirected to or what the init system opens for it.

agetty: https://man7.org/linux/man-pages/man8/agetty.8.html
start_getty, ttyrun: meta/recipes-core/sysvinit and busybox in https://git.openembedded.org/openembedded-core
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.configtext.text import Splice, lines, splice

if TYPE_CHECKING:
    from imgkit.configtext.serial import SerialConsole

_PROGRAM = re.compile(r"(?:\S*/)?(getty|(?:a|nya|m|min|f|n|uu|v|run)getty|start_getty)")
# "-" is standard input, which the init system has opened.
_PORT = re.compile(r"(?:/dev/)?((?:tty|hvc|hvsi|xvc|vc/)[A-Za-z]*\d+|ttysclp0|console)|(-)")
_RATES = re.compile(r"\d{3,7}(?:,\d{3,7})*|0")
_SHELL = re.compile(r"-?(?:\S*/)?(?:login|su|sulogin|sh|ash|bash|dash|ksh|mksh|zsh|login\.sh|autologin|cttyhack)")
_DEVICE = re.compile(r"(?:[012]?[<>]{1,2}&?)?/dev/((?:tty|hvc|hvsi|xvc)[A-Za-z]*\d+|console)")
_KEEPS_SPEED = ("getty", "agetty", "start_getty", "nyagetty")
_TERMINAL = re.compile(r"[A-Za-z][A-Za-z0-9+._-]*")
_WORD = re.compile(r"[^ \t\r\n]+")
_AUTOLOGIN = re.compile(r"(?<!\S)(?:--autologin[ =]|-a ?)([^\s\"']+)")
_LOGIN_OPTIONS = re.compile(r"(?<!\S)(?:-o|--login-options)[ =]?(?:'[^']*'|\"[^\"]*\"|\S+) ?")
_SPEED_OPTION = "-s"  # mgetty's


@dataclass(frozen=True, slots=True)
class GettyCommand:
    """A getty's command line: the program's name and path, the port, the speed as written ("" without one).

    The port "-" is standard input, "console" the kernel's console.
    `speed_range` is the range of the speed in the text, and `terminal_range` that of the terminal type, or None.
    `keeps_speed`: the line stays at the kernel's speed, and those that are written follow only on a break.
    """

    program: str
    path: str
    port: str
    speed: str
    speed_range: tuple[int, int] | None
    terminal: str
    terminal_range: tuple[int, int] | None
    keeps_speed: bool = False

    def serves(self, console: SerialConsole) -> bool:
        """Whether it answers on the console's port, at its speed where it sets one."""
        return self.port == console.port and self.has_speed_of(console)

    def has_speed_of(self, console: SerialConsole) -> bool:
        """Whether it leaves the line at the console's speed."""
        if not console.has_speed or self.speed == "0" or self.keeps_speed:
            return True
        if not self.speed:
            # agetty keeps the kernel's speed; mgetty sets one of its own that was compiled in.
            return self.program in _KEEPS_SPEED
        return str(console.baud) in self.speed.split(",")


def find(text: str, start: int = 0, stop: int | None = None) -> GettyCommand | None:
    """The getty command in `text[start:stop]`; None where there is none, or none that names a port."""
    words = list(_WORD.finditer(text, start, len(text) if stop is None else stop))
    programs = [i for i, word in enumerate(words) if _PROGRAM.fullmatch(word[0])]
    if not programs:
        return None
    program, operands = words[programs[0]], words[programs[0] + 1 :]
    ports = [i for i, word in enumerate(operands) if _PORT.fullmatch(word[0])]
    if not ports:
        return None
    at = next((i for i in ports if operands[i][0] != "-"), ports[-1])
    speeds = [i for i in (at + 1, at - 1) if 0 <= i < len(operands) and _RATES.fullmatch(operands[i][0])]
    speeds += [i + 1 for i, word in enumerate(operands[:-1]) if word[0] == _SPEED_OPTION]
    speed = operands[speeds[0]] if speeds else None
    behind = max([at, *speeds[:1]]) + 1
    named = operands[behind] if behind < len(operands) and _TERMINAL.fullmatch(operands[behind][0]) else None
    name, port = _PROGRAM.fullmatch(program[0]), _PORT.fullmatch(operands[at][0])
    assert name is not None
    assert port is not None
    return GettyCommand(
        program=name[1],
        path=program[0],
        port=port[1] or port[2],
        speed=speed[0] if speed else "",
        speed_range=speed.span() if speed else None,
        terminal=named[0] if named else "",
        terminal_range=named.span() if named else None,
        keeps_speed=any(word[0] == "--keep-baud" for word in operands),
    )


def has_program(text: str) -> bool:
    """Whether a getty is among the words of a command, whatever port it names."""
    return any(_PROGRAM.fullmatch(word) for word in text.split())


def shell_terminal(text: str) -> str | None:
    """The terminal on which a command starts login or a shell, "" where it names none; None for other commands."""
    words = text.split()
    if not any(_SHELL.fullmatch(word) for word in words):
        return None
    return device(text) or ""


def device(text: str) -> str:
    """The first terminal among the words of a command: ttyS0 for `/dev/ttyS0`, `</dev/ttyS0` and the like; or ""."""
    matches = (_DEVICE.fullmatch(word) for word in text.split())
    return next((match[1] for match in matches if match), "")


def command(console: SerialConsole, path: str = "/sbin/getty", *, port_first: bool = True) -> str:
    """A command for the console; -L says that the line has no modem. agetty and busybox take either order."""
    operands = (console.port, str(console.baud)) if port_first else (str(console.baud), console.port)
    return " ".join((path, "-L", *operands, console.terminal))


def autologin_user(command: str) -> str:
    """The user that a getty's command line logs in without asking; "" where it asks."""
    match = _AUTOLOGIN.search(command)
    return match[1] if match and (has_program(command[: match.start()]) or not has_program(command)) else ""


def with_autologin(line: str, user: str, folder: str | None) -> str | None:
    """A line with a getty's command, in which it logs `user` in; None where there is no agetty to do it.

    `folder` is where the guest has agetty, None where it has none. The option -o, with which login asks all the same,
    goes.
    """
    program = next((match for match in _WORD.finditer(line) if _PROGRAM.fullmatch(match[0])), None)
    if program is None or folder is None:
        return None
    # In front of the path stand the other fields of an inittab's line, or what systemd gives a meaning to.
    head, path = line[: program.start()], program[0]
    fields, _, path = path.rpartition(":")
    prefix = f"{fields}:" if fields else path[: len(path) - len(path.lstrip("-@+!:|"))]
    rest = _LOGIN_OPTIONS.sub("", _AUTOLOGIN.sub("", line[program.end() :]))
    return f"{head}{prefix}{folder}/agetty --autologin {user}{rest}"


def without_autologin(options: str) -> str:
    """A getty's options, without what logs a user in."""
    return " ".join(_AUTOLOGIN.sub("", options).split())


def in_command(text: str, user: str, folder: str | None) -> str | None:
    """A job's file in which its first getty logs `user` in; None where there is none, or no agetty."""
    for line in lines(text):
        if not line.body.lstrip().startswith("#") and has_program(line.body):
            new = with_autologin(line.body, user, folder)
            return None if new is None else splice(text, [Splice(line.start, line.stop, new)])
    return None
