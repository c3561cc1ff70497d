"""menu.lst (or grub.conf), the menu of GRUB legacy: what it boots, and the serial console in it.

Also the settings that Debian's update-grub of that time kept in comments of the same file ("# defoptions=quiet").

The commands: https://www.gnu.org/software/grub/manual/legacy/grub.html#Commands
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.bootloaders.grub2.terminal import console_of, serial_settings
from imgkit.configtext import kernelargs
from imgkit.configtext.text import Setting, Splice, insert_lines, lines, splice
from imgkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from imgkit.configtext.kernelargs import Arguments
    from imgkit.configtext.serial import SerialConsole

_COMMAND = re.compile(r"[ \t]*([A-Za-z0-9_]+)(?:[ \t]*=[ \t]*|[ \t]+|$)")
_WORD = re.compile(r"[^ \t]+")
_AUTOMAGIC = re.compile(r"# (kopt|defoptions)=")
_COMMANDS = {
    *("title", "kernel", "module", "modulenounzip", "initrd", "root", "rootnoverify", "chainloader", "makeactive"),
    *("default", "fallback", "timeout", "hiddenmenu", "splashimage", "gfxmenu", "foreground", "background", "color"),
    *("serial", "terminal", "terminfo", "password", "lock", "savedefault", "map", "hide", "unhide", "boot"),
    *("configfile", "uuid", "find", "parttype", "partnew", "install", "setup", "setkey", "geometry", "uppermem"),
    *("pause", "halt", "reboot", "quit", "debug", "display", "cat", "clear", "cmp", "dhcp", "bootp", "rarp", "device"),
    *("tftpserver", "ifconfig", "ioprobe", "impsprobe", "embed", "displayapm", "displaymem", "blocklist", "md5crypt"),
    *("read", "testload", "testvbe", "vbeprobe", "viewport", "shade", "quiet", "bootpath"),
}
_RECOVERY_TITLES = ("(recovery mode)", "(single-user mode)")


@dataclass(frozen=True, slots=True)
class Kernel:
    """A line that loads Linux, of the entry `title`; "" before the first."""

    line: int
    title: str
    path: str
    arguments: tuple[str, ...]
    is_recovery: bool


@dataclass(frozen=True, slots=True)
class GrubLegacyFacts:
    """What a menu.lst sets. `settings` are the commands before the first entry."""

    settings: tuple[Setting, ...]
    entries: tuple[Setting, ...]
    kernels: tuple[Kernel, ...]

    def console(self) -> SerialConsole | None:
        """The serial console that the menu is on; None where it is on none."""
        last = {setting.name: setting.value.split() for setting in self.settings}
        is_on = "serial" in last and "serial" in last.get("terminal", [])
        return console_of(serial_settings(tuple(last["serial"]))) if is_on else None

    def shows_menu_on(self, console: SerialConsole) -> bool:
        """Whether the menu is on the serial console, and on the VGA console or not, as asked."""
        last = {setting.name: setting.value.split() for setting in self.settings}
        command = console.grub_serial_command()
        if command is None:
            return True
        return (
            "serial" in last
            and serial_settings(tuple(last["serial"])) == serial_settings(tuple(command.split()[1:]))
            and {word for word in last.get("terminal", []) if not word.startswith("--")} == {*console.grub_terminals()}
        )


@dataclass(frozen=True, slots=True)
class _Command:
    """A command's line, its name, and the ranges of the whole command, and of what follows the name."""

    line: int
    name: str
    start: int
    operands: int
    stop: int


@dataclass(frozen=True, slots=True)
class _Loader:
    command: _Command
    title: str
    path: str
    path_stop: int
    arguments: Arguments
    is_recovery: bool


def facts(text: str) -> GrubLegacyFacts:
    """What the file sets, with line numbers. Raises `ConfigError` for a line that is no command of GRUB legacy."""
    commands = tuple(_commands(text))
    settings = [Setting(c.line, c.name, text[c.operands : c.stop].strip()) for c in commands]
    first = next((i for i, setting in enumerate(settings) if setting.name == "title"), len(settings))
    return GrubLegacyFacts(
        settings=tuple(settings[:first]),
        entries=tuple(setting for setting in settings if setting.name == "title"),
        kernels=tuple(_kernel(loader) for loader in _loaders(text, commands)),
    )


def enable(
    text: str,
    console: SerialConsole,
    *,
    recovery: bool = False,
    remove: Iterable[str] = (),
    timeout: int | None = None,
    installer: bool = False,
) -> str:
    """`text` with the console on the kernels' command lines and the menu on the serial line.

    Recovery entries keep their arguments unless `recovery`. `remove` names arguments to take out. `timeout` is in
    seconds. `installer` says that "---" marks what the installed system inherits. Raises `ConfigError` for a line
    that is no command of GRUB legacy.
    """
    patterns = tuple(remove)

    def edit(arguments: Arguments, _kernel: Kernel | None) -> Arguments:
        return kernelargs.set_console(kernelargs.remove(arguments, patterns), console, installer=installer)

    text = edit_arguments(text, edit, recovery=recovery)
    text = _set_terminal(text, console)
    return text if timeout is None else _set_command(text, "timeout", str(timeout))


def edit_arguments(text: str, edit: Callable[[Arguments, Kernel | None], Arguments], *, recovery: bool = False) -> str:
    """`text` with `edit` applied to each kernel's arguments; those of recovery entries only with `recovery`.

    Where Debian's update-grub keeps its settings in the file, to those too, with None for the kernel: "defoptions"
    reaches the normal entries only, "kopt" all.
    """
    changes: list[Splice] = []
    for loader in _loaders(text, tuple(_commands(text))):
        if recovery or not loader.is_recovery:
            after = edit(loader.arguments, _kernel(loader))
            changes += kernelargs.splices(loader.arguments, after, loader.path_stop, follows=True)
    for line in lines(text):
        match = _AUTOMAGIC.match(line.body)
        if match and match[1] == ("kopt" if recovery else "defoptions"):
            start = line.start + match.end()
            before = kernelargs.split(text, start, line.stop)
            changes += kernelargs.splices(before, edit(before, None), start, follows=False)
    return splice(text, changes)


def _set_terminal(text: str, console: SerialConsole) -> str:
    command = console.grub_serial_command()
    if command is None or facts(text).shows_menu_on(console):
        return text
    # Asks on both for a key; without one in time, GRUB takes the first.
    text = _set_command(text, "terminal", f"--timeout=5 {' '.join(console.grub_terminals())}")
    text = _set_command(text, "serial", command.removeprefix("serial "))
    # A splash image would take the menu back to the graphical screen.
    graphics = [c for c in _before_entries(text) if c.name in ("splashimage", "gfxmenu")]
    return splice(text, [Splice(c.start, c.start, "#") for c in graphics])


def _set_command(text: str, name: str, operands: str) -> str:
    """`text` in which the command stands once in effect before the entries, with `operands`."""
    commands = list(_before_entries(text))
    found = [command for command in commands if command.name == name]
    if not found:
        start = commands[0].start if commands else _first_entry(text)
        separator = "=" if name == "timeout" else " "
        return splice(text, [insert_lines(text, start, [f"{name}{separator}{operands}"])])
    separator = "" if text[found[-1].operands - 1] in " \t=" else " "
    return splice(text, [Splice(command.operands, command.stop, separator + operands) for command in found])


def _before_entries(text: str) -> Iterator[_Command]:
    for command in _commands(text):
        if command.name == "title":
            return
        yield command


def _first_entry(text: str) -> int:
    return next((command.start for command in _commands(text) if command.name == "title"), len(text))


def _commands(text: str) -> Iterator[_Command]:
    for line in lines(text):
        body = line.body.strip()
        if not body or body.startswith("#"):
            continue
        match = _COMMAND.match(line.body)
        if match is None or match[1] not in _COMMANDS:
            raise ConfigError(
                f"not a command of GRUB Legacy: {body[:40]!r}",
                line=line.number,
                hint="Correct the line or comment it out.",
            )
        yield _Command(line.number, match[1], line.start, line.start + match.end(), line.stop)


def _loaders(text: str, commands: tuple[_Command, ...]) -> Iterator[_Loader]:
    title, hypervisor = "", False
    for command in commands:
        if command.name == "title":
            title, hypervisor = text[command.operands : command.stop].strip(), False
        if command.name not in ("kernel", "module"):
            continue
        path = _path(text, command)
        if path is None:
            continue
        is_xen = command.name == "kernel" and path[0].rpartition("/")[2].startswith("xen")
        if is_xen or (command.name == "module" and not hypervisor) or not kernelargs.is_linux(path[0]):
            hypervisor = is_xen
            continue
        hypervisor = False
        arguments = kernelargs.split(text, path[1], command.stop)
        rescue = any(mark in title for mark in _RECOVERY_TITLES) or kernelargs.is_recovery(arguments)
        yield _Loader(command, title, *path, arguments, rescue)


def _kernel(loader: _Loader) -> Kernel:
    words = kernelargs.texts(loader.arguments)
    return Kernel(loader.command.line, loader.title, loader.path, words, loader.is_recovery)


def _path(text: str, command: _Command) -> tuple[str, int] | None:
    """The kernel's path, behind options such as --no-mem-option, and the offset of its end."""
    for word in _WORD.finditer(text, command.operands, command.stop):
        if not word[0].startswith("--"):
            return word[0], word.end()
    return None
