"""armbianEnv.txt: settings of the script boot.scr, which U-Boot runs. The script itself is sealed by a checksum.

`extraargs` stands at the end of the kernel's command line, behind the console of the board that the script knows;
`console` is `display`, `serial` or `both`.

https://docs.armbian.com/User-Guide_Advanced-Configuration/ https://github.com/armbian/build/tree/main/config/bootscripts
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imgkit.configtext import kernelargs
from imgkit.configtext.checks import Check, CheckKind, KernelLine
from imgkit.configtext.text import append_lines, line_number, splice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgkit.configtext.kernelargs import Arguments
    from imgkit.configtext.options import EnableOptions
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits

_CONSOLE = re.compile(r"^console=(display|serial|both)\b", re.MULTILINE)
_SERIAL = re.compile(rb"console=tty[A-Z][A-Za-z]*\d+(?:,\d+[noe]?[78]?)?")
_EXTRA = re.compile(r"^extraargs=([^\r\n]*)", re.MULTILINE)


def _of_script(edits: TreeEdits, path: str) -> Arguments:
    """The consoles that the script puts in front: the board's own, then the screen, as the setting `console` says."""
    wanted = [match[1] for match in _CONSOLE.finditer(edits.text(path) or "")]
    kind = wanted[-1] if wanted else "both"
    folder = path.rpartition("/")[0]
    scripts = (edits.read(f"{folder}/{name}") or b"" for name in ("boot.cmd", "boot.scr"))
    serial = next((match[0].decode() for script in scripts if (match := _SERIAL.search(script))), "")
    words = [*([serial] if serial and kind != "display" else []), *(["console=tty1"] if kind != "serial" else [])]
    return kernelargs.new(words)


def enable(edits: TreeEdits, path: str, console: SerialConsole, options: EnableOptions) -> None:
    """Put the kernel on the console, behind what the script says."""

    def edit(arguments: Arguments) -> Arguments:
        arguments = kernelargs.remove(arguments, options.removed)
        whole = (*_of_script(edits, path), *arguments)
        return arguments if kernelargs.has_console(whole, console) else kernelargs.set_console(arguments, console)

    edit_arguments(edits, path, edit, recovery=True)


def edit_arguments(edits: TreeEdits, path: str, edit: Callable[[Arguments], Arguments], *, recovery: bool) -> None:
    """Edit the arguments that the settings add."""
    del recovery

    def edit_setting(text: str) -> str:
        found = list(_EXTRA.finditer(text))
        if not found:
            new = edit(())
            return append_lines(text, [f"extraargs={kernelargs.join(new)}"]) if new else text
        start, stop = found[-1].span(1)  # of several the last counts
        before = kernelargs.split(text, start, stop)
        return splice(text, kernelargs.splices(before, edit(before), start, follows=False))

    edits.edit(path, edit_setting)


def kernels(edits: TreeEdits, path: str) -> Iterator[KernelLine]:
    """The arguments that the settings add, behind the script's consoles; others of the script are not read."""
    text = edits.text(path) or ""
    found = list(_EXTRA.finditer(text))
    start, stop = found[-1].span(1) if found else (0, 0)
    line = line_number(text, start) if found else 0
    yield KernelLine(path, line, "", (*_of_script(edits, path), *kernelargs.split(text, start, stop)), False)


def checks(edits: TreeEdits, path: str, _console: SerialConsole) -> Iterator[Check]:
    """Whether the script, which is sealed, says which UART the board has; U-Boot itself shows on that one anyway."""
    if not any(_SERIAL.fullmatch(argument.text.encode()) for argument in _of_script(edits, path)):
        told = "boot.scr has a checksum and is not edited, and it names no serial console"
        yield Check(CheckKind.LOADER, False, path, 0, told, "Set console=both in it, and give --port and --baud.")
