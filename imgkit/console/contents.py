"""The serial console of whatever an image holds: the recipe of an installed system, or that of an installer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.iso.medium import IsoImage

if TYPE_CHECKING:
    from imgkit.configtext.checks import Status
    from imgkit.configtext.options import EnableOptions
    from imgkit.configtext.serial import SerialConsole
    from imgkit.editing import Contents
    from imgkit.tree import Change


def architecture(contents: Contents) -> str:
    """The machine that the system or the installer is for, as `uname -m` names it; "" where that is not known."""
    if isinstance(contents, IsoImage):
        from imgkit.installers.detection import find_installer  # noqa: PLC0415  only for ISOs

        found = find_installer(contents.tree)
        return found.arch if found else ""
    from imgkit.console.facts import find_facts  # noqa: PLC0415

    return find_facts(contents.tree).arch


def enable(contents: Contents, console: SerialConsole, options: EnableOptions) -> list[Change]:
    """The changes that enable the console. Raises what the recipes raise."""
    if isinstance(contents, IsoImage):
        from imgkit.installers import recipe as installer  # noqa: PLC0415

        return installer.enable(contents.tree, console, options, roots=contents.tree.boot_roots())
    from imgkit.console import recipe  # noqa: PLC0415

    return recipe.enable(contents.tree, console, options)


def status(contents: Contents, console: SerialConsole | None) -> Status:
    """Whether the console is enabled, link by link; None is the console that the contents themselves suggest."""
    if isinstance(contents, IsoImage):
        from imgkit.installers import status as installer  # noqa: PLC0415

        return installer.status(contents.tree, console, roots=contents.tree.boot_roots())
    from imgkit.console import status as installed  # noqa: PLC0415

    return installed.status(contents.tree, console)
