"""Commands as Typer takes them: made of groups of options, with examples that keep their lines.

A group is a function whose parameters are the options:

    @composed(source=make_source)
    def ls(source: Source, path: InTree = "/") -> None: ...

is to Typer a command with the parameters of `make_source` in the place of `source`, and gets what that returns.
"""

from __future__ import annotations

import functools
import inspect
import signal
import sys
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Callable

    import typer


def add_command(app: typer.Typer, command: Callable[..., None], name: str) -> None:
    """Make a function a command of `app`. Its docstring is the help; lines after "Examples:" stay as they are."""
    # Click rewraps paragraphs, except those that begin with a backspace character.
    text = (inspect.getdoc(command) or "").replace("\nExamples:\n", "\n\b\nExamples:\n")
    app.command(name, help=text, short_help=text.partition("\n")[0])(_writing(command))


def composed(**groups: Callable[..., Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace each named parameter of a command by the parameters of the function that makes its value."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        parameters: list[inspect.Parameter] = []
        for parameter in _parameters(command, without=set(groups)):
            parameters += _parameters(groups[parameter.name]) if parameter.name in groups else [parameter]

        def run(**values: Any) -> None:
            made = {name: group(**_taken(values, group)) for name, group in groups.items()}
            command(**values, **made)

        # Optional arguments may not stand before required ones, keyword-only parameters come last.
        parameters.sort(key=lambda p: (p.kind, p.default is not p.empty))
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def _writing(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with all of its standard output written when it ends.

    A reader that has enough, such as `head`, ends us in silence, as it ends other programs. Typer would give that
    status 1, which means "no" here.
    """

    @functools.wraps(command)
    def run(**values: Any) -> None:
        from imgkit.cli.render import flush

        try:
            try:
                command(**values)
            finally:
                flush()
        except BrokenPipeError:
            sys.exit(128 + signal.SIGPIPE)

    return run


def _parameters(function: Callable[..., Any], without: set[str] | None = None) -> list[inspect.Parameter]:
    """The parameters of a function, annotations evaluated except for those in `without` and the return type's."""
    named = {n: a for n, a in function.__annotations__.items() if n not in (without or set()) and n != "return"}
    stand_in = type("annotations", (), {"__annotations__": named})
    hints = get_type_hints(stand_in, globalns=vars(inspect.getmodule(function)), include_extras=True)
    return [
        parameter.replace(annotation=hints.get(parameter.name, Any))
        for parameter in inspect.signature(function).parameters.values()
    ]


def _taken(values: dict[str, Any], group: Callable[..., Any]) -> dict[str, Any]:
    return {name: values.pop(name) for name in inspect.signature(group).parameters}
