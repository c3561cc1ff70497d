"""grub-mkconfig (update-grub): /etc/default/grub and its drop-ins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.bootloaders.grub2 import defaults as defaultgrub
from imgkit.configtext.checks import Check, CheckKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.configtext.options import EnableOptions
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits

_GENERATORS = ("/usr/sbin/grub-mkconfig", "/usr/sbin/grub2-mkconfig", "/sbin/grub-mkconfig")
_CHECKED = (
    ("kernels", ("GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT")),
    ("menu", ("GRUB_TERMINAL", "GRUB_TERMINAL_OUTPUT", "GRUB_SERIAL_COMMAND")),
)


def enable(edits: TreeEdits, console: SerialConsole, options: EnableOptions) -> None:
    """Write a drop-in that is read last where the system has drop-ins, since they may discard what was set before."""
    files = _files(edits)
    names = [path.rpartition("/")[2] for path in files if path != defaultgrub.MAIN]
    drop_in = f"{defaultgrub.DROP_IN_FOLDER}/{defaultgrub.drop_in_name(names)}" if names else None
    changed = defaultgrub.enable_files(
        files, console, drop_in=drop_in, recovery=options.recovery, remove=options.removed, timeout=options.timeout
    )
    for path, text in changed.items():
        edits.put(path, text)


def checks(edits: TreeEdits, console: SerialConsole) -> Iterator[Check]:
    """Whether update-grub keeps kernels and menu on the console, and the line that decides."""
    found = defaultgrub.facts(_files(edits))
    kept = {"kernels": found.keeps_console(console), "menu": found.keeps_terminal(console)}
    for what, names in _CHECKED:
        decisive = [found.variables[name] for name in names if name in found.variables]
        last = max(decisive, key=lambda variable: (variable.file, variable.line), default=None)
        file, line = (found.files[last.file], last.line) if last else (defaultgrub.MAIN, 0)
        told = f"update-grub {'keeps' if kept[what] else 'will not put'} the {what} on {console.port}"
        yield Check(CheckKind.KEPT, kept[what], file, line, told)


def _files(edits: TreeEdits) -> dict[str, str]:
    """/etc/default/grub and the drop-ins that this guest's grub-mkconfig reads, path → text, in reading order."""
    files = {defaultgrub.MAIN: edits.text(defaultgrub.MAIN) or ""}
    script = next((text for path in _GENERATORS if (text := edits.text(path)) is not None), None)
    # Where the generator is not found, drop-ins get the benefit of the doubt: who made them has them read.
    if script is None or defaultgrub.reads_drop_ins(script):
        for name in defaultgrub.reading_order(edits.names(defaultgrub.DROP_IN_FOLDER)):
            path = f"{defaultgrub.DROP_IN_FOLDER}/{name}"
            files[path] = edits.text(path) or ""
    return files
