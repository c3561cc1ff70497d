"""What Debian's and Alpine's generators of extlinux.conf read: the settings that outlive the generated file.

Debian: u-boot-update reads /etc/default/u-boot, and update-extlinux of Debian 7 and before /etc/default/extlinux.
Alpine: update-extlinux reads /etc/update-extlinux.conf. All are shell files.

The settings: u-boot-update(8) and update-extlinux(8) of Debian; the comments in Alpine's file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.configtext import kernelargs
from imgkit.configtext.shellvars import edit_arguments, evaluate, parse, set_variable
from imgkit.configtext.text import Setting, splice
from imgkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from imgkit.configtext.kernelargs import Arguments
    from imgkit.configtext.serial import SerialConsole


@dataclass(frozen=True, slots=True)
class Generator:
    """A generator's file: its path, and its names for the kernel arguments and for the menu's time.

    `fallback` are the arguments that the generator takes where none are set. `per_second` is 10 where the time
    counts tenths of a second. `serial_port` and `serial_baud` name the settings of the loader's serial line.
    `reads_kernel_cmdline` tells that /etc/kernel/cmdline comes before the fallback.
    """

    path: str
    arguments: str
    timeout: str
    fallback: str = ""
    per_second: int = 1
    serial_port: str = ""
    serial_baud: str = ""
    reads_kernel_cmdline: bool = False


U_BOOT_MENU = Generator(
    "/etc/default/u-boot",
    "U_BOOT_PARAMETERS",
    "U_BOOT_TIMEOUT",
    "ro quiet",
    10,
    reads_kernel_cmdline=True,
)
DEBIAN_EXTLINUX = Generator("/etc/default/extlinux", "EXTLINUX_PARAMETERS", "EXTLINUX_TIMEOUT", "ro quiet", 10)
ALPINE_EXTLINUX = Generator(
    "/etc/update-extlinux.conf",
    "default_kernel_opts",
    "timeout",
    serial_port="serial_port",
    serial_baud="serial_baud",
)
GENERATORS = (U_BOOT_MENU, DEBIAN_EXTLINUX, ALPINE_EXTLINUX)


@dataclass(frozen=True, slots=True)
class GeneratorFacts:
    """What a generator's file sets: the arguments and the line of the setting, 0 where it is the fallback."""

    line: int
    arguments: Arguments
    settings: tuple[Setting, ...]

    def keeps_console(self, console: SerialConsole) -> bool:
        """Whether the generator will write kernel command lines that use `console`."""
        return kernelargs.has_console(self.arguments, console)


def facts(text: str, generator: Generator) -> GeneratorFacts:
    """What the file sets. Raises `ConfigError` where it is no shell file that imgkit understands."""
    variables = evaluate([text])
    found = variables.get(generator.arguments)
    value = found.text if found and found.text else generator.fallback
    names = (generator.arguments, generator.timeout, generator.serial_port, generator.serial_baud)
    return GeneratorFacts(
        line=found.line if found and found.text else 0,
        arguments=kernelargs.split(value),
        settings=tuple(
            Setting(variables[name].line, name, variables[name].text) for name in names if name in variables
        ),
    )


def enable(
    text: str,
    generator: Generator,
    console: SerialConsole,
    *,
    remove: Iterable[str] = (),
    timeout: int | None = None,
    has_kernel_cmdline: bool = False,
) -> str:
    """`text` from which the generator writes command lines with the console, and a menu on the serial line.

    `remove` names arguments to take out, `timeout` is in seconds. `has_kernel_cmdline` tells that the guest has an
    /etc/kernel/cmdline: a generator that reads it takes the arguments from there while none are set here, and none
    are set then. Raises `ConfigError` where the file is not understood or its own conditions undo the change.
    """
    patterns = tuple(remove)

    def edit(arguments: Arguments) -> Arguments:
        return kernelargs.set_console(kernelargs.remove(arguments, patterns), console)

    inherits = generator.reads_kernel_cmdline and has_kernel_cmdline and facts(text, generator).line == 0
    if not inherits:
        text = _edit_value(text, generator, edit)
    if generator.serial_port and console.port.startswith("ttyS"):
        text = _set(text, generator.serial_port, str(console.unit))
        text = _set(text, generator.serial_baud, str(console.baud))
    if timeout is not None:
        text = _set(text, generator.timeout, str(timeout * generator.per_second))
    if not (inherits or facts(text, generator).keeps_console(console)):
        raise ConfigError(
            f"the file's own conditions undo what is set for {generator.arguments}",
            hint=f"Set {generator.arguments} on a plain line.",
        )
    return text


def _edit_value(text: str, generator: Generator, edit: Callable[[Arguments], Arguments]) -> str:
    found = [assignment for assignment in parse(text) if assignment.name == generator.arguments]
    before = facts(text, generator)
    if before.line == 0 or not found[-1].is_certain:
        # Nothing is set, or "": the generator takes its fallback, and so has the setting to begin with that.
        value = kernelargs.join(edit(before.arguments))
        return text if value == kernelargs.join(before.arguments) else set_variable(text, generator.arguments, value)
    return splice(text, edit_arguments(found[-1], edit, kernelargs.split, kernelargs.quote))


def _set(text: str, name: str, value: str) -> str:
    found = evaluate([text]).get(name)
    return text if found and found.is_certain and found.text == value else set_variable(text, name, value)
