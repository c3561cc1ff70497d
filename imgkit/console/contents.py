"""The serial console of whatever an image holds: the recipe of an installed system, or that of an installer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from imgkit.bootloaders.files import Loader
from imgkit.configtext.serial import FIRMWARES_OWN, SerialConsole, default_console
from imgkit.iso.medium import IsoImage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imgkit.configtext.checks import Status
    from imgkit.configtext.options import EnableOptions
    from imgkit.editing import Contents
    from imgkit.tree import Change
    from imgkit.treeedits import TreeEdits


ConsoleWanted: TypeAlias = "SerialConsole | Mapping[str, Any] | Callable[[str], SerialConsole] | None"
"""A console; or some of its fields, where the image decides the others; or what makes it of the architecture."""


def architecture(contents: Contents) -> str:
    """The machine that the system or the installer is for, as `uname -m` names it; "" where that is not known."""
    if isinstance(contents, IsoImage):
        from imgkit.installers.detection import find_installer  # noqa: PLC0415  only for ISOs

        found = find_installer(contents.tree)
        return found.arch if found else ""
    from imgkit.console.facts import find_facts  # noqa: PLC0415

    return find_facts(contents.tree).arch


def console_to_enable(contents: Contents, wanted: ConsoleWanted, edits: TreeEdits | None = None) -> SerialConsole:
    """The console, whole; what is left open is as usual for the architecture. `edits` remember what was read.

    Port and speed are kept where the kernels, or else the menus, use another port of the same driver, or name a speed:
    a machine whose line is ttyS1 at 9600 baud has it there. Raises UsageError for values that nothing takes.
    """
    if isinstance(wanted, SerialConsole):
        return wanted
    if callable(wanted):
        return wanted(architecture(contents))
    settings, usual = wanted or {}, default_console(architecture(contents))
    used = _suggested(contents, edits, bare=usual.baud)
    counts = _driver(used.port) in (_driver(usual.port), FIRMWARES_OWN) or _is_board(contents)
    if counts and settings.get("port", used.port) == used.port:
        usual = replace(usual, port=used.port)
        if "baud" not in settings:
            usual = replace(usual, baud=used.baud, parity=used.parity, data_bits=used.data_bits)
    return replace(usual, **settings)


def _suggested(contents: Contents, edits: TreeEdits | None, *, bare: int) -> SerialConsole:
    if isinstance(contents, IsoImage):
        from imgkit.installers import status as installer  # noqa: PLC0415

        return installer.suggested_console(edits or contents.tree, roots=contents.tree.boot_roots(), bare=bare)
    from imgkit.console import status as installed  # noqa: PLC0415

    return installed.suggested_console(edits or contents.tree, bare=bare)


def _is_board(contents: Contents) -> bool:
    """Whether the image is for one board, so that the UART that it names is there, whatever its driver."""
    if isinstance(contents, IsoImage):
        return False
    from imgkit.console.facts import find_facts  # noqa: PLC0415

    return any(boot_file.loader is Loader.ARMBIAN for boot_file in find_facts(contents.tree).boot_files)


def _driver(port: str) -> str:
    return port.rstrip("0123456789")


def enable(
    contents: Contents,
    console: SerialConsole,
    options: EnableOptions,
    edits: TreeEdits | None = None,
    *,
    announce: Callable[[str], None],
) -> list[Change]:
    """The changes that enable the console. Raises what the recipes raise.

    `announce` is told of each change in what the image does by itself, such as another default entry.
    """
    if isinstance(contents, IsoImage):
        from imgkit.installers import recipe as installer  # noqa: PLC0415

        roots = contents.tree.boot_roots()
        return installer.enable(edits or contents.tree, console, options, roots=roots, announce=announce)
    from imgkit.console import recipe  # noqa: PLC0415

    return recipe.enable(edits or contents.tree, console, options, announce=announce)


def status(contents: Contents, console: SerialConsole | None, edits: TreeEdits | None = None) -> Status:
    """Whether the console is enabled, link by link; None is the console that the contents themselves suggest."""
    if isinstance(contents, IsoImage):
        from imgkit.installers import status as installer  # noqa: PLC0415

        return installer.status(edits or contents.tree, console, roots=contents.tree.boot_roots())
    from imgkit.console import status as installed  # noqa: PLC0415

    return installed.status(edits or contents.tree, console)
