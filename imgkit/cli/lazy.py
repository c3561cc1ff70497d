"""Commands that are imported when they are asked for: of a command line, the one that it names, and no other.

Making all of them takes longer than most of what they do (docs/decisions/050-lean-command.md).
"""

from __future__ import annotations

from collections import UserDict
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import typer
from typer.core import TyperGroup

from imgkit.cli.compose import add_command

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Place:
    """A module of this room that has a command as a function of its name, or, with `short_help`, a group as `app`."""

    module: str
    short_help: str | None = None


def lazy_group(places: Mapping[str, Place]) -> type[TyperGroup]:
    """The class of a group that has the commands of `places`, by name and in this order."""

    class LazyGroup(TyperGroup):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self.commands = cast("Any", _Commands(places))

    return LazyGroup


class _Commands(UserDict[str, Any]):
    """Commands by name, each made when it is looked up for the first time."""

    def __getitem__(self, name: str) -> Any:
        found = self.data[name]
        if isinstance(found, Place):
            found = self.data[name] = _make(name, found)
        return found


def _make(name: str, place: Place) -> Any:
    module = import_module(f"imgkit.cli.{place.module}")
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    if place.short_help is not None:
        app.add_typer(module.app, name=name, short_help=place.short_help)
        return cast("TyperGroup", typer.main.get_command(app)).commands[name]
    add_command(app, getattr(module, name.replace("-", "_")), name)
    return typer.main.get_command(app)
