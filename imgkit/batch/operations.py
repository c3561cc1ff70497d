"""What a batch can do to each image. Each operation is a value that travels between processes, and an edit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from imgkit import addition
from imgkit.configtext.serial import default_console
from imgkit.console.contents import architecture, enable
from imgkit.editing import replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from imgkit.configtext.options import EnableOptions
    from imgkit.editing import Contents
    from imgkit.tree import Change


@dataclass(frozen=True, slots=True)
class EnableConsole:
    """Enable the serial console. What `settings` leave open, the architecture of each image decides."""

    settings: tuple[tuple[str, Any], ...]
    options: EnableOptions

    def edit(self, contents: Contents) -> list[Change]:
        """The changes that enable the console."""
        console = replace(default_console(architecture(contents)), **dict(self.settings))
        return enable(contents, console, self.options)

    def __str__(self) -> str:
        said = [f"{name}={value}" for name, value in self.settings]
        wished = {
            "recovery": self.options.recovery,
            "quiet_off": self.options.quiet_off,
            "timeout": self.options.timeout,
        }
        return " ".join(["console enable", *said, *(f"{k}={v}" for k, v in wished.items() if v not in (None, False))])


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Give one file new contents."""

    path: str
    contents: bytes

    def edit(self, contents: Contents) -> list[Change]:
        """The change of that file, none where it has these contents."""
        return replace_file(self.path, lambda _before: self.contents)(contents)

    def __str__(self) -> str:
        return f"write {self.path} sha256={hashlib.sha256(self.contents).hexdigest()}"


@dataclass(frozen=True, slots=True)
class AddFiles:
    """Put host files into an ISO."""

    sources: tuple[Path, ...]
    at: str
    replace: bool = False

    def edit(self, contents: Contents) -> list[Change]:
        """The changes that add the files."""
        return addition.add(self.sources, self.at, replace=self.replace)(contents)

    def __str__(self) -> str:
        return f"iso add {' '.join(map(str, self.sources))} {self.at}" + (" replace" if self.replace else "")


Operation: TypeAlias = EnableConsole | WriteFile | AddFiles
