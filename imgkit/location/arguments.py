"""The kernel command line that starts an installer on a serial console, with or without answers.

Debian: https://www.debian.org/releases/stable/amd64/apbs02 (preseeding), ch05s03 (what the installed system keeps)
Ubuntu: https://canonical-subiquity.readthedocs-hosted.com/en/latest/intro-to-autoinstall.html
Anaconda: https://anaconda-installer.readthedocs.io/en/latest/user-guide/boot-options.html
SUSE: https://en.opensuse.org/SDB:Linuxrc
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from imgkit.configtext import kernelargs
from imgkit.errors import UnsupportedError, UsageError
from imgkit.location.model import InstallTree, TreeFamily

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgkit.configtext.serial import SerialConsole

# Where a person chose how to talk to Anaconda, or where its packages are, that stays.
_MODES = ("text", "cmdline", "vnc", "rdp", "sshd", "graphical")
_SOURCES = ("repo", "stage2", "method")
_KEPT = "---"
_PREFIX_SINCE = {TreeFamily.FEDORA: 17, TreeFamily.RHEL: 7}


def installer_arguments(
    installer: InstallTree | TreeFamily, console: SerialConsole, extra: Sequence[str] = (), *, answers: str = ""
) -> str:
    """The command line of an installer: the console, text mode, where its packages are, and `extra` arguments.

    On Debian's kin the console follows "---": the installer gives that to the system that it installs. The packages'
    place is told only of trees at an address. `answers` is a preseed, kickstart, autoinstall or AutoYaST file: an
    absolute path that `initrd.inject` gave it, or a URL.

    Raises UsageError for an argument with an open quote, UnsupportedError for answers that the installer cannot read.
    """
    tree = installer if isinstance(installer, InstallTree) else None
    family = installer.family if isinstance(installer, InstallTree) else installer
    given = kernelargs.split(" ".join(extra))
    names = {argument.name for argument in given}
    words = [word for word in tree.arguments if word.partition("=")[0] not in names] if tree else []
    words += _answers(family, tree, answers) if answers else []
    match family:
        case TreeFamily.DEBIAN | TreeFamily.UBUNTU:
            arguments = kernelargs.add(kernelargs.new(words), kernelargs.texts(given))
            if _KEPT not in kernelargs.texts(arguments):
                arguments = (*arguments, *kernelargs.new([_KEPT]))
            return kernelargs.join(kernelargs.set_console(arguments, console, installer=True))
        case TreeFamily.FEDORA | TreeFamily.RHEL:
            words += _anaconda(tree, names)
        case TreeFamily.SUSE:
            words += _suse(tree, names)
    arguments = kernelargs.add(kernelargs.new(words), kernelargs.texts(given))
    return kernelargs.join(kernelargs.set_console(arguments, console))


def _anaconda(tree: InstallTree | None, names: set[str]) -> list[str]:
    prefix = _prefix(tree)
    words = [] if names & _either(_MODES) else [f"{prefix}text"]
    place = _address(tree)
    if place and not names & _either(_SOURCES):
        parts = urlsplit(place)
        if parts.scheme == "nfs":
            place = f"nfs:{parts.hostname}:{parts.path}"
        words.insert(0, f"inst.repo={place}" if prefix else f"method={place}")
    return words


def _either(names: Sequence[str]) -> set[str]:
    return {*names, *(f"inst.{name}" for name in names)}


def _prefix(tree: InstallTree | None) -> str:
    """What Anaconda's arguments begin with; releases that did not know the prefix have long had their last day."""
    if tree is None or tree.family not in _PREFIX_SINCE:
        return "inst."
    number = tree.version.partition(".")[0]
    return "" if number.isdigit() and int(number) < _PREFIX_SINCE[tree.family] else "inst."


def _suse(tree: InstallTree | None, names: set[str]) -> list[str]:
    words = [] if "textmode" in names else ["textmode=1"]
    place = _address(tree)
    if place and "install" not in names:
        words.insert(0, f"install={place}")
    return words


def _address(tree: InstallTree | None) -> str:
    """The tree's address, which the installer needs too; "" where it has none, or one with a password or a token.

    A kernel's command line is open to all: those are for `extra`, if somebody wants that.
    """
    if tree is None or "://" not in tree.location or tree.location.startswith("file:"):
        return ""
    parts = urlsplit(tree.location)
    secret = "@" in parts.netloc or (parts.query and parts.scheme != "nfs")
    return "" if secret else parts._replace(query="").geturl()


def _answers(family: TreeFamily, tree: InstallTree | None, answers: str) -> tuple[str, ...]:
    is_url = "://" in answers
    if not (is_url or answers.startswith("/")):
        raise UsageError(
            f"{answers!r} is neither a URL nor an absolute path", hint="Write /preseed.cfg for an injected file."
        )
    if family is TreeFamily.UBUNTU and tree is not None and "casper" in tree.kernel:
        if not is_url:
            raise UnsupportedError(
                "Ubuntu's installer does not look for its answers in the initial RAM disk",
                hint="Serve a folder with user-data and meta-data over HTTP, and give its URL.",
            )
        return ("autoinstall", f"ds=nocloud-net;s={answers.rstrip('/')}/")
    match family:
        case TreeFamily.DEBIAN | TreeFamily.UBUNTU:
            return ("auto=true", "priority=critical", f"preseed/{'url' if is_url else 'file'}={answers}")
        case TreeFamily.FEDORA | TreeFamily.RHEL:
            return (f"{_prefix(tree)}ks={answers if is_url else 'file:' + answers}",)
        case TreeFamily.SUSE:
            return (f"autoyast={answers if is_url else 'file://' + answers}",)
        case TreeFamily.ARCH:
            return (f"script={answers}",)
    raise UnsupportedError(
        f"imgkit does not know how the installer of {family} takes its answers",
        hint="Give --inject FILE, and name the file to the installer with --extra-args.",
    )
