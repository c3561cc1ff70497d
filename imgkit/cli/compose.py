"""Commands composed of groups of options: each group is a function, its parameters are the options.

    @composed(source=make_source)
    def ls(source: Source, path: InTree = "/") -> None: ...

is to Typer a command with the parameters of `make_source` in the place of `source`, and gets what that returns.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Callable


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
