"""A SYSLINUX menu over several files: what boots by itself, and the edits that change it."""

import pytest

from imgkit.bootloaders.syslinux import config as syslinux
from imgkit.bootloaders.syslinux import includes as syslinuxmenu
from imgkit.configtext.text import decode
from imgkit.errors import ConfigError
from tests.support import corpus

TOP = "default vesamenu.c32\n"
LABELS = "label a\nkernel v\nlabel b\nmenu default\nkernel w\n"


def read(path="/isolinux/isolinux.cfg", **files):
    named = {f"/isolinux/{name}.cfg": text for name, text in files.items()}
    return syslinuxmenu.read(path, named.get)


def default(**files):
    item = syslinuxmenu.default_item(read(**files))
    return item and item.label.name


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"isolinux": "include m.cfg\n" + TOP, "m": LABELS}, "b"),
        ({"isolinux": TOP + "label a\nkernel v\nlabel b\nkernel w\n"}, "a"),
        # Without a menu DEFAULT decides alone, and the last one does, also behind a label.
        ({"isolinux": "default a\n" + LABELS}, "a"),
        ({"isolinux": "default b\nlabel a\ndefault a\nkernel v\nlabel b\nkernel w\n"}, "a"),
        ({"isolinux": LABELS}, None),
        # With a menu that UI names, DEFAULT names a label.
        ({"isolinux": "ui menu.c32\ndefault a\n" + LABELS}, "a"),
        ({"isolinux": "ui menu.c32\n" + LABELS}, "b"),
        # A submenu's default is not the menu's, also where the submenu is in the including file only.
        ({"isolinux": TOP + "label x\nkernel v\nmenu begin\ninclude m.cfg\nmenu end\n", "m": LABELS}, "x"),
        # A submenu that is the page's first line, or has the mark itself, is entered when time is up.
        ({"isolinux": TOP + "menu begin\ninclude m.cfg\nmenu end\nlabel y\nkernel v\n", "m": LABELS}, "b"),
        ({"isolinux": TOP + "label y\nkernel v\nmenu begin\nmenu default\nlabel s\nkernel v\nmenu end\n"}, "s"),
        ({"isolinux": TOP + "label y\nkernel v\ninclude m.cfg More\n", "m": LABELS}, "y"),
        ({"isolinux": TOP + "label y\nkernel v\nmenu begin\nmenu start\nlabel s\nkernel v\nmenu end\n"}, "s"),
        ({"isolinux": "ui menu.c32\ndefault s\nlabel y\nkernel v\nmenu begin\nlabel s\nkernel v\nmenu end\n"}, "s"),
        ({"isolinux": TOP + "label h\nmenu hide\nkernel v\nlabel d\nmenu disable\nkernel v\n" + LABELS}, "b"),
        ({"isolinux": TOP + "label h\nmenu hide\nmenu default\nkernel v\nlabel a\nkernel v\n"}, "a"),
        # A label that is a menu's module shows the same file, and a module may be given another one.
        ({"isolinux": "default m\nlabel m\nkernel menu.c32\nlabel a\nmenu default\nkernel v\n"}, "a"),
        ({"isolinux": "ui vesamenu.c32 m.cfg\n", "m": LABELS}, "b"),
        ({"isolinux": TOP}, None),
        ({"isolinux": TOP + "include missing.cfg\n" + LABELS}, "b"),
        ({"isolinux": TOP + "include isolinux.cfg\n" + LABELS}, "b"),
    ],
)
def test_what_boots_by_default(files, name):
    assert default(**files) == name


def test_names_are_relative_to_the_menu_that_was_started():
    files = {"/i/a.cfg": "include kde/b.cfg\n", "/i/kde/b.cfg": "include kde/c.cfg Title\nlabel x\nconfig /d.cfg\n"}
    files["/i/kde/c.cfg"] = "label l\nkernel v\n"
    menu = syslinuxmenu.read("/i/a.cfg", files.get)
    assert menu.files == ("/i/a.cfg", "/i/kde/b.cfg", "/i/kde/c.cfg")
    assert syslinuxmenu.chains(menu, menu.labelled("x")) == [syslinuxmenu.Chain("/d.cfg", "/i")]
    assert menu.items[0].titles == ("Title",)
    assert [(item.file, item.label.name) for item in menu.items] == [("/i/kde/c.cfg", "l"), ("/i/kde/b.cfg", "x")]


def test_a_setting_behind_a_label_is_the_menus():
    text = "label s\n\tkernel v\n\tappend a\ntimeout 300\nontimeout v a\nmenu autoboot Soon\n"
    found = syslinux.facts(text)
    assert [setting.name for setting in found.settings] == ["timeout", "ontimeout", "menu autoboot"]
    assert syslinux.set_timeout(text, 5) == text.replace("300", "50")
    without = syslinux.remove_directives(text, "ontimeout", "menu autoboot")
    assert without == "label s\n\tkernel v\n\tappend a\ntimeout 300\n"


def test_includes_without_end_are_refused():
    files = {f"f{i}": f"include f{i + 1}.cfg\n" * 3 for i in range(12)} | {"f12": "label a\nkernel v\n"}
    with pytest.raises(ConfigError, match="500 times"):
        read("/isolinux/f0.cfg", **files)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (LABELS, "label a\nmenu default\nkernel v\nlabel b\nkernel w\n"),
        ("label a\r\n\tkernel v\r\nlabel b\r\n", "label a\r\n\tmenu default\r\n\tkernel v\r\nlabel b\r\n"),
        ("label a", "label a\nmenu default"),
        ("label a\nmenu default\nlabel b", "label a\nmenu default\nlabel b"),
    ],
)
def test_the_mark_of_the_default_moves(before, after):
    lines = {label.name: label.line for label in syslinux.facts(before).labels}
    lose = {line for name, line in lines.items() if name == "b"}
    assert syslinux.move_menu_default(before, gain={lines["a"]}, lose=lose) == after
    assert syslinux.move_menu_default(after, gain={1}, lose=()) is after


def test_default_is_renamed_only_where_it_names_the_label():
    text = "default vesamenu.c32\nlabel gui\ndefault gui\nDEFAULT gui x\n"
    assert syslinux.set_default(text, "gui", "i") == "default vesamenu.c32\nlabel gui\ndefault i\nDEFAULT i\n"


def test_a_default_is_added_where_there_is_none():
    assert syslinux.set_default("serial 0\nlabel a\n", "", "a") == "serial 0\ndefault a\nlabel a\n"


def test_names_lead_where_the_tree_spells_them_so():
    files = {"/ISOLINUX/ISOLINUX.CFG": "include txt.cfg\n", "/ISOLINUX/TXT.CFG": LABELS}
    menu = syslinuxmenu.read("/ISOLINUX/ISOLINUX.CFG", files.get, str.upper)
    assert menu.files == tuple(files)


def test_an_error_names_the_file_that_has_it():
    files = {"isolinux": "include m.cfg\n", "m": 'label a\nkernel v\nappend x="y\n'}
    with pytest.raises(ConfigError, match=r"^/isolinux/m\.cfg:3: "):
        read(**files)


def test_submenus_are_bounded():
    with pytest.raises(ConfigError, match="deeper than 64"):
        read(isolinux="menu begin\n" * 65)


def test_old_gfxboot_belongs_to_no_label():
    text = "label a\nkernel v\ngfxboot bootlogo\n"
    assert [setting.name for setting in syslinux.facts(text).settings] == ["gfxboot"]
    assert syslinux.remove_directives(text, "gfxboot") == "label a\nkernel v\n"


@pytest.mark.corpus
def test_debian_6s_menu_with_its_desktops():
    folder = "bootcfg/debian6-i386-cd-tree"

    def text_of(path):
        file = corpus.path(folder + path)
        return decode(file.read_bytes()) if file.is_file() else None

    menu = syslinuxmenu.read("/isolinux/isolinux.cfg", text_of)
    item = syslinuxmenu.default_item(menu)
    assert (item.file, item.label.name, item.menu) == ("/isolinux/txt.cfg", "install", ())
    assert item.label.initrds == ("/install.386/initrd.gz",)
    desktops = [f"/isolinux/{desktop}/prompt.cfg" for desktop in ("kde", "lxde", "xfce")]
    chained = [chain.file for item in menu.items for chain in syslinuxmenu.chains(menu, item)]
    assert chained == [*desktops, "/isolinux/prompt.cfg"]
