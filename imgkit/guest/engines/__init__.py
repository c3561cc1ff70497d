"""What serves the file systems of an installed guest: the engines, in the order in which they are tried.

Whoever adds one writes a module or a package of its name beside the others, with what `EngineModule` asks for, and a
line in `EngineChoice`. `tests/guest/test_conformance.py` then holds it to what the others do.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol, cast

from imgkit.guest.engines.choice import EngineChoice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.formats.image import Image
    from imgkit.guest.finding import Finding
    from imgkit.guest.volume import Engine
    from imgkit.partition.model import PartitionTable


class Shared(Protocol):
    """What serves several images in turn, for one of the engines; whoever made it closes it."""

    engine: EngineChoice

    def close(self) -> None:
        """Let go of it."""
        ...


ENGINES = tuple(choice for choice in EngineChoice if choice is not EngineChoice.AUTO)
"""All engines, the fastest first. None is imported before `load` asks for it."""


class EngineModule(Protocol):
    """What the module of an engine offers."""

    def start(
        self, image: Image, table: PartitionTable, *, now: int, keys: Sequence[str], shared: Shared | None
    ) -> Engine:
        """An engine for one image.

        All it stages goes to the image's overlay, at the latest in the engine's `finish`. `now`, in seconds, stamps
        what is edited. `keys` open LUKS volumes. What is `shared` may be for another engine, and passed over then.
        Raises EngineError, with the command that helps, where the engine is missing or does not start.
        """
        ...

    def check(self) -> Iterator[Finding]:
        """What the engine needs on this machine, for `imgkit doctor`; quick, and nothing is started."""
        ...


def load(choice: EngineChoice) -> EngineModule:
    """The module of an engine."""
    return cast("EngineModule", importlib.import_module(f"{__name__}.{choice.value}"))
