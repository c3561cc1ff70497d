r"""grubenv, GRUB's environment block: variables in a file whose size never changes, so that GRUB can write it.

A block starts with a fixed line and is filled up with "#" to its size, 1,024 bytes by default. Each variable is a line
`name=value`; in the value a backslash protects a backslash or a line end. Bytes in, bytes out: the size is in bytes.

The format: https://www.gnu.org/software/grub/manual/grub/html_node/Environment-block.html
Its escapes: grub-core/lib/envblk.c in GRUB's source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.configtext import kernelargs
from imgkit.configtext.text import MAX_SIZE, decode, encode, splice
from imgkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgkit.configtext.serial import SerialConsole

SIGNATURE = b"# GRUB Environment Block\n"

_LINE = re.compile(rb"([^#\n=][^\n=]*)=((?>(?:\\.|[^\\\n])*))\n|#[^\n]*\n|\n", re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_TO_ESCAPE = re.compile(rb"([\\\n])")


@dataclass(frozen=True, slots=True)
class _Variable:
    """A variable's name, value (escapes resolved), and the range of its whole line."""

    name: bytes
    value: bytes
    start: int
    stop: int


def facts(block: bytes) -> dict[str, str]:
    """The variables of a block. Raises `ConfigError` where it is no environment block."""
    return {decode(variable.name): decode(variable.value) for variable in _variables(block)}


def set_variable(block: bytes, name: str, value: str) -> bytes:
    """`block`, of the same size, with a variable set. Raises `ConfigError` where it does not fit."""
    variables = _variables(block)
    wanted = encode(value)
    old = [variable for variable in variables if variable.name == encode(name)]
    if old and old[-1].value == wanted:
        return block
    line = encode(name) + b"=" + _TO_ESCAPE.sub(rb"\\\1", wanted) + b"\n"
    end = _end(block)
    place = (old[-1].start, old[-1].stop) if old else (end, end)
    body = block[: place[0]] + line + block[place[1] : end]
    if len(body) > len(block):
        raise ConfigError(
            f"no room for {name}: the block holds {len(block):,} bytes, of which {end:,} are taken",
            hint="Remove unused variables with grub-editenv.",
        )
    return body + b"#" * (len(block) - len(body))


def enable(block: bytes, console: SerialConsole, *, remove: Iterable[str] = ()) -> bytes:
    """`block` with the console in `kernelopts`, which loader entries refer to; as it is where there is none."""
    value = facts(block).get("kernelopts")
    if value is None:
        return block
    before = kernelargs.split(value)
    after = kernelargs.set_console(kernelargs.remove(before, remove), console)
    if after == before:
        return block
    return set_variable(block, "kernelopts", splice(value, kernelargs.splices(before, after, 0, follows=False)))


def _variables(block: bytes) -> list[_Variable]:
    end = _end(block)
    found = []
    at = len(SIGNATURE)
    while at < end:
        match = _LINE.match(block, at, end)
        if match is None:
            raise ConfigError(
                "a line that is not NAME=VALUE", line=block.count(b"\n", 0, at) + 1, hint="Repair it with grub-editenv."
            )
        if match[1] is not None:
            found.append(_Variable(match[1], _ESCAPED.sub(rb"\1", match[2]), match.start(), match.end()))
        at = match.end()
    return found


def _end(block: bytes) -> int:
    """Offset at which the filling starts."""
    if len(block) > MAX_SIZE or not block.startswith(SIGNATURE):
        raise ConfigError("no GRUB environment block: its first line is missing", line=1)
    # Filling is all "#" up to the end; a comment line before it ends with a line end.
    return len(block.rstrip(b"#"))
