"""Installers that are damaged, or made to harm: clear refusals only, in bounded time, and what is done is done once."""

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgkit.configtext.checks import CheckKind
from imgkit.configtext.serial import SerialConsole
from imgkit.errors import ConfigError, UnsupportedError
from imgkit.installers.recipe import enable
from imgkit.installers.status import status
from imgkit.tree import apply_changes
from tests.installers.test_installer_coreos import coreos
from tests.support.installers import ANACONDA, ARCH, DEBIAN_GRUB, DEBIAN_ISOLINUX, SUSE_ISOLINUX
from tests.support.memorytree import MemoryTree

CONSOLE = SerialConsole()
TREES = (
    DEBIAN_ISOLINUX,
    DEBIAN_GRUB,
    ARCH,
    coreos(),
    {"/isolinux/isolinux.cfg": ANACONDA, "/.discinfo": "1\nFedora\n"},
    {"/media.1/media": "", "/boot/x86_64/loader/isolinux.cfg": SUSE_ISOLINUX},
)
ENTRY = "menuentry a {\nlinux /vmlinuz\n}\n"
LABEL = "label a\nkernel vmlinuz\n"
# What means something in one of the languages, so that damage is not noise alone.
WORDS = st.sampled_from(
    [
        *("\n", "\0", '"', "'", "{", "}", "$x", "#", "\\", "--- ", " -- ", "console=ttyS0 ", "\r\n", "\xff"),
        *(
            "default install\n",
            "\nmenu default\n",
            "\nmenu begin\n",
            "\nmenu end\n",
            "\nlabel x\n",
            "\nontimeout install\n",
        ),
        *("\ninclude isolinux.cfg\n", "\nconfig menu.cfg\n", "\nui gfxboot\n", "\nui menu.c32\n", "\nserial 1\n"),
        *("\nif true; then\n", "\nfi\n", "\nset default=9\n", "\nterminal_output gfxterm\n", "\nset timeout=-1\n"),
        *(
            "\nsource /boot/grub/grub.cfg\n",
            "\nfunction f {\n",
            "9" * 5000,
            "append\n",
            "\ntimeout 0\n",
            "\nappend -\n",
        ),
    ]
)


@st.composite
def damaged(draw):
    files = {
        path: data.encode() if isinstance(data, str) else data for path, data in draw(st.sampled_from(TREES)).items()
    }
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(sorted(files)))
        data = files[path]
        start = draw(st.integers(0, len(data)))
        stop = draw(st.integers(start, min(len(data), start + 40)))
        middle = draw(st.one_of(WORDS.map(lambda word: word.encode("latin-1")), st.binary(max_size=3)))
        files[path] = data[:start] + middle + data[stop:] if draw(st.booleans()) else data[:start]
    return files


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damaged())
def test_damage_is_refused_clearly_or_mended_once(files):
    tree = MemoryTree(files)
    try:
        changes = enable(tree, CONSOLE)
    except (ConfigError, UnsupportedError):
        return
    apply_changes(tree, changes)
    assert enable(tree, CONSOLE) == []
    found = status(tree, CONSOLE)
    # What cannot be read is named; the rest has the console.
    told = [link for link in found.links if not link.ok]
    assert all(link.kind is CheckKind.LOADER and link.file and link.message for link in told), told


@settings(max_examples=100, deadline=None)
@given(damaged())
def test_the_status_of_damage_is_told_or_refused(files):
    try:
        found = status(MemoryTree(files))
    except ConfigError as error:
        told = error.path
    else:
        told = ""
    if told:
        assert told in files, "a refusal names the file"
        return
    assert found.links
    for link in found.links:
        assert not link.file or link.line <= files[link.file].count(b"\n") + 1


@pytest.mark.parametrize(
    "files",
    [
        # Each file leads to itself, or all lead to all.
        {"/boot/grub/grub.cfg": "source $prefix/grub.cfg\nmenuentry a {\nlinux /v\nsource /boot/grub/grub.cfg\n}\n"},
        {
            f"/boot/grub/{name}.cfg": "".join(f"source /boot/grub/{other}.cfg\n" for other in range(300)) + ENTRY
            for name in ("grub", *range(300))
        },
        {
            f"/isolinux/{name}.cfg": LABEL + "".join(f"label {other}\nconfig {other}.cfg\n" for other in range(99))
            for name in ("isolinux", *range(99))
        },
        {"/boot/grub/grub.cfg": ENTRY * 2_000},
        {f"/loader/entries/{number}.conf": f"linux /v\noptions a={number}\n" for number in range(200)},
    ],
    ids=["itself", "all to all", "configs", "entries", "loader entries"],
)
def test_menus_without_end_end(files):
    started = time.process_time()
    tree = MemoryTree(files)
    apply_changes(tree, enable(tree, CONSOLE))
    assert enable(tree, CONSOLE) == []
    assert time.process_time() - started < 30


def test_more_loader_entries_than_any_medium_has_are_refused():
    files = {f"/loader/entries/{number}.conf": f"linux /v\noptions a={number}\n" for number in range(2_000)}
    with pytest.raises(ConfigError, match=r"^/loader/entries: more than 200 boot loader configurations"):
        enable(MemoryTree(files), CONSOLE)


def test_a_configuration_that_is_no_text_is_refused_by_name():
    for data in (b"\0\0", b"x" * (5 << 20)):
        with pytest.raises(ConfigError, match=r"^/boot/grub/grub\.cfg"):
            enable(MemoryTree({"/boot/grub/grub.cfg": data}), CONSOLE)


@pytest.mark.parametrize("path", ["/boot/grub/grub.cfg", "/isolinux/isolinux.cfg", "/.treeinfo", "/.disk/info"])
def test_files_that_are_too_long_are_not_even_read(path):
    class Long(MemoryTree):
        def read(self, name, /):
            assert name != path
            return super().read(name)

    tree = Long({path: b"x" * (5 << 20), "/EFI/BOOT/grub.cfg": ENTRY})
    if "/." in path:
        assert enable(tree, CONSOLE)
    else:
        with pytest.raises(ConfigError, match=rf"^{path}: too long for what it should be: 5,242,880 bytes"):
            enable(tree, CONSOLE)


def test_submenus_without_end_are_refused():
    with pytest.raises(ConfigError, match=r"^/isolinux/isolinux\.cfg:65: nests submenus deeper than 64"):
        enable(MemoryTree({"/isolinux/isolinux.cfg": "menu begin\n" * 10_000 + "label a\nkernel vmlinuz\n"}), CONSOLE)


@pytest.mark.parametrize(
    ("path", "menu"),
    [
        (
            "/isolinux/isolinux.cfg",
            "serial {0} {0}\ntimeout {0}\nprompt 1\nlabel a\nkernel v\nappend console=ttyS0,{0}\n",
        ),
        ("/boot/grub/grub.cfg", "set default={0}\nset timeout={0}\nserial --unit={0}\nmenuentry a {{\nlinux /v\n}}\n"),
        ("/loader/loader.conf", "timeout {0}\ndefault {0}\n"),
    ],
)
def test_numbers_without_end(path, menu):
    """Python converts no number of more than 4,300 digits."""
    tree = MemoryTree({path: menu.format("9" * 5_000), "/loader/entries/a.conf": "linux /v\noptions a\n"})
    assert not status(tree).enabled
    apply_changes(tree, enable(tree, CONSOLE))
    assert status(tree).enabled
