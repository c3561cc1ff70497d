"""The choice of an engine, which can be made and checked before any engine is loaded."""

from __future__ import annotations

from enum import StrEnum


class EngineChoice(StrEnum):
    """Which engine serves a guest; AUTO takes native where it serves, else guestfs."""

    AUTO = "auto"
    NATIVE = "native"
    GUESTFS = "guestfs"
