"""Putting an answer file on an installer's medium, and telling the menu entries that install of it.

The kind of a file is told by its contents, and has to be that of the medium's family. What an entry has already is
kept; what boots by itself, and when, stays the same entry and the same time.

Preseed: https://www.debian.org/releases/stable/amd64/apb  Kickstart: https://pykickstart.readthedocs.io
AutoYaST: https://doc.opensuse.org/projects/autoyast/  Autoinstall: https://canonical-subiquity.readthedocs-hosted.com
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imgkit import bootloaders as loaders
from imgkit.bootloaders import menus
from imgkit.bootloaders.bootmenu import Behaviour, of_words
from imgkit.configtext import kernelargs
from imgkit.errors import TreeError, UnsupportedError, UsageError
from imgkit.installers import AnswerKind, family_of
from imgkit.installers.detection import find_installer
from imgkit.installers.menufiles import find_menus
from imgkit.treeedits import named

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imgkit.bootloaders.bootmenu import BootMenu, Choice
    from imgkit.configtext.kernelargs import Arguments
    from imgkit.treeedits import TreeEdits

_MAX_TITLES = 6
_MINI = "/.disk/mini-info"  # Debian's mini.iso: the installer of netboot on a CD


_PLACES = {
    AnswerKind.PRESEED: "/preseed.cfg",
    AnswerKind.KICKSTART: "/ks.cfg",
    AnswerKind.AUTOYAST: "/autoinst.xml",
    AnswerKind.AUTOINSTALL: "/nocloud/user-data",
}
_ELSEWHERE = {
    AnswerKind.AGAMA: "Serve it over HTTP, and give inst.auto=URL in the boot menu.",
    AnswerKind.IGNITION: "Use `coreos-installer iso ignition embed -i FILE ISO`.",
}
# In the order in which they tell most.
_SIGNS = (
    (AnswerKind.AUTOYAST, rb"<profile[\s>].*yast"),
    (AnswerKind.IGNITION, rb"\A\s*\{.*\"ignition\"\s*:\s*\{"),
    (AnswerKind.AGAMA, rb"\A\s*(?:local .*)?\{.*\"?(?:product|storage|root|user)\"?\s*:\s*\{"),
    (AnswerKind.AUTOINSTALL, rb"^autoinstall[ \t]*:|\A(?:#[^\n]*\n|\s)*version[ \t]*:[ \t]*1\b"),
    (AnswerKind.PRESEED, rb"^[ \t]*(?:d-i|#_preseed_V1|[\w-]+[ \t]+[\w-]+/[\w/-]+[ \t]+\w+)[ \t\n]"),
    (
        AnswerKind.KICKSTART,
        rb"^(?:%(?:packages|post|pre)\b|(?:autopart|clearpart|rootpw|ostreesetup|zerombr)\b|url[ \t]+--|lang[ \t])",
    ),
)
_CLOUD_CONFIG = b"#cloud-config\n"


@dataclass(frozen=True, slots=True)
class AnswerFile:
    """The contents of an answer file, which may hold passwords, and its kind. Raises UsageError for what is none.

    `meta_data` goes beside an autoinstall file; `replace` says that a file of the same name on the medium may go.
    """

    data: bytes = field(repr=False)
    meta_data: bytes = field(default=b"", repr=False)
    replace: bool = False

    def __post_init__(self) -> None:
        """Refuse what no installer reads."""
        _ = self.kind

    @property
    def kind(self) -> AnswerKind:
        """What it is written for."""
        flags = re.MULTILINE | re.DOTALL
        found = next((kind for kind, sign in _SIGNS if re.search(sign, self.data, flags)), None)
        if found is None:
            raise UsageError(
                "the answer file is neither a preseed, a kickstart, an AutoYaST profile nor an autoinstall file",
                hint="It is detected from the contents: `d-i` lines, kickstart commands, <profile>, `autoinstall:`.",
            )
        return found


def put(edits: TreeEdits, answers: AnswerFile, *, label: str, roots: Sequence[str] = ()) -> Callable[[], None]:
    """Put the file on the medium, and tell the entries of its menus that install.

    `label` is the medium's volume label. The value is called when all edits are made: it has it announced if the medium
    installs by itself. Raises UnsupportedError for a kind that the medium's installer does not read,
    and where no entry installs; TreeError where the file's place is taken.
    """
    kind, installer = answers.kind, find_installer(edits.tree)
    if kind in _ELSEWHERE:
        raise UnsupportedError(f"an {kind} is not supported on an ISO", hint=_ELSEWHERE[kind])
    path = _PLACES[kind]
    words = family_of(installer.family).on_medium(kind, path, label) if installer is not None else ()
    if installer is None or not words:
        what = (
            f"{installer.name or installer.family} does not read"
            if installer
            else "no known installer on this ISO reads"
        )
        raise UnsupportedError(
            f"the file is a {kind}, which {what}", hint="Use an answer file for this distribution's installer."
        )
    if installer.evidence == _MINI:
        raise UnsupportedError(
            "the installer of mini.iso does not mount its own medium",
            hint="Use a netinst ISO, or serve the file over HTTP and give preseed/url=URL in the boot menu.",
        )
    for place, data in _files(answers, path):
        _put(edits, place, data, replace=answers.replace)
    boots = list(find_menus(edits, roots))
    for boot in boots:
        with named(boot.path):
            loaders.module_for(boot).edit_arguments(
                edits, boot.path, lambda arguments: _told(arguments, words, kind), recovery=False
            )
    _announce(edits, [choice for menu in menus.all_menus(edits, boots) for choice in menu.choices], words)
    return lambda: _announce_default(edits, menus.all_menus(edits, boots), words)


def _files(answers: AnswerFile, path: str) -> list[tuple[str, bytes]]:
    if answers.kind is not AnswerKind.AUTOINSTALL:
        return [(path, answers.data)]
    is_whole = re.search(rb"^autoinstall[ \t]*:", answers.data, re.MULTILINE)
    indented = b"".join(b"  " + line for line in answers.data.splitlines(keepends=True))
    data = answers.data if is_whole else _CLOUD_CONFIG + b"autoinstall:\n" + indented
    if not data.startswith(b"#cloud-config"):
        data = _CLOUD_CONFIG + data  # cloud-init reads nothing that does not begin so
    return [(path, data), (f"{path.rpartition('/')[0]}/meta-data", answers.meta_data)]


def _put(edits: TreeEdits, path: str, data: bytes, *, replace: bool) -> None:
    if edits.read(path) not in (None, data) and not replace:
        raise TreeError("exists with other contents", path=path, hint="Use --replace to overwrite it.")
    edits.put_bytes(path, data, secret=True)


def _told(arguments: Arguments, words: Sequence[str], kind: AnswerKind) -> Arguments:
    """The arguments of an entry with those of the answers, in front of what the installed system inherits."""
    behaviour = of_words([argument.text for argument in arguments])
    live = behaviour is Behaviour.LIVE and kind is not AnswerKind.AUTOINSTALL
    if not arguments or live or behaviour in (Behaviour.RESCUE, Behaviour.CHECK):
        return arguments
    names = {word.partition("=")[0] for word in words}
    kept = tuple(argument for argument in arguments if argument.name not in names)
    if [a.text for a in arguments if a.name in names] == list(words):
        return arguments
    end = next((at for at, argument in enumerate(kept) if argument.text in ("---", "--")), len(kept))
    return (*kept[:end], *kernelargs.new(words), *kept[end:])


def _announce(edits: TreeEdits, choices: Sequence[Choice], words: Sequence[str]) -> None:
    titles = list(dict.fromkeys(choice.full_title for choice in choices if set(words) <= set(choice.arguments)))
    if not titles:
        raise UnsupportedError(
            "no boot menu entry that starts the installer was found",
            hint="Add the file with `imgkit iso add`, and its argument with `imgkit edit`.",
        )
    more = f" and {len(titles) - _MAX_TITLES} more" if len(titles) > _MAX_TITLES else ""
    shown = ", ".join(repr(title) for title in titles[:_MAX_TITLES])
    edits.announce(f"This medium now ERASES disks without asking, as the answer file says: {shown}{more}.")


def _announce_default(edits: TreeEdits, found: Sequence[BootMenu], words: Sequence[str]) -> None:
    for menu in found:
        if menu.default is not None and set(words) <= set(menu.default.arguments):
            when = "as soon as Enter is pressed" if menu.seconds is None else f"after {menu.seconds:g} seconds"
            edits.announce(f"{menu.file}: {menu.default.full_title!r} is the default, and erases {when}.")
