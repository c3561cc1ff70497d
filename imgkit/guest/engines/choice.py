"""The choice of an engine, which can be made and checked before any engine is loaded."""

from __future__ import annotations

from enum import StrEnum


class EngineChoice(StrEnum):
    """Which engine serves a guest. AUTO tries the others in their order here, and takes the first that serves."""

    AUTO = "auto"
    NATIVE = "native"
    UML = "uml"
    GUESTFS = "guestfs"
