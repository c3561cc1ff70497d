"""Enable the serial console in many images through the library, in one process; prints images per second.

python -m benchmarks.throughput IMAGE…
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import imgkit


def main(images: list[Path]) -> None:
    """Edit and commit each image in place."""
    started = time.perf_counter()
    for image in images:
        imgkit.enable_console(image, imgkit.InPlace())
    print(len(images) / (time.perf_counter() - started))


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
