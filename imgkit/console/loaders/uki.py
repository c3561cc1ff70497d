"""Unified kernel images: the command line is sealed inside, mostly signed; it is neither read nor changed here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.console.model import KernelLine, Link, LinkKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.console.draft import Draft
    from imgkit.console.model import SerialConsole, Wishes


def enable(_draft: Draft, _path: str, _console: SerialConsole, _wishes: Wishes) -> None:
    """Leave it as it is; the recipe refuses a system that has nothing else."""


def kernels(_draft: Draft, _path: str) -> Iterator[KernelLine]:
    """None that can be read."""
    return iter(())


def links(_draft: Draft, path: str, _console: SerialConsole) -> Iterator[Link]:
    """A link that cannot be vouched for."""
    yield Link(LinkKind.KERNEL, False, path, 0, "unified kernel image: its command line is sealed inside, and not read")
