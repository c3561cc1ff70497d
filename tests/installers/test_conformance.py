"""What every installer family's module promises, on media and trees in the structure of real ones, in memory."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import product
from pkgutil import iter_modules

import pytest

from imgkit.configtext import kernelargs
from imgkit.configtext.serial import SerialConsole
from imgkit.errors import UnsupportedError
from imgkit.installers import INSTALLERS, Family, families, family_of, members
from imgkit.installers.commandline import answer_file, installer_arguments
from imgkit.installers.detection import find_installer
from imgkit.installers.recipe import enable
from imgkit.installers.status import status
from imgkit.location.tree import find_tree
from imgkit.tree import apply_changes
from tests.support.memorytree import MemoryTree

CONSOLE = SerialConsole()
CONSOLES = [CONSOLE, SerialConsole("ttyS1", 9600), SerialConsole("hvc0", keep_vga=False)]
PXEBOOT = ("images/pxeboot/vmlinuz", "images/pxeboot/initrd.img")


@dataclass
class Example:
    """One family: a path of its media, files of a tree that describes itself, and kernel and initial RAM disk.

    `words` are what an entry of its media says, and `asks`, where that is not `text`, is what makes it ask in text.
    """

    family: Family
    mark: str
    pair: tuple[str, str] = ("", "")
    described: dict[str, str] = field(default_factory=dict)
    text: str = ""
    words: str = "quiet"
    asks: str = ""
    page: str = "host login: "


EXAMPLES = [
    Example(Family.COREOS, "/coreos/features.json", words="ignition.platform.id=metal"),
    Example(
        Family.SUSE,
        "/media.1/media",
        ("boot/x86_64/loader/linux", "boot/x86_64/loader/initrd"),
        {"media.1/products": "/ openSUSE-Leap 15.6-1\n"},
        text="textmode=1",
        words="splash=silent quiet",
        page=">>> linuxrc 8.0 (Kernel 6.4)",
    ),
    Example(
        Family.UBUNTU,
        "/casper/vmlinuz",
        ("amd64/linux", "amd64/initrd"),
        words="quiet ---",
        page="Continue in rich mode",
    ),
    Example(
        Family.ANACONDA,
        "/images/install.img",
        PXEBOOT,
        {".discinfo": "1700000000.1\nRocky Linux 9\nx86_64\n"},
        text="text",
        words="inst.stage2=hd:LABEL=Rocky quiet",
        asks="inst.text",
        page="Starting installer, one moment...",
    ),
    Example(Family.ARCH, "/arch/version", ("arch/boot/x86_64/vmlinuz-linux", "arch/boot/x86_64/initramfs-linux.img")),
    Example(Family.ALPINE, "/.alpine-release", ("boot/vmlinuz-lts", "boot/initramfs-lts")),
    Example(
        Family.DEBIAN,
        "/.disk/cd_type",
        ("install.amd/vmlinuz", "install.amd/initrd.gz"),
        {".disk/info": 'Debian GNU/Linux 12.5.0 "Bookworm" - Official amd64 NETINST 20240210-11:27\n'},
        words="priority=low --- quiet",
        page="[!!] Select a language",
    ),
]


def of(examples):
    return pytest.mark.parametrize("example", examples, ids=lambda example: str(example.family))


def test_every_module_has_an_example():
    assert [example.family for example in EXAMPLES] == [family for family, _ in members()]
    assert set(INSTALLERS) == set(Family)
    assert set(INSTALLERS.values()) == {module.name for module in iter_modules(families.__path__)}


def test_an_empty_medium_holds_none():
    assert find_installer(MemoryTree({"/readme.txt": "hi"})) is None


@of(EXAMPLES)
def test_a_medium_is_known_by_each_of_its_marks(example):
    assert find_installer(MemoryTree({example.mark: "x"})).family is example.family
    for mark in family_of(example.family).marks:
        found = find_installer(MemoryTree({mark: "[tree]\n" if mark == "/.treeinfo" else "x"}))
        assert (found.family, found.evidence) == (example.family, mark)


@of(EXAMPLES)
def test_it_asks_in_text_and_twice_is_once(example):
    module = family_of(example.family)
    once = module.in_text(kernelargs.split("quiet"))
    assert kernelargs.texts(once) == tuple(filter(None, ("quiet", example.text)))
    assert module.in_text(once) == once
    if example.text:
        assert example.text in " ".join(module.arguments(None, set()))
        assert example.text not in module.arguments(None, {example.text.partition("=")[0]})


@of(EXAMPLES)
@pytest.mark.parametrize(("console", "ends"), [*product(CONSOLES, ["\n"]), (CONSOLE, "\r\n")])
def test_enable_is_what_status_looks_for_and_twice_is_once(example, console, ends):
    entry = f"menuentry 'Install' {{\n\tlinux /vmlinuz {example.words}\n\tinitrd /initrd\n}}\n"
    menu = f"set default=0\nset timeout=5\n{entry}".replace("\n", ends)
    tree = MemoryTree({example.mark: "x", "/boot/grub/grub.cfg": menu})
    assert not status(tree, console).enabled
    apply_changes(tree, enable(tree, console))
    assert status(tree, console).enabled
    after = tree.read("/boot/grub/grub.cfg").decode()
    assert ends == "\n" or "\n" not in after.replace("\r\n", ""), "line ends stay"
    (words,) = [line.split() for line in after.splitlines() if "linux /vmlinuz" in line]
    assert set(example.words.split()) <= set(words), "what the entry said before stays"
    asked = {"text", "inst.text", "textmode=1"} & set(words)
    assert asked == set(filter(None, [example.asks or example.text]))
    assert enable(tree, console) == []


@of(EXAMPLES)
def test_the_first_page_is_known_when_it_comes_and_not_before(example):
    page = family_of(example.family).first_page
    assert re.search(page, example.page)
    assert not re.search(page, "Loading initial RAM disk ...\n[    0.000000] Linux version 6.12.1")


@of([example for example in EXAMPLES if not example.text])
def test_arguments_of_another_familys_installer_tell_where_a_medium_says_nothing(example):
    entry = "menuentry 'Install' {\n\tlinux /vmlinuz inst.stage2=hd:LABEL=Remix\n\tinitrd /initrd\n}\n"
    for marks in ({}, {example.mark: "x"}):
        tree = MemoryTree(marks | {"/boot/grub/grub.cfg": entry})
        apply_changes(tree, enable(tree, CONSOLE))
        assert "inst.text" in tree.read("/boot/grub/grub.cfg").decode().split()


@of([example for example in EXAMPLES if example.pair[0]])
def test_its_trees_are_found(example, tmp_path):
    for path, text in (example.described | dict.fromkeys(example.pair, "x")).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    tree = find_tree(str(tmp_path), architecture="amd64")
    assert (tree.kernel, tree.initrd, tree.architecture) == (*example.pair, "x86_64")
    assert INSTALLERS[tree.family] == INSTALLERS[example.family]
    told = installer_arguments(tree, CONSOLE)
    assert told.endswith("console=tty0 console=ttyS0,115200n8")
    kept = family_of(tree.family).kept_behind
    assert not kept or told.index(kept) < told.index("console=")


@pytest.mark.parametrize("family", INSTALLERS, ids=str)
def test_an_answer_file_is_named_on_the_command_line_or_refused_with_the_way_out(family):
    if not family_of(family).answers:
        with pytest.raises(UnsupportedError, match=str(family)) as caught:
            answer_file(family)
        assert "--inject" in caught.value.hint
        return
    place = answer_file(family)
    told = installer_arguments(family, CONSOLE, answers=place)
    assert place in told
    assert "http://host/answers" in installer_arguments(family, CONSOLE, answers="http://host/answers")
