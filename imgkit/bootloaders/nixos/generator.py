"""NixOS: nixos-rebuild makes the boot menu anew from the system's declaration, with the arguments that it names.

Those of the current system are in its folder, in `kernel-params`; the declaration is /etc/nixos, if it is in the image.

https://nixos.org/manual/nixos/stable/options#opt-boot.kernelParams
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.configtext import kernelargs
from imgkit.configtext.checks import Check, CheckKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgkit.configtext.options import EnableOptions
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits

_PARAMETERS = "/nix/var/nix/profiles/system/kernel-params"
_DECLARATION = "/etc/nixos/configuration.nix"


def enable(_edits: TreeEdits, _console: SerialConsole, _options: EnableOptions) -> None:
    """Nothing: the declaration is a program."""


def checks(edits: TreeEdits, console: SerialConsole) -> Iterator[Check]:
    """Whether the next boot menu will have the console."""
    arguments = kernelargs.split(edits.text(_PARAMETERS) or "")
    declared = edits.text(_DECLARATION) or ""
    ok = kernelargs.has_console(arguments, console) or f'"{console.kernel_argument()}"' in declared
    told = f"nixos-rebuild {'keeps' if ok else 'will not put'} the kernels on {console.port}"
    words = " ".join(f'"{word}"' for word in console.kernel_arguments())
    hint = "" if ok else f"Declare it: boot.kernelParams = [ {words} ]; in the system's configuration."
    yield Check(CheckKind.KEPT, ok, _DECLARATION, 0, told, hint)
