"""The mission: a working serial console, as recipes over trees, and its status link by link.

A recipe is a function from a tree and a serial console to changes; it knows no engine, no format, no path of the host.
"""

from imgkit.bootconfig.serial import SerialConsole
from imgkit.console.recipe import Wishes, default_console, enable
from imgkit.console.status import Link, LinkKind, Status, status

__all__ = ["Link", "LinkKind", "SerialConsole", "Status", "Wishes", "default_console", "enable", "status"]
