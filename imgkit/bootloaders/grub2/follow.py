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
from dataclasses import replace
from typing import TYPE_CHECKING

from imgkit.bootloaders.grub2 import kernels, terminal, variables
from imgkit.bootloaders.grub2.evaluation import SETTINGS, Evaluator
from imgkit.bootloaders.grub2.lookup import Lookup
from imgkit.bootloaders.grub2.menus import Anchor, Entry, Journey, Menu, Page, Problem, Step
from imgkit.bootloaders.grub2.script import Command, Function, If, Loop, commands
from imgkit.bootloaders.grub2.source import Source, file_source, string_source
from imgkit.bootloaders.grub2.state import Frame, Opening, State
from imgkit.bootloaders.grub2.terminal import TERMINAL_COMMANDS, Terminals
from imgkit.bootloaders.grub2.variables import UNKNOWN, Scope
from imgkit.bootloaders.grub2.words import cells
from imgkit.errors import ConfigError
from imgkit.treeedits import TreeEdits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgkit.bootloaders.grub2.lookup import Scripts
    from imgkit.bootloaders.grub2.script import Block, Statement
    from imgkit.bootloaders.grub2.words import Cell

_MAX_COMMANDS = 15_000  # a menu of 200 kernels has 3,000; an edit follows it some ten times
_MAX_FILES = 200
_MAX_DEPTH = 100
_MAX_ROUNDS = 5

_ENTRIES = ("menuentry", "submenu", "hiddenentry")
_SOURCES = ("source", ".", "extract_entries_source")
_OPENERS = ("configfile", "normal", "extract_entries_configfile")
_FOREIGN = re.compile(r"(?:extract_)?(?:legacy|syslinux)_(?:entries_)?(?:source|configfile)")
# Menus of other boot loaders that are looked for under these names, and edited by what knows them.
_FOUND_ANYWAY = ("isolinux.cfg", "syslinux.cfg", "extlinux.conf", "menu.lst", "grub.conf")
_LOADER_ENTRIES = ("blscfg", "blsuki")
# What only GRUB's environment block sets, if there is one.
_SAVED = ("saved_entry", "prev_saved_entry", "next_entry", "boot_once", "recordfail")


def follow(scripts: Scripts, path: str) -> Journey:
    """What the script at `path` leads to. Raises `ConfigError` where that file is no GRUB script."""
    if isinstance(scripts, TreeEdits):
        return scripts.remember(("grub2", path), _Walker(scripts, path).journey)
    return _Walker(scripts, path).journey()


class _TooLongError(Exception):
    """The script leads further than anything that is meant to be a menu."""


class _Walker:
    """One journey. Methods named for a statement change the state that they are given, as the statement would."""

    def __init__(self, scripts: Scripts, path: str) -> None:
        self.scripts = scripts
        self.lookup = Lookup(scripts, path)
        self.values = Evaluator(scripts, self.lookup)
        self.path = path
        self.files: dict[str, Source | None] = {}
        self.strings: dict[tuple[Source, int, str], Source] = {}
        self.problems: dict[Problem, None] = {}
        self.menus: list[Menu | None] = []
        self.openings: dict[str, Opening] = {}
        self.again: dict[str, None] = {}

    def journey(self) -> Journey:
        start = file_source(self.path, self.scripts.text(self.path) or "")
        self.files[self.path] = start
        folder = frozenset({posixpath.dirname(self.path)})
        known = dict.fromkeys(("prefix", "config_directory", "cmdpath"), folder)
        known |= dict.fromkeys(_SAVED, frozenset({"", UNKNOWN}))
        self.open(start, State(known, {}, frozenset({Terminals()})), [], by_itself=True)
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

    def open(self, source: Source, state: State, switches: Sequence[Step], *, by_itself: bool) -> None:
        """The menu that starts with a file, once, whichever ways lead to it."""
        opening = self.openings.get(source.file)
        if opening is not None:
            if opening.merge(state, switches, by_itself=by_itself):
                self.again[source.file] = None
            return
        opening = self.openings[source.file] = Opening(state.copy(), list(switches), by_itself, len(self.menus))
        self.menus.append(None)
        self.read(source, opening)

    def read(self, source: Source, opening: Opening) -> None:
        """Have the menu as it is behind an opening."""
        if not source.block:
            return
        page, state = Page(by_itself=opening.by_itself, switches=list(opening.switches)), opening.state.copy()
        for name in SETTINGS:
            state.variables.pop(name, None)
        anchor = Anchor(source, source.block[0])
        frame = Frame(page, (), is_certain=True, anchor=anchor, own_anchor=anchor)
        try:
            for statement in source.block:
                here = Anchor(source, statement)
                self.statement(source, statement, frame._replace(anchor=here, own_anchor=here), state)
            entries, states = self.entries(page, frame, state)
        except _TooLongError:
            self.problem(source, 0, "cannot be followed further")
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

    def entries(self, page: Page, frame: Frame, state: State) -> tuple[tuple[Entry, ...], frozenset[Terminals]]:
        """The entries of a page, and the terminals under which it, or a submenu of it, shows."""
        found, states = [], state.terminals
        for step in page.pending:
            entry, below = self.entry(page, step, frame, state.copy())
            found.append(entry)
            states = terminal.bounded(states | below)
        return tuple(found), states

    def entry(self, page: Page, step: Step, frame: Frame, state: State) -> tuple[Entry, frozenset[Terminals]]:
        title, identifier, arguments = kernels.title_and_id(step.operands)
        inner, inherited = Page(is_menu=False, switches=list(page.switches)), len(page.switches)
        below = frame._replace(page=inner, arguments=arguments, anchor=step.anchor, own_anchor=step.own_anchor)
        below = below._replace(depth=frame.depth + 1)
        self.limit(below)
        self.block(step.source, step.command.block or (), below, state)
        nested, states = self.entries(inner, below, state)
        if nested:
            page.switches += [replace(new, is_certain=False) for new in inner.switches[inherited:]]
        recovery = kernels.is_recovery_entry(step.operands)
        entry = Entry(
            file=step.source.file,
            line=step.line,
            title=title,
            id=identifier,
            is_certain=step.is_certain,
            is_hidden=step.command.name == "hiddenentry",
            kernels=tuple(kernels.kernels_among(inner.commands, recovery=recovery)),
            initrds=tuple(word for each in inner.commands if kernels.is_initrd(each.command) for word in each.operands),
            entries=nested,
            leads_to=inner.leads_to,
        )
        return entry, states if nested else frozenset()

    # -- statements

    def file(self, source: Source, frame: Frame, state: State) -> None:
        for statement in source.block:
            self.statement(source, statement, frame._replace(anchor=Anchor(source, statement)), state)

    def block(self, source: Source, block: Block, frame: Frame, state: State) -> None:
        for statement in block:
            self.statement(source, statement, frame, state)

    def statement(self, source: Source, statement: Statement, frame: Frame, state: State) -> None:
        match statement:
            case Command():
                self.command(source, statement, frame, state)
            case If():
                self.conditional(source, statement, frame, state)
            case Loop():
                self.loop(source, statement, frame, state)
            case Function():
                state.functions[statement.name] = ((source, statement),)

    def conditional(self, source: Source, statement: If, frame: Frame, state: State) -> None:
        ends: list[State] = []
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

    def explore(self, source: Source, block: Block, frame: Frame, state: State) -> None:
        """Follow what does not run as things are, but may when an entry has set a variable and opens the menu again."""
        page, state = Page(is_menu=False), state.copy()
        aside = frame._replace(page=page, is_certain=False)
        self.block(source, block, aside, state)
        self.entries(page, aside, state)

    def verdict(self, source: Source, condition: Block, frame: Frame, state: State) -> bool | None:
        last = condition[-1] if condition else None
        if not isinstance(last, Command):
            return None
        return variables.holds(variables.expand(source.text, last.words, Scope(state.variables, frame.arguments)))

    def loop(self, source: Source, statement: Loop, frame: Frame, state: State) -> None:
        frame = frame._replace(depth=frame.depth + 1)
        if not statement.name:
            self.block(source, statement.condition, frame, state)
            ran = state.copy()
            self.block(source, statement.body, frame._replace(is_certain=False), ran)
            state.become_one_of([state.copy(), ran])
            return
        lists = self.values.expand(source, statement.words, frame, state)
        fields = dict.fromkeys(field for fields in lists for field in fields)
        for field in fields:
            for value in self.lookup.expanded(field):
                is_known = UNKNOWN not in value
                certain = frame._replace(is_certain=frame.is_certain and is_known and len(lists) == 1)
                before = state.copy()
                state.variables[statement.name] = frozenset({value})
                self.block(source, statement.body, certain, state)
                if not is_known:
                    state.become_one_of([before, state.copy()])

    def command(self, source: Source, command: Command, frame: Frame, state: State) -> None:
        self.limit(frame)
        operands = self.values.operands(source, command.words[1:], frame, state)
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
            self.values.load(source, command, frame, state)
        else:
            frame.page.commands.append(step)
            self.values.assign(source, command, frame, state)

    def item(self, step: Step, frame: Frame) -> None:
        """Something that makes the menu show."""
        frame.page.shows = True
        frame.page.first_item = frame.page.first_item or step

    def switch(self, step: Step, frame: Frame, state: State) -> None:
        frame.page.switches.append(step)
        state.terminals = terminal.bounded(
            frozenset(terminal.after(step.command.name, step.operands, each) for each in state.terminals)
        )

    def call(self, source: Source, command: Command, frame: Frame, state: State) -> None:
        definitions = state.functions[command.name]
        calls = self.values.expand(source, command.words[1:], frame, state)
        certain = frame.is_certain and len(definitions) == len(calls) == 1
        for fields in calls:
            for where, function in definitions:
                arguments = tuple(field.value for field in fields)
                inner = frame._replace(arguments=arguments, is_certain=certain, depth=frame.depth + 1)
                self.block(where, function.body, inner, state)

    def evaluate(self, source: Source, command: Command, frame: Frame, state: State) -> None:
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
            self.lost(source, command, frame, f"what eval runs cannot be determined: {_written(source, command)}")
            return
        text = "".join(character for character, _ in pieces)
        self.values.spend(len(text))
        try:
            script = self.strings.setdefault((source, command.start, text), string_source(source, pieces))
        except ConfigError as error:
            self.lost(source, command, frame, f"what eval runs is not understood: {error.message}")
            return
        self.block(script, script.block, frame._replace(depth=frame.depth + 1), state)

    # -- files

    def lead(self, source: Source, command: Command, frame: Frame, state: State) -> None:
        """`source`, `configfile` and the like."""
        words = [word for word in command.words[1:] if not word.value.startswith("--")][:1]
        fields = (field for fields in self.values.expand(source, words, frame, state) for field in fields)
        for name in [name for field in fields for name in self.lookup.expanded(field)]:
            found = self.lookup.find(name)
            if not self.lookup.is_known(name):
                self.lost(source, command, frame, f"the file cannot be determined: {_written(source, command)}")
            elif found is not None and not _FOREIGN.fullmatch(command.name):
                self.enter(found, command, frame, state)
            elif found is not None and posixpath.basename(found).lower() not in _FOUND_ANYWAY:
                self.lost(source, command, frame, f"a menu in another language: {_written(source, command)}")

    def enter(self, path: str, command: Command, frame: Frame, state: State) -> None:
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

    # -- limits and problems

    def limit(self, frame: Frame) -> None:
        self.values.count += 1
        if self.values.count > _MAX_COMMANDS or frame.depth > _MAX_DEPTH:
            raise _TooLongError

    def lost(self, source: Source, command: Command, frame: Frame, message: str) -> None:
        frame.page.in_doubt = True
        self.problem(source, command.start, message)

    def problem(self, source: Source, offset: int, message: str) -> None:
        hint = "Edit what it leads to by itself, with imgkit edit, or write the name without variables."
        self.problems[Problem(source.file, source.line(offset), message, hint)] = None


def _written(source: Source, command: Command) -> str:
    return " ".join(source.text[command.start : command.stop].split())[:60]
