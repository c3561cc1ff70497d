"""grub.cfg, GRUB 2's menu, and all that it leads to: the edits that put menus and kernels on a serial line.

A generated grub.cfg lives until the guest runs update-grub again; what lasts is in `defaults`. Loader entries
(`blscfg`) have a package of their own.

The commands: https://www.gnu.org/software/grub/manual/grub/html_node/Commands.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from imgkit.bootloaders.grub2 import kernels, words
from imgkit.bootloaders.grub2.follow import follow
from imgkit.bootloaders.grub2.lookup import Scripts
from imgkit.bootloaders.grub2.menus import Anchor
from imgkit.bootloaders.grub2.terminal import TERMINAL_COMMANDS, replaces_terminals, serial_settings
from imgkit.configtext import kernelargs, xen
from imgkit.configtext.text import Splice, append_lines, insert_lines, line_start, splice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from imgkit.bootloaders.grub2.menus import Journey, Kernel, Menu, Step
    from imgkit.bootloaders.grub2.source import Source
    from imgkit.configtext.kernelargs import Arguments
    from imgkit.configtext.options import EnableOptions
    from imgkit.configtext.serial import SerialConsole


class EditableScripts(Scripts, Protocol):
    """The files that GRUB can read, to be edited."""

    def edit(self, path: str, edit: Callable[[str], str]) -> None:
        """Edit a text file."""
        ...


def enable(
    scripts: EditableScripts, path: str, console: SerialConsole, options: EnableOptions, shown: Sequence[str] = ()
) -> None:
    """Put the console on the kernels' command lines, and the menus that `path` leads to on the serial line.

    Recovery entries keep their arguments unless the options say otherwise. `shown` are the files of the menus that
    nobody has to choose, whose time the options set. A menu that takes the terminal away again stays as it is.
    Raises `ConfigError` where the file at `path` is no GRUB script.
    """

    def edit(arguments: Arguments, kernel: Kernel) -> Arguments:
        target = xen.dom0_console(kernel.hypervisor, console)
        arguments = kernelargs.remove(arguments, options.removed)
        return kernelargs.set_console(arguments, target, installer=options.installer)

    edit_arguments(scripts, path, edit, recovery=options.recovery)
    journey, changes = follow(scripts, path), _Changes()
    for source in journey.sources:
        changes.add(source, _hypervisor_splices(source, console, recovery=options.recovery))
    for menu in journey.menus:
        if menu.shows and options.timeout is not None and menu.file in shown:
            changes.set_variables(menu, {"timeout": str(options.timeout), "timeout_style": "menu"})
    changes.apply(scripts)
    for menu in journey.menus:
        if menu.shows:
            _set_terminals(scripts, path, menu.file, console)


def edit_arguments(
    scripts: EditableScripts, path: str, edit: Callable[[Arguments, Kernel], Arguments], *, recovery: bool = False
) -> None:
    """Apply `edit` to the arguments of each kernel that `path` leads to; those of recovery entries with `recovery`."""
    changes = _Changes()
    for source in follow(scripts, path).sources:
        for loader in kernels.find_loaders(source.block):
            if recovery or not loader.is_recovery:
                before = words.arguments(loader.operands)
                after = edit(before, kernels.kernel_of(source, loader))
                new = kernelargs.splices(before, after, loader.path.stop, follows=True, write=words.quote)
                changes.add(source, new)
    changes.apply(scripts)


def set_variables(scripts: EditableScripts, path: str, wanted: dict[str, str]) -> None:
    """Have variables of the menu that starts at `path` hold other values; the first is set where nothing sets it."""
    changes = _Changes()
    for menu in follow(scripts, path).menus[:1]:
        changes.set_variables(menu, wanted)
    changes.apply(scripts)


def shows_on(menu: Menu, console: SerialConsole) -> bool:
    """Whether a menu is on the serial console (and on the VGA console, as asked) on every path."""
    return all(state.serve(console) for state in menu.states)


def all_kernels(journey: Journey) -> Iterator[Kernel]:
    """All kernels of the scripts, those of nested entries and functions too, in order."""
    for source in journey.sources:
        loaders = sorted(kernels.find_loaders(source.block), key=lambda loader: loader.command.start)
        yield from (kernels.kernel_of(source, loader) for loader in loaders)


class _Changes:
    """Splices of files, each once: a command may run more than once, on the way to one menu or to several."""

    def __init__(self) -> None:
        self._splices: dict[str, dict[tuple[int, int, str], Splice]] = {}

    def add(self, source: Source, changes: Iterable[Splice]) -> None:
        """Changes of a script's text."""
        found = self._splices.setdefault(source.file, {})
        for change in source.in_file(changes):
            # Only one change of a range: where scripts made of one string disagree, the first of them counts.
            is_free = all(change.stop <= start or stop <= change.start for start, stop, _ in found if start != stop)
            if is_free:
                found.setdefault((change.start, change.stop, change.new), change)

    def set_variables(self, menu: Menu, wanted: dict[str, str]) -> None:
        """Give a menu's variables other values; the first of `wanted` is set where nothing sets it yet."""
        first = next(iter(wanted))
        assignments = {name: words.quote(f"{name}={value}") for name, value in wanted.items()}
        for setting in menu.settings:
            if setting.name in wanted and setting.value != wanted[setting.name]:
                new = Splice(setting.word.start, setting.word.stop, assignments[setting.name])
                self.add(setting.source, [new])
        place = _place(menu)
        if place is not None and not any(setting.name == first for setting in menu.settings):
            self.add(place.source, [_insert_before(place, [f"set {assignments[first]}"])])

    def apply(self, scripts: EditableScripts) -> None:
        """Edit the files."""
        for file, changes in self._splices.items():
            if changes:
                scripts.edit(file, lambda text, changes=changes: splice(text, changes.values()))  # type: ignore[misc]


# -- kernels ----------------------------------------------------------------------------------------------------------


def _hypervisor_splices(source: Source, console: SerialConsole, *, recovery: bool) -> Iterator[Splice]:
    """Where Xen has the port, its own console has to be there too."""
    for loader in kernels.find_loaders(source.block):
        if loader.hypervisor is not None and (recovery or not loader.is_recovery):
            given = loader.hypervisor.words
            before = words.arguments(given[1:])
            after = xen.set_console(before, console)
            yield from kernelargs.splices(before, after, given[0].stop, follows=True, write=words.quote)


# -- terminals --------------------------------------------------------------------------------------------------------


def _rewrite(step: Step, console: SerialConsole) -> Iterator[Splice]:
    """Have a command name the wanted terminals or settings."""
    command, serial, terminals = step.command, console.grub_serial_command(), console.grub_terminals()
    if command.name == "serial":
        if serial is not None and serial_settings(step.operands) != serial_settings(tuple(serial.split()[1:])):
            yield Splice(command.start, command.stop, serial)
    elif replaces_terminals(command.name, step.operands) and set(step.operands) != set(terminals):
        yield Splice(command.words[1].start, command.words[-1].stop, " ".join(terminals))


def _set_terminals(scripts: EditableScripts, path: str, file: str, console: SerialConsole) -> None:
    """Put a menu on the line, if that can be done."""
    if not shows_on(_menu(scripts, path, file), console):
        for way in (_set_behind_others, _set_throughout):
            trial = _Trial(scripts)
            way(trial, path, file, console)
            if shows_on(_menu(trial, path, file), console):
                trial.commit()
                return


def _set_behind_others(scripts: EditableScripts, path: str, file: str, console: SerialConsole) -> None:
    """Where only other files switch terminals, as files with themes do, leave those alone and have the last word."""
    menu = _menu(scripts, path, file)
    if menu.first_item is not None and menu.switches and all(step.source.file != file for step in menu.switches):
        _insert(scripts, menu.first_item.own_anchor, _wanted_commands(console))


def _set_throughout(scripts: EditableScripts, path: str, file: str, console: SerialConsole) -> None:
    """Have every command that is there name the wanted terminals, and put what is missing in front of the first."""
    changes = _Changes()
    for step in _menu(scripts, path, file).switches:
        changes.add(step.source, _rewrite(step, console))
    changes.apply(scripts)
    menu = _menu(scripts, path, file)
    place = _place(menu)
    if place is None or shows_on(menu, console):
        return
    always = _unconditional(menu)
    missing = _missing_commands(menu, always, console)
    if "serial" in always and missing and missing[0].startswith("terminal"):
        # The terminal `serial` exists only behind the command that is there already.
        source, statement = always["serial"].anchor
        rest = source.block[source.block.index(statement) + 1 :]
        if not rest:
            scripts.edit(source.file, lambda text: append_lines(text, missing))
            return
        _insert(scripts, Anchor(source, rest[0]), missing)
    else:
        _insert(scripts, place, missing)


class _Trial:
    """Scripts with edits that are not made yet."""

    def __init__(self, scripts: EditableScripts) -> None:
        self._scripts = scripts
        self._texts: dict[str, str] = {}
        self.read, self.size, self.spelled, self.names = scripts.read, scripts.size, scripts.spelled, scripts.names

    def as_they_are(self) -> EditableScripts:
        """The scripts to follow: those without edits have been followed before, and are remembered."""
        return self if self._texts else self._scripts

    def text(self, path: str) -> str | None:
        return self._texts[path] if path in self._texts else self._scripts.text(path)

    def edit(self, path: str, edit: Callable[[str], str]) -> None:
        self._texts[path] = edit(self.text(path) or "")

    def commit(self) -> None:
        for path, text in self._texts.items():
            self._scripts.edit(path, lambda _, text=text: text)  # type: ignore[misc]


def _place(menu: Menu) -> Anchor | None:
    """Where new commands go: in front of the first that sets a terminal, else of the first that adds to the menu.

    In the menu's own file, unless that does nothing but lead to another one.
    """
    step = menu.first_switch or menu.first_item
    if step is None:
        return None
    sources = (*(each.source for each in menu.switches), *(each.source for each in menu.settings))
    files = {*(source.file for source in sources), *(entry.file for entry in menu.entries)}
    return step.own_anchor if menu.file in files else step.anchor


def _menu(scripts: Scripts, path: str, file: str) -> Menu:
    followed = scripts.as_they_are() if isinstance(scripts, _Trial) else scripts
    return next(menu for menu in follow(followed, path).menus if menu.file == file)


def _insert(scripts: EditableScripts, place: Anchor, new: list[str]) -> None:
    scripts.edit(place.source.file, lambda text: splice(text, [_insert_before(place, new)]))


def _unconditional(menu: Menu) -> dict[str, Step]:
    """The first of each command that sets terminals and that no condition decides."""
    return {
        step.command.name: step
        for step in reversed(menu.switches)
        if step.is_certain and (step.command.name == "serial" or replaces_terminals(step.command.name, step.operands))
    }


def _missing_commands(menu: Menu, always: dict[str, Step], console: SerialConsole) -> list[str]:
    """The wanted commands that are not certain to run, or to run in time."""
    present = {*always, *(("terminal_input", "terminal_output") if "terminal" in always else ())}
    serial = always.get("serial")
    if serial is not None:
        order = [step for step in menu.switches if step.command.name in TERMINAL_COMMANDS or step is serial]
        present -= {"serial"} if order[0] is not serial else set()
    return [command for command in _wanted_commands(console) if command.split()[0] not in present]


def _wanted_commands(console: SerialConsole) -> list[str]:
    """In the order that GRUB's own generator uses."""
    serial, terminals = console.grub_serial_command(), " ".join(console.grub_terminals())
    return [*([serial] if serial else []), f"terminal_input {terminals}", f"terminal_output {terminals}"]


def _insert_before(place: Anchor, new: list[str]) -> Splice:
    """Splice that puts commands in front of a statement, each on a line of its own with the same indentation."""
    text, at = place.source.text, place.statement.start
    start = line_start(text, at)
    indent = text[start:at]
    if indent.strip(" \t"):  # Another statement ends on the same line.
        return Splice(at, at, "".join(f"{command}; " for command in new))
    return insert_lines(text, start, [indent + command for command in new])
