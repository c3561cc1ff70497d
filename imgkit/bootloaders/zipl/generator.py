"""zipl: it copies kernels and command lines into a boot map, which only running it makes anew; so it is named.

https://www.ibm.com/docs/en/linux-on-systems?topic=commands-zipl
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.configtext.checks import Check, CheckKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.configtext.options import EnableOptions
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits

_PATH = "/etc/zipl.conf"


def enable(_edits: TreeEdits, _console: SerialConsole, _options: EnableOptions) -> None:
    """Nothing: what boots is the boot map, which a program of the guest writes."""


def checks(_edits: TreeEdits, console: SerialConsole) -> Iterator[Check]:
    """One that fails, with the way out."""
    hint = f"In the guest, add {console.kernel_argument()} to {_PATH} or the loader entries, and run zipl."
    told = "zipl has copied the command lines into its boot map, which is neither read nor changed"
    yield Check(CheckKind.LOADER, False, _PATH, 0, told, hint)
