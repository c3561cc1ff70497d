"""`python -m tests.hardening.fuzzed PARSER ARGUMENT...`: the process that libFuzzer runs in, with its arguments.

It never returns. The package is instrumented as it is imported, so nothing of it may be before.
"""

from __future__ import annotations

import random
import sys
from contextlib import suppress
from importlib import import_module


def main() -> None:
    """Fuzz one parser."""
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=["imgkit"], enable_loader_override=False):
        parser = import_module("tests.hardening.parsers").PARSERS[sys.argv[1]]
        parser.feed(parser.seeds()[0])  # has it import what it imports late
    refused: type[Exception] = import_module("imgkit.errors").ImgkitError
    changes = import_module("tests.hardening.changes")
    change = changes.changed_text if parser.is_text else changes.changed_bytes

    def feed(data: bytes) -> None:
        with suppress(refused):
            parser.feed(data)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        noise = random.Random(seed)
        if noise.random() < 0.5 or len(data) < 16 or not any(data):
            return bytes(atheris.Mutate(data, most))
        changed: bytes = change(data, noise)[:most]
        return changed

    atheris.Setup([sys.argv[0], *sys.argv[2:]], feed, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
