"""One grub.cfg as a text: edited, and what is known of it; files that it sources are not there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.bootloaders.grub2 import config
from imgkit.bootloaders.grub2.follow import follow
from imgkit.configtext.options import EnableOptions

if TYPE_CHECKING:
    from imgkit.bootloaders.grub2.menus import Assignment, Entry, Kernel, Step
    from imgkit.bootloaders.grub2.terminal import Terminals

PATH = "/boot/grub/grub.cfg"


class OneScript:
    """Scripts of which there is one."""

    def __init__(self, text):
        self.content = text

    def text(self, path):
        return self.content if path == PATH else None

    def read(self, path):
        return self.content.encode(errors="surrogateescape") if path == PATH else None

    def size(self, path):
        return len(self.content) if path == PATH else None

    def spelled(self, path):
        return PATH if path == PATH else None

    def names(self, _folder):
        return []

    def edit(self, path, edit):
        assert path == PATH
        self.content = edit(self.content)


@dataclass
class Facts:
    entries: tuple[Entry, ...]
    kernels: tuple[Kernel, ...]
    terminals: tuple[Step, ...]
    timeouts: list[Assignment]
    states: frozenset[Terminals]
    problems: list[tuple[int, str]]

    def shows_menu_on(self, console):
        return all(state.serve(console) for state in self.states)


def facts(text):
    journey = follow(OneScript(text), PATH)
    menu = journey.menus[0]
    return Facts(
        entries=menu.entries,
        kernels=tuple(config.all_kernels(journey)),
        terminals=menu.switches,
        timeouts=[setting for setting in menu.settings if setting.name != "default"],
        states=menu.states,
        problems=[(problem.line, problem.message) for problem in journey.problems],
    )


def enable(text, console, *, recovery=False, remove=(), timeout=None, installer=False):
    script = OneScript(text)
    options = EnableOptions(recovery=recovery, unwanted=tuple(remove), timeout=timeout, installer=installer)
    if not installer:
        assert options.removed == tuple(remove)
    config.enable(script, PATH, console, options, [PATH])
    return script.content


def edit_arguments(text, edit, *, recovery=False):
    script = OneScript(text)
    config.edit_arguments(script, PATH, edit, recovery=recovery)
    return script.content


def set_default(text, entry):
    return set_variables(text, {"default": entry})


def set_timeout(text, seconds):
    return set_variables(text, {"timeout": str(seconds), "timeout_style": "menu"})


def set_variables(text, wanted):
    script = OneScript(text)
    config.set_variables(script, PATH, wanted)
    return script.content
