"""Unified kernel images: the command line is sealed inside, mostly signed; it is neither read nor changed here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.configtext.checks import Check, CheckKind, KernelLine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.configtext.options import EnableOptions
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits


def enable(_edits: TreeEdits, _path: str, _console: SerialConsole, _wishes: EnableOptions) -> None:
    """Leave it as it is; the recipe refuses a system that has nothing else."""


def kernels(_edits: TreeEdits, _path: str) -> Iterator[KernelLine]:
    """None that can be read."""
    return iter(())


def checks(_edits: TreeEdits, path: str, _console: SerialConsole) -> Iterator[Check]:
    """A link that cannot be vouched for."""
    yield Check(
        CheckKind.KERNEL, False, path, 0, "unified kernel image: its command line is sealed inside, and not read"
    )
