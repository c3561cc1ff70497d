"""systemd: its getty generator suffices, unless something keeps it, the unit or its target from being started.

A unit that serves the port in place of serial-getty@ counts, and then serial-getty@ is masked: two gettys on one line
take each other's keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.configtext import kernelargs
from imgkit.configtext.checks import Check, CheckKind
from imgkit.inits import agetty_folder, getty
from imgkit.inits.systemd import config as systemd
from imgkit.inits.systemd import units

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.configtext.checks import KernelLine
    from imgkit.configtext.serial import SerialConsole
    from imgkit.inits.systemd.units import Unit
    from imgkit.treeedits import TreeEdits

_AUTOLOGIN = "zz-imgkit-autologin.conf"  # read after the others
_RESCUE = ("rescue.target", "emergency.target", "rescue.service", "emergency.service")


def unwanted(console: SerialConsole) -> tuple[str, ...]:
    """Kernel arguments that mask the getty, in a way that no file can undo."""
    return systemd.masking_arguments(console)


def serves(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> bool:
    """Whether a unit of the guest holds the port, or serial-getty@ is started on it."""
    if _substitute(edits, console, kernels) is not None:
        return True
    return not list(_problems(edits, console, kernels))


def enable(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> None:
    """Take masks away; link the unit where the generator or what it hooks into does not do its part."""
    unit = systemd.getty_unit(console)
    if _substitute(edits, console, kernels) is not None:
        edits.link(f"{units.OWN}/{unit}", "/dev/null")
        return
    for name in (unit, systemd.TEMPLATE, systemd.TARGET):
        path = f"{units.OWN}/{name}"
        if edits.is_there(path) and units.is_mask(edits, path):
            edits.remove(path)
    for target in _to_link(edits, console, kernels):
        edits.link(f"{units.OWN}/{target}.wants/{unit}", f"{_unit_folder(edits)}/{systemd.TEMPLATE}")


def checks(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> Iterator[Check]:
    """Whether systemd will start one getty on the port, and why."""
    unit, other = systemd.getty_unit(console), _substitute(edits, console, kernels)
    if other is None:
        problems = list(_problems(edits, console, kernels))
        yield from problems or [Check(CheckKind.GETTY, True, *_reason(edits, console, kernels))]
        return
    masked = (own := units.find(edits, unit)) is not None and own.is_masked
    command = _command(other)
    speed_ok = command is None or command.has_speed_of(console)
    if not masked:
        told = f"{other.name} and {unit} would both ask for a login on {console.port}"
        yield Check(CheckKind.GETTY, False, other.path, 0, told)
    elif not speed_ok:
        told, hint = f"{other.name} is not at {console.baud} baud", "Correct the baud rate in its ExecStart."
        yield Check(CheckKind.GETTY, False, other.path, 0, told, hint)
    else:
        yield Check(CheckKind.GETTY, True, other.path, 0, f"{other.name} asks for a login on {console.port}")


def autologin(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine], user: str) -> bool:
    """Give serial-getty@ on the port a drop-in whose command logs the user in."""
    unit = units.find(edits, systemd.getty_unit(console))
    if unit is None or unit.is_masked or _substitute(edits, console, kernels) is not None:
        return False
    started = unit.values("ExecStart")
    command = getty.with_autologin(started[-1], user, agetty_folder(edits)) if started else None
    if command is None:
        return False
    # The firmware's serial0 is another port to Linux, by the model.
    name = systemd.TEMPLATE if console.port.startswith("serial") else systemd.getty_unit(console)
    path = f"{units.OWN}/{name}.d/{_AUTOLOGIN}"
    edits.put(path, f"[Service]\nExecStart=\nExecStart={command}\n")
    return True


def autologin_user(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> str:
    """The user of the last command that the unit on the port starts."""
    unit = _substitute(edits, console, kernels) or units.find(edits, systemd.getty_unit(console))
    started = unit.values("ExecStart") if unit is not None else ()
    return getty.autologin_user(started[-1]) if started else ""


def _reason(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> tuple[str, int, str]:
    """The file that has the unit started, and what it does."""
    unit = systemd.getty_unit(console)
    for target in (systemd.TARGET, *_targets(edits, kernels)):
        path = f"{units.OWN}/{target}.wants/{unit}"
        if edits.is_there(path):
            return path, 0, f"systemd starts {unit}"
    return "", 0, f"systemd starts {unit}, because the kernel uses {console.port}"


def _problems(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> Iterator[Check]:
    """What keeps serial-getty@ from being started on the port, or from asking for a login."""
    name = systemd.getty_unit(console)
    for other in _holders(edits, console, kernels):
        told = f"{other.name} reads from {console.port} and is not a login: {_no_login(other)[:60]}"
        hint = f"Choose another port with --port, or disable {other.name}."
        yield Check(CheckKind.GETTY, False, other.path, 0, told, hint)
    unit = units.find(edits, name)
    if unit is None and units.find(edits, "multi-user.target") is not None:
        hint = "Install all of systemd in the guest: images built from container images omit parts of it."
        yield Check(CheckKind.GETTY, False, "", 0, f"the guest has no {systemd.TEMPLATE}", hint)
    elif unit is not None and unit.is_masked:
        yield Check(CheckKind.GETTY, False, unit.path, 0, f"{name} is masked")
    elif unit is not None and (program := _no_login(unit)):
        hint = f"Remove the replacement, or start a getty on {console.port} in it."
        told = f"{name} does not start a known login program: {program[:60]}"
        yield Check(CheckKind.GETTY, False, unit.path, 0, told, hint)
    elif unit is not None and (command := _command(unit)) is not None and not command.has_speed_of(console):
        hint = f"Correct the baud rate in its ExecStart, or give --baud {command.speed.split(',')[0]}."
        yield Check(CheckKind.GETTY, False, unit.path, 0, f"{name} is not at {console.baud} baud", hint)
    for kernel in kernels:
        words = [w for w in kernelargs.texts(kernel.arguments) if w in systemd.masking_arguments(console)]
        if words:
            yield Check(CheckKind.GETTY, False, kernel.file, kernel.line, f"{words[0]} keeps {name} from starting")
    yield from _not_started(edits, console, kernels)


def _not_started(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> Iterator[Check]:
    """Why nothing starts the unit; of several reasons the first."""
    name = systemd.getty_unit(console)
    for target in _targets(edits, kernels):
        if target in _RESCUE:
            hint = "In the guest: systemctl set-default multi-user.target."
            yield Check(CheckKind.GETTY, False, "", 0, f"the system starts {target}, which has no login prompt", hint)
            return
    starting = {target: _starts(edits, target, console) for target in _targets(edits, kernels)}
    if all(starting.values()):
        return
    off = next((kernel for kernel in kernels if systemd.generator_is_off(kernel.arguments)), None)
    why_not = units.generator(edits, systemd.GENERATOR)
    masked = units.find(edits, systemd.TARGET)
    unreached = next((t for t, ok in starting.items() if not ok and not _reaches_gettys(edits, t)), None)
    if masked is not None and masked.is_masked:
        yield Check(CheckKind.GETTY, False, masked.path, 0, f"{systemd.TARGET} is masked, so {name} is not started")
    elif unreached is not None:
        yield Check(CheckKind.GETTY, False, "", 0, f"{unreached} does not start {systemd.TARGET}, nor {name}")
    elif off is not None:
        told = f"systemd.getty_auto switches off what would start {name}"
        yield Check(CheckKind.GETTY, False, off.file, off.line, told)
    elif why_not:
        yield Check(CheckKind.GETTY, False, "", 0, f"{systemd.GENERATOR} does not start {name}: {why_not}")
    elif not any(found.port == console.port for kernel in kernels for found in kernelargs.consoles(kernel.arguments)):
        yield Check(CheckKind.GETTY, False, "", 0, f"systemd starts {name} only where the kernel uses {console.port}")


def _to_link(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> Iterator[str]:
    """The targets to which the unit has to be added, because neither the generator nor a link starts it."""
    works = not units.generator(edits, systemd.GENERATOR)
    for kernel, target in zip(kernels, _targets_of(edits, kernels), strict=True):
        if target in _RESCUE or _starts(edits, target, console):
            continue
        if not _reaches_gettys(edits, target):
            yield target
        elif not works or systemd.generator_is_off(kernel.arguments):
            yield systemd.TARGET


def _starts(edits: TreeEdits, target: str, console: SerialConsole) -> bool:
    """Whether links in the guest start the unit with a target."""
    found = units.reached(edits, target)
    considered = {systemd.TARGET, target} if found is None else found
    return any(systemd.getty_unit(console) in set(units.pulled_in(edits, name)) for name in considered)


def _reaches_gettys(edits: TreeEdits, target: str) -> bool:
    """Whether a target starts getty.target; where its units are not there to be read, it is taken to.

    Our own mask of a moment ago is gone: enabling asks after it has taken it away.
    """
    found = units.reached(edits, target)
    return found is None or systemd.TARGET in found


def _targets_of(edits: TreeEdits, kernels: Sequence[KernelLine]) -> list[str]:
    """The target that each kernel command line leads to."""
    wanted = (systemd.unit_to_start(kernel.arguments) or "default.target" for kernel in kernels)
    return [units.canonical(edits, name) for name in wanted]


def _targets(edits: TreeEdits, kernels: Sequence[KernelLine]) -> list[str]:
    return list(dict.fromkeys(_targets_of(edits, kernels))) or [units.canonical(edits, "default.target")]


def _substitute(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> Unit | None:
    """A unit of another name that is started and asks for a login on the port."""
    return next((unit for unit in _holders(edits, console, kernels) if not _no_login(unit)), None)


def _holders(edits: TreeEdits, console: SerialConsole, kernels: Sequence[KernelLine]) -> Iterator[Unit]:
    """The units of other names that are started and read from the port."""
    own = systemd.getty_unit(console)
    is_last = kernelargs.is_last_console(console.port, (kernel.arguments for kernel in kernels))
    for name in units.started(edits):
        if name == own:
            continue
        unit = units.find(edits, name)
        if unit is None or unit.is_masked:
            continue
        terminal = _terminal(unit)
        if terminal == console.port or (terminal == "console" and is_last):
            yield unit


def _terminal(unit: Unit) -> str:
    """The terminal that a unit's login program uses; "" where it uses none."""
    command = _command(unit)
    if command is not None and command.port != "-":
        return command.port
    reads = any(value.startswith("tty") for value in unit.values("StandardInput"))
    paths = unit.values("TTYPath")
    if not reads and command is None:
        return ""
    return paths[-1].removeprefix("/dev/") if paths else "console" if reads else ""


def _command(unit: Unit) -> getty.GettyCommand | None:
    started = unit.values("ExecStart")
    return getty.find(started[-1].lstrip("-@+!:|")) if started else None


def _no_login(unit: Unit) -> str:
    """The program that a unit starts, where it is no login; "" where it is one, or the unit does not say."""
    started = [command.lstrip("-@+!:|") for command in unit.values("ExecStart")]
    if not started or _command(unit) is not None or getty.shell_terminal(started[-1]) is not None:
        return ""
    return "" if getty.has_program(started[-1]) else started[-1]


def _unit_folder(edits: TreeEdits) -> str:
    """Where the guest's own units lie."""
    vendor = (folder for folder in ("/lib/systemd/system", "/usr/lib/systemd/system"))
    there = (folder for folder in vendor if edits.is_there(f"{folder}/{systemd.TEMPLATE}"))
    return next(there, "/lib/systemd/system")
