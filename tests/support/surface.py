"""The public surface of the library as text: every name of `imgkit.__all__`, with signatures and members.

Run as a program it prints the lines, to be kept in `tests/surface.txt`.
"""

from __future__ import annotations

import enum
import hashlib
import inspect
from collections.abc import Callable, Iterator

import imgkit


def surface() -> list[str]:
    """One line for each public name and each of its public parts."""
    return [line for name in imgkit.__all__ for line in _lines(name, getattr(imgkit, name))]


def digest(lines: list[str]) -> str:
    """What a line of the changelog names a surface by."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:8]


def _lines(name: str, value: object) -> Iterator[str]:
    if not isinstance(value, type):
        yield f"{name}{_signature(value)}" if callable(value) else name
        return
    bases = [base.__name__ for base in value.__bases__ if base is not object]
    yield f"class {name}({', '.join(bases)})"
    if issubclass(value, enum.Enum):
        yield from (f"{name}.{member.name} = {str(member)!r}" for member in value)
        return
    if not issubclass(value, Exception) and not getattr(value, "_is_protocol", False):
        yield f"{name}{_signature(value)}"
    for part, member in sorted(vars(value).items()):
        if isinstance(member, property):
            yield f"{name}.{part} -> {inspect.signature(member.fget).return_annotation}"
        elif inspect.isfunction(member) and (part[0] != "_" or (part == "__init__" and issubclass(value, Exception))):
            yield f"{name}.{part}{_signature(member)}"


class _Bare(str):
    """Text that is shown without quotes: the annotations are strings."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _signature(value: Callable[..., object]) -> str:
    found = inspect.signature(value)
    parameters = [
        each.replace(annotation=_bare(each.annotation), default=_bare_default(each.default))
        for each in found.parameters.values()
    ]
    return str(found.replace(parameters=parameters, return_annotation=_bare(found.return_annotation)))


def _bare(annotation: object) -> object:
    return _Bare(annotation) if isinstance(annotation, str) else annotation


def _bare_default(default: object) -> object:
    """Functions without their addresses."""
    return _Bare(default.__name__) if inspect.isfunction(default) else default


if __name__ == "__main__":
    print("\n".join(surface()))
