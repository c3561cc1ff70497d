"""Enable the serial console in many images through the library, in one process; prints images per second.

python -m benchmarks.throughput IMAGE…
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from imgkit.console.recipe import default_console, enable
from imgkit.editing import ImageSource, edit_image
from imgkit.storage.output import InPlace

if TYPE_CHECKING:
    from imgkit.guest.session import Guest
    from imgkit.tree import Change


def _edit(guest: Guest) -> list[Change]:
    return enable(guest.tree, default_console("x86_64"))


def main(images: list[Path]) -> None:
    """Edit and commit each image in place."""
    started = time.perf_counter()
    for image in images:
        edit_image(ImageSource(image), _edit, InPlace())
    print(len(images) / (time.perf_counter() - started))


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
