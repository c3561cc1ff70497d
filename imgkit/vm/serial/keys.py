"""Which of the keys that a person types are for imgkit, and which for the guest. Bytes only; no terminal here.

One key leaves, as in `virsh console` and telnet. Another one is a prefix, as on Cisco's consoles, and the key after it
is a command. All other bytes are the guest's, as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from imgkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONTROL = 0x40  # between a control character and its letter


class Command(Enum):
    """What a key asks of imgkit."""

    LEAVE = "leave"
    SIZE = "send the size of the window"
    SUSPEND = "suspend"
    HELP = "help"


_COMMANDS = {b"w": Command.SIZE, b"z": Command.SUSPEND, b"?": Command.HELP, b"q": Command.LEAVE}


@dataclass(frozen=True, slots=True)
class Keys:
    """The key that leaves and the prefix, one byte each; None if there is none."""

    escape: bytes | None = b"\x1d"
    prefix: bytes | None = b"\x1e"

    def __post_init__(self) -> None:
        if self.escape is not None and self.escape == self.prefix:
            raise UsageError(
                "one key cannot be both the escape key and the prefix", hint="Choose two, or none for one of them."
            )


def parse_key(words: str) -> bytes | None:
    """A key as its byte: `^]` is Ctrl-], another character is itself, `none` is None. UsageError for anything else."""
    if words == "none":
        return None
    if len(words) == 2 and words[0] == "^" and "@" <= words[1].upper() <= "_":  # noqa: PLR2004  -- a caret and a letter
        return bytes([ord(words[1].upper()) - _CONTROL])
    if len(words) == 1 and words.isascii() and words.isprintable():
        return words.encode()
    raise UsageError(f"{words!r} is not a key", hint="Write Ctrl-] as ^], or none for no such key.")


def spoken(key: bytes) -> str:
    """A key as a person calls it."""
    return f"Ctrl-{chr(key[0] + _CONTROL)}" if key < b" " else key.decode()


class Keyboard:
    """Tells what is typed apart; a prefix waits for the key after it."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._after_prefix = False

    def typed(self, data: bytes) -> Iterator[bytes | Command]:
        """What to do, in order: bytes for the guest, and commands. An unknown command is nothing."""
        plain = bytearray()
        for number in data:
            key = bytes([number])
            if self._after_prefix:
                self._after_prefix = False
                if key in (self._keys.prefix, self._keys.escape):
                    plain += key
                    continue
            elif key == self._keys.prefix:
                self._after_prefix = True
                continue
            elif key != self._keys.escape:
                plain += key
                continue
            command = Command.LEAVE if key == self._keys.escape else _COMMANDS.get(key.lower())
            if command is None:
                continue
            if plain:
                yield bytes(plain)
                plain.clear()
            yield command
        if plain:
            yield bytes(plain)


def help_lines(keys: Keys) -> list[str]:
    """What the keys do, a line each."""
    lines = [f"{spoken(keys.escape)} detaches; the machine keeps running"] if keys.escape else []
    if keys.prefix:
        prefix = spoken(keys.prefix)
        lines += [
            f"{prefix} w types the size of this window, as a command for the shell there: stty rows R cols C",
            f"{prefix} z suspends imgkit, as Ctrl-Z does elsewhere",
            f"{prefix} q leaves",
            *(f"{prefix} {spoken(key)} types {spoken(key)}" for key in (keys.prefix, keys.escape) if key),
        ]
    return lines
