"""Follow a GRUB script along every path, into the files that it sources, to the menus that it shows.

Nothing is run: words whose values are known are expanded, both branches of a condition are taken unless strings alone
decide it, and loops over known words and files are gone through. What cannot be followed is told as a `Problem`. What
entries do is followed when the menu stands, since GRUB runs them then.

`source` goes on in the same menu, `configfile` opens another one, in which `default` and `timeout` are unset again.
The commands: https://www.gnu.org/software/grub/manual/grub/html_node/Commands.html
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, Protocol

from imgkit.bootloaders.grub2 import environment, kernels, terminal, variables
from imgkit.bootloaders.grub2.menus import Anchor, Assignment, Entry, Journey, Kernel, Menu, Page, Problem, Step
from imgkit.bootloaders.grub2.script import Command, Function, If, Loop, commands
from imgkit.bootloaders.grub2.source import Source, file_source, string_source
from imgkit.bootloaders.grub2.terminal import TERMINAL_COMMANDS, Terminals
from imgkit.bootloaders.grub2.variables import NOT_KNOWN, UNKNOWN, Field, Scope, Values
from imgkit.bootloaders.grub2.words import cells
from imgkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.bootloaders.grub2.script import Block, Statement
    from imgkit.bootloaders.grub2.words import Cell, Word

_MAX_COMMANDS = 50_000
_MAX_FILES = 200
_MAX_DEPTH = 100
_MAX_ROUNDS = 5

_ENTRIES = ("menuentry", "submenu", "hiddenentry")
_SOURCES = ("source", ".", "extract_entries_source")
_OPENERS = ("configfile", "normal", "extract_entries_configfile")
_FOREIGN = re.compile(r"(?:extract_)?(?:legacy|syslinux)_(?:entries_)?(?:source|configfile)")
_LOADER_ENTRIES = ("blscfg", "blsuki")
_SETTINGS = ("default", "timeout", "timeout_style")
_SET_OPTION = re.compile(r"--set=(?:\d+:)?(\w+)")
_DEVICE = re.compile(r"\([^()]*(?:\([^()]*\)[^()]*)*\)")
_NAME = re.compile(r"[A-Za-z_]\w*")
# What only GRUB's environment block sets, if there is one.
_SAVED = ("saved_entry", "prev_saved_entry", "next_entry", "boot_once", "recordfail")


class Scripts(Protocol):
    """The files that GRUB can read."""

    def text(self, path: str) -> str | None:
        """Contents of a text file; None where there is none."""
        ...

    def read(self, path: str) -> bytes | None:
        """Contents of a file; None where there is none."""
        ...

    def size(self, path: str) -> int | None:
        """Size of a file, in bytes; None where there is none."""
        ...

    def spelled(self, path: str) -> str | None:
        """The path in the spelling that is there; None where nothing is."""
        ...

    def names(self, folder: str) -> list[str]:
        """Names in a directory; none where there is no such directory."""
        ...


def follow(scripts: Scripts, path: str) -> Journey:
    """What the script at `path` leads to. Raises `ConfigError` where that file is no GRUB script."""
    return _Walker(scripts, path).journey()


class _TooLongError(Exception):
    """The script leads further than anything that is meant to be a menu."""


class _Frame(NamedTuple):
    """Where a command runs: the function's or entry's arguments, what is certain, and the file's statement."""

    page: Page
    arguments: tuple[str, ...]
    is_certain: bool
    anchor: Anchor
    own_anchor: Anchor
    depth: int = 0
    after_sleep: bool = False


@dataclass(slots=True)
class _State:
    variables: dict[str, Values]
    functions: dict[str, tuple[tuple[Source, Function], ...]]
    terminals: frozenset[Terminals]

    def copy(self) -> _State:
        return _State(dict(self.variables), dict(self.functions), self.terminals)

    def become_one_of(self, others: Sequence[_State]) -> None:
        """The state behind branches. A variable that only one of them sets is taken for empty in the others."""
        names = {name for other in others for name in other.variables}
        unset = frozenset({""})
        self.variables = {name: others[0].variables.get(name, unset) for name in names}
        for other in others[1:]:
            for name in names:
                self.variables[name] = variables.joined(self.variables[name], other.variables.get(name, unset))
        functions = [(name, found) for other in others for name, found in other.functions.items()]
        self.functions = {}
        for name, found in functions:
            self.functions[name] = tuple(dict.fromkeys((*self.functions.get(name, ()), *found)))
        self.terminals = terminal.bounded(frozenset().union(*(other.terminals for other in others)))


@dataclass(slots=True)
class _Opening:
    """How a menu is opened: with what state, behind what terminal commands; of several ways, all in one."""

    state: _State
    switches: list[Step]
    by_itself: bool
    place: int

    def merge(self, state: _State, switches: Sequence[Step], *, by_itself: bool) -> bool:
        """Take another way in as well; whether it tells anything new."""
        merged = self.state.copy()
        merged.become_one_of([self.state, state])
        is_new = merged.variables != self.state.variables or merged.terminals != self.state.terminals
        self.state, self.by_itself = merged, self.by_itself or by_itself
        self.switches += [step for step in switches if step not in self.switches]
        return is_new


class _Walker:
    """One journey. Methods named for a statement change the state that they are given, as the statement would."""

    def __init__(self, scripts: Scripts, path: str) -> None:
        self.scripts = scripts
        self.path = path
        self.files: dict[str, Source | None] = {}
        self.strings: dict[tuple[Source, int, str], Source] = {}
        self.problems: dict[Problem, None] = {}
        self.menus: list[Menu | None] = []
        self.openings: dict[str, _Opening] = {}
        self.again: dict[str, None] = {}
        self.count = 0

    def journey(self) -> Journey:
        start = file_source(self.path, self.scripts.text(self.path) or "")
        self.files[self.path] = start
        folder = frozenset({posixpath.dirname(self.path)})
        known = dict.fromkeys(("prefix", "config_directory", "cmdpath"), folder)
        known |= dict.fromkeys(_SAVED, frozenset({"", UNKNOWN}))
        self.open(start, _State(known, {}, frozenset({Terminals()})), [], by_itself=True)
        for _ in range(_MAX_ROUNDS):
            # Entries that set a variable and open a menu again: languages, for the most part.
            again, self.again = list(self.again), {}
            for path in again:
                source = self.files[path]
                if source is not None:
                    self.read(source, self.openings[path])
        sources = [source for source in self.files.values() if source is not None]
        return Journey(
            tuple(menu for menu in self.menus if menu is not None),
            (*sources, *self.strings.values()),
            tuple(self.problems),
        )

    # -- menus

    def open(self, source: Source, state: _State, switches: Sequence[Step], *, by_itself: bool) -> None:
        """The menu that starts with a file, once, whichever ways lead to it."""
        opening = self.openings.get(source.file)
        if opening is not None:
            if opening.merge(state, switches, by_itself=by_itself):
                self.again[source.file] = None
            return
        opening = self.openings[source.file] = _Opening(state.copy(), list(switches), by_itself, len(self.menus))
        self.menus.append(None)
        self.read(source, opening)

    def read(self, source: Source, opening: _Opening) -> None:
        """Have the menu as it is behind an opening."""
        if not source.block:
            return
        page, state = Page(by_itself=opening.by_itself, switches=list(opening.switches)), opening.state.copy()
        for name in _SETTINGS:
            state.variables.pop(name, None)
        anchor = Anchor(source, source.block[0])
        frame = _Frame(page, (), is_certain=True, anchor=anchor, own_anchor=anchor)
        try:
            for statement in source.block:
                here = Anchor(source, statement)
                self.statement(source, statement, frame._replace(anchor=here, own_anchor=here), state)
            entries, states = self.entries(page, frame, state)
        except _TooLongError:
            self.problem(source, 0, "leads further than can be followed")
            return
        self.menus[opening.place] = Menu(
            file=source.file,
            entries=entries,
            switches=tuple(page.switches),
            settings=tuple(page.settings),
            states=states,
            defaults=state.variables.get("default", frozenset({"0"})),
            first_switch=page.switches[0] if page.switches else None,
            first_item=page.first_item,
            shows=page.shows,
            by_itself=opening.by_itself,
        )

    def entries(self, page: Page, frame: _Frame, state: _State) -> tuple[tuple[Entry, ...], frozenset[Terminals]]:
        """The entries of a page, and the terminals under which it, or a submenu of it, shows."""
        found, states = [], state.terminals
        for step in page.pending:
            entry, below = self.entry(page, step, frame, state.copy())
            found.append(entry)
            states = terminal.bounded(states | below)
        return tuple(found), states

    def entry(self, page: Page, step: Step, frame: _Frame, state: _State) -> tuple[Entry, frozenset[Terminals]]:
        title, identifier, arguments = kernels.title_and_id(step.operands)
        inner = Page(is_menu=False, switches=list(page.switches))
        below = frame._replace(page=inner, arguments=arguments, anchor=step.anchor, own_anchor=step.own_anchor)
        below = below._replace(depth=frame.depth + 1)
        self.limit(below)
        self.block(step.source, step.command.block or (), below, state)
        nested, states = self.entries(inner, below, state)
        if nested:
            page.switches += [replace(new, is_certain=False) for new in inner.switches if new not in page.switches]
        recovery = kernels.is_recovery_entry(step.operands)
        entry = Entry(
            file=step.source.file,
            line=step.line,
            title=title,
            id=identifier,
            is_certain=step.is_certain,
            is_hidden=step.command.name == "hiddenentry",
            kernels=tuple(_kernels(inner.commands, recovery=recovery)),
            initrds=tuple(word for each in inner.commands if kernels.is_initrd(each.command) for word in each.operands),
            entries=nested,
            leads_to=inner.leads_to,
        )
        return entry, states if nested else frozenset()

    # -- statements

    def file(self, source: Source, frame: _Frame, state: _State) -> None:
        for statement in source.block:
            self.statement(source, statement, frame._replace(anchor=Anchor(source, statement)), state)

    def block(self, source: Source, block: Block, frame: _Frame, state: _State) -> None:
        for statement in block:
            self.statement(source, statement, frame, state)

    def statement(self, source: Source, statement: Statement, frame: _Frame, state: _State) -> None:
        match statement:
            case Command():
                self.command(source, statement, frame, state)
            case If():
                self.conditional(source, statement, frame, state)
            case Loop():
                self.loop(source, statement, frame, state)
            case Function():
                state.functions[statement.name] = ((source, statement),)

    def conditional(self, source: Source, statement: If, frame: _Frame, state: _State) -> None:
        ends: list[_State] = []
        served: frozenset[Terminals] | None = None
        is_open = True  # whether another branch than those so far may be taken
        frame = frame._replace(depth=frame.depth + 1)
        for condition, body in (*statement.branches, ((), statement.otherwise)):
            if is_open:
                self.block(source, condition, frame._replace(is_certain=False), state)
            verdict = self.verdict(source, condition, frame, state) if condition else True
            if not is_open or verdict is False:
                self.explore(source, body, frame, state)
                continue
            slept = frame.after_sleep or any(command.name == "sleep" for command in commands(condition))
            certain = frame.is_certain and verdict is True and not ends
            ends.append(state.copy())
            self.block(source, body, frame._replace(is_certain=certain, after_sleep=slept), ends[-1])
            is_open = verdict is not True
            if served is None and any(command.name == "serial" for command in commands(condition[-1:])):
                # `if serial ...; then`: only a machine without the port goes the other way, and there nothing helps.
                served = frozenset[Terminals]().union(*(end.terminals for end in ends))
        state.become_one_of(ends)
        if served is not None:
            state.terminals = served

    def explore(self, source: Source, block: Block, frame: _Frame, state: _State) -> None:
        """Follow what does not run as things are, but may when an entry has set a variable and opens the menu again."""
        page, state = Page(is_menu=False), state.copy()
        aside = frame._replace(page=page, is_certain=False)
        self.block(source, block, aside, state)
        self.entries(page, aside, state)

    def verdict(self, source: Source, condition: Block, frame: _Frame, state: _State) -> bool | None:
        last = condition[-1] if condition else None
        if not isinstance(last, Command):
            return None
        return variables.holds(variables.expand(source.text, last.words, Scope(state.variables, frame.arguments)))

    def loop(self, source: Source, statement: Loop, frame: _Frame, state: _State) -> None:
        frame = frame._replace(depth=frame.depth + 1)
        if not statement.name:
            self.block(source, statement.condition, frame, state)
            ran = state.copy()
            self.block(source, statement.body, frame._replace(is_certain=False), ran)
            state.become_one_of([state.copy(), ran])
            return
        lists = self.expand(source, statement.words, frame, state)
        fields = dict.fromkeys(field for fields in lists for field in fields)
        for field in fields:
            for value in self.files_or_value(field):
                is_known = UNKNOWN not in value
                certain = frame._replace(is_certain=frame.is_certain and is_known and len(lists) == 1)
                before = state.copy()
                state.variables[statement.name] = frozenset({value})
                self.block(source, statement.body, certain, state)
                if not is_known:
                    state.become_one_of([before, state.copy()])

    def command(self, source: Source, command: Command, frame: _Frame, state: _State) -> None:
        self.limit(frame)
        operands = self.operands(source, command.words[1:], frame, state)
        step = Step(source, command, operands, frame.anchor, frame.own_anchor, frame.is_certain)
        name = command.name
        if name in state.functions:
            self.call(source, command, frame, state)
        elif name in _ENTRIES and command.block is not None:
            self.item(step, frame)
            frame.page.pending.append(replace(step, is_certain=step.is_certain and not frame.page.in_doubt))
        elif name in _LOADER_ENTRIES:
            self.item(step, frame)
        elif name == "serial" or name in TERMINAL_COMMANDS:
            self.switch(step, frame, state)
        elif name in _SOURCES or name in _OPENERS or _FOREIGN.fullmatch(name):
            self.lead(source, command, frame, state)
        elif name == "eval":
            self.evaluate(source, command, frame, state)
        elif name == "load_env":
            self.load(source, command, frame, state)
        else:
            frame.page.commands.append(step)
            self.assign(source, command, frame, state)

    def item(self, step: Step, frame: _Frame) -> None:
        """Something that makes the menu show."""
        frame.page.shows = True
        frame.page.first_item = frame.page.first_item or step

    def switch(self, step: Step, frame: _Frame, state: _State) -> None:
        frame.page.switches.append(step)
        state.terminals = terminal.bounded(
            frozenset(terminal.after(step.command.name, step.operands, each) for each in state.terminals)
        )

    def call(self, source: Source, command: Command, frame: _Frame, state: _State) -> None:
        definitions = state.functions[command.name]
        calls = self.expand(source, command.words[1:], frame, state)
        certain = frame.is_certain and len(definitions) == len(calls) == 1
        for fields in calls:
            for where, function in definitions:
                arguments = tuple(field.value for field in fields)
                inner = frame._replace(arguments=arguments, is_certain=certain, depth=frame.depth + 1)
                self.block(where, function.body, inner, state)

    def evaluate(self, source: Source, command: Command, frame: _Frame, state: _State) -> None:
        pieces: list[tuple[str, Cell | None]] = []
        is_open = True  # nothing but variables that are not known
        for word in command.words[1:]:
            pieces += [(" ", None)] if pieces else []
            for cell in cells(source.text, word.start, word.stop):
                values = Scope(state.variables, frame.arguments).values(cell.text) if cell.is_variable else None
                value = next(iter(values)) if values is not None and len(values) == 1 else UNKNOWN
                if values is None:
                    pieces.append((cell.text, cell))
                elif UNKNOWN in value:
                    pieces += ((character, None) for character in f"${{{cell.text}}}")
                    continue
                else:
                    pieces += ((character, None) for character in value)
                is_open = False
        if is_open:
            self.lost(source, command, frame, f"what eval runs is not known: {_written(source, command)}")
            return
        text = "".join(character for character, _ in pieces)
        try:
            script = self.strings.setdefault((source, command.start, text), string_source(source, pieces))
        except ConfigError as error:
            self.lost(source, command, frame, f"what eval runs is not understood: {error.message}")
            return
        self.block(script, script.block, frame._replace(depth=frame.depth + 1), state)

    # -- variables

    def assign(self, source: Source, command: Command, frame: _Frame, state: _State) -> None:
        words = [word for word in command.words[1:] if command.name in ("set", "export")] or [command.words[0]]
        for word in words:
            name, equals, _ = word.value.partition("=")
            if equals and _NAME.fullmatch(name):
                found = variables.value(source.text, word, Scope(state.variables, frame.arguments))
                values = frozenset(value.partition("=")[2] for value in found)
                state.variables[name] = values
                self.note_setting(source, name, values, word, frame)
        for name in _set_by(command.name, [word.value for word in command.words[1:]]):
            state.variables[name] = frozenset({""}) if command.name == "unset" else NOT_KNOWN

    def note_setting(self, source: Source, name: str, values: Values, word: Word, frame: _Frame) -> None:
        if not frame.page.is_menu or name not in _SETTINGS:
            return
        first = next(iter(values))
        value = first if len(values) == 1 and UNKNOWN not in first else word.value.partition("=")[2]
        # GRUB versions without timeout_style have shown their menu already, behind a `sleep`.
        if not (frame.after_sleep and value == "0"):
            frame.page.settings.append(Assignment(source, name, value, word))

    def load(self, source: Source, command: Command, frame: _Frame, state: _State) -> None:
        words = list(self.operands(source, command.words[1:], frame, state))
        named = words[words.index("-f") + 1 :][:1] if "-f" in words else []
        named += [word.partition("=")[2] for word in words if word.startswith("--file=")]
        prefixes = state.variables.get("prefix", NOT_KNOWN)
        for name in named or [f"{prefix}/grubenv" for prefix in sorted(prefixes)]:
            found = self.find(name)
            try:
                block = environment.facts(self.scripts.read(found) or b"") if found else {}
            except ConfigError:  # GRUB complains and goes on
                block = {}
            state.variables |= {name: frozenset({value, UNKNOWN}) for name, value in block.items()}

    def operands(self, source: Source, words: Sequence[Word], frame: _Frame, state: _State) -> tuple[str, ...]:
        """The words' values: expanded where they are known, else as they are written."""
        found: list[str] = []
        for word in words:
            if not word.is_dynamic:
                found.append(word.value)
                continue
            lists = self.expand(source, [word], frame, state)
            is_known = len(lists) == 1 and not any(UNKNOWN in field.value for field in lists[0])
            found += [field.value for field in lists[0]] if is_known else [word.value]
        return tuple(found)

    def expand(self, source: Source, words: Sequence[Word], frame: _Frame, state: _State) -> list[tuple[Field, ...]]:
        return variables.expand(source.text, words, Scope(state.variables, frame.arguments))

    # -- files

    def lead(self, source: Source, command: Command, frame: _Frame, state: _State) -> None:
        """`source`, `configfile` and the like."""
        words = [word for word in command.words[1:] if not word.value.startswith("--")][:1]
        for fields in self.expand(source, words, frame, state):
            for value in [value for field in fields for value in self.files_or_value(field)]:
                if UNKNOWN in _DEVICE.sub("", value).lstrip(UNKNOWN):
                    self.lost(source, command, frame, f"the file is not known: {_written(source, command)}")
                    continue
                found = self.find(value)
                if found is None and value.startswith(UNKNOWN):
                    self.lost(source, command, frame, f"the file is not known: {_written(source, command)}")
                if found is not None and not _FOREIGN.fullmatch(command.name):
                    self.enter(found, command, frame, state)

    def enter(self, path: str, command: Command, frame: _Frame, state: _State) -> None:
        script = self.script(path)
        if script is None:
            frame.page.in_doubt = True
        elif command.name in _SOURCES:
            self.file(script, frame._replace(depth=frame.depth + 1), state)
        else:
            self.open(script, state, frame.page.switches, by_itself=frame.page.by_itself)
            frame.page.leads_to = frame.page.leads_to or path

    def script(self, path: str) -> Source | None:
        if path not in self.files:
            if len(self.files) >= _MAX_FILES:
                raise _TooLongError
            try:
                self.files[path] = file_source(path, self.scripts.text(path) or "")
            except ConfigError as error:
                self.files[path] = None
                self.problems[Problem(path, error.line or 0, error.message, error.hint or "")] = None
        return self.files[path]

    def files_or_value(self, field: Field) -> list[str]:
        """The files that a pattern names, else the value; not known where the pattern is one of devices."""
        if not field.pattern:
            return [field.value]
        device = _DEVICE.match(field.pattern)
        if UNKNOWN in field.pattern or device is not None:
            pattern = field.pattern[device.end() :] if device else field.pattern
            if UNKNOWN in pattern or not pattern:
                return [UNKNOWN if device is None else f"({UNKNOWN})"]
            return list(self.matches(pattern)) or [f"({UNKNOWN}){UNKNOWN}"]
        return list(self.matches(field.pattern)) or [UNKNOWN]

    def matches(self, pattern: str) -> Iterator[str]:
        """Absolute names, as GRUB would spell them, that match a pattern, in order."""
        for root in self.roots():
            found = [""]
            for part in filter(None, pattern.split("/")):
                found = [
                    f"{folder}/{name}"
                    for folder in found
                    for name in sorted(self.scripts.names(f"{root}{folder}" or "/"))
                    if fnmatchcase(name, part)
                ][:_MAX_FILES]
            if found and found != [""]:
                yield from found
                return

    def find(self, name: str) -> str | None:
        """The file of the tree that GRUB means by a name; devices do not matter: there is one image."""
        name = _DEVICE.sub("", name).lstrip(UNKNOWN)
        if not name.startswith("/") or UNKNOWN in name:
            return None
        for root in self.roots():
            found = self.scripts.spelled(posixpath.normpath(root + name))
            if found is not None and self.scripts.size(found) is not None:
                return found
        return None

    def roots(self) -> Iterator[str]:
        """What GRUB may take for a root: the place of each file system that the start file may be in."""
        folder = posixpath.dirname(self.path)
        while folder not in ("", "/"):
            yield folder
            folder = posixpath.dirname(folder)
        yield ""

    # -- limits and problems

    def limit(self, frame: _Frame) -> None:
        self.count += 1
        if self.count > _MAX_COMMANDS or frame.depth > _MAX_DEPTH:
            raise _TooLongError

    def lost(self, source: Source, command: Command, frame: _Frame, message: str) -> None:
        frame.page.in_doubt = True
        self.problem(source, command.start, message)

    def problem(self, source: Source, offset: int, message: str) -> None:
        hint = "Edit what it leads to by itself, with imgkit edit, or write the name without variables."
        self.problems[Problem(source.file, source.line(offset), message, hint)] = None


def _written(source: Source, command: Command) -> str:
    return " ".join(source.text[command.start : command.stop].split())[:60]


def _set_by(name: str, words: Sequence[str]) -> Iterator[str]:
    """Variables that a command sets to what cannot be known, or unsets."""
    if name in ("unset", "read"):
        yield from words
        return
    for word, behind in pairwise((*words, "")):
        if option := _SET_OPTION.fullmatch(word):
            yield option[1]
        elif word in ("--set", "-s"):
            yield behind.rpartition(":")[2] if _NAME.fullmatch(behind.rpartition(":")[2]) else "root"


def _kernels(steps: Sequence[Step], *, recovery: bool) -> Iterator[Kernel]:
    """The kernels among the commands of an entry, with their words expanded."""
    by_command = {id(step.command): step for step in steps}
    for loader in kernels.loaders_among([step.command for step in steps], recovery=recovery):
        step = by_command[id(loader.command)]
        hypervisor = by_command[id(loader.hypervisor)].operands if loader.hypervisor else None
        options = sum(word.stop <= loader.path.start for word in loader.command.words[1:])
        yield kernel_of(step.source, loader, hypervisor, step.operands[options:])


def kernel_of(
    source: Source, loader: kernels.Loader, hypervisor: tuple[str, ...] | None = None, words: Sequence[str] = ()
) -> Kernel:
    """What a loader loads; `words`, if given, are its path and arguments in expanded form."""
    words = words or [loader.path.value, *(word.value for word in loader.operands)]
    xen = loader.hypervisor.operands if loader.hypervisor else None
    return Kernel(
        file=source.file,
        line=source.line(loader.command.start),
        path=words[0],
        arguments=tuple(words[1:]),
        is_recovery=loader.is_recovery,
        hypervisor=hypervisor or xen,
    )
