"""GRUB menus that lie in several files, in strings, in loops and functions: followed, put on the line, or named."""

from __future__ import annotations

import time

import pytest

from imgkit.bootloaders.grub2 import config, menu
from imgkit.bootloaders.grub2.follow import follow
from imgkit.configtext.checks import CheckKind
from imgkit.configtext.serial import SerialConsole
from imgkit.errors import UnsupportedError
from imgkit.installers.recipe import enable
from imgkit.installers.status import status
from imgkit.tree import apply_changes
from imgkit.treeedits import TreeEdits
from tests.support.installers import ARGUMENTS, CONSOLE, TERMINALS, added_and_removed, enabled, text
from tests.support.memorytree import MemoryTree

GRUB = "/boot/grub/grub.cfg"
LIVE = 'menuentry "Live" {\n  linux /live/vmlinuz boot=live quiet\n  initrd /live/initrd.img\n}\n'
GRAPHICAL = "if loadfont unicode ; then\n  insmod gfxterm\n  terminal_output gfxterm\nfi\n"


def kernels_of(tree):
    """Each kernel's line with all that it is given, by file."""
    lines = [(path, line.strip()) for path, data in tree.files.items() for line in data.decode().splitlines()]
    return [(path, line) for path, line in lines if line.startswith("linux")]


def problems(files, start=GRUB):
    journey = follow(TreeEdits(MemoryTree(files)), start)
    return [(problem.file, problem.line, problem.message) for problem in journey.problems]


WAYS = {
    "source": "source /boot/grub/other.cfg\n",
    "dot": ". $prefix/other.cfg\n",
    "braces": 'source "${prefix}"/other.cfg\n',
    "device": "search --set=root --file /live/vmlinuz\nset prefix=($root)/boot/grub\nsource $prefix/other.cfg\n",
    "configuration's folder": "source ${config_directory}/other.cfg\n",
    "double slashes": "source ($root)//boot/grub//other.cfg\n",
    "dots": "source $prefix/../grub/other.cfg\n",
    "variable": "set name=other\nsource /boot/grub/$name.cfg\n",
    "either branch": "if cpuid -l; then\n  set name=other\nelse\n  set name=none\nfi\nsource /boot/grub/${name}.cfg\n",
    "only one branch sets it": "if cpuid -l; then\n  name=other\nfi\nsource /boot/grub/$name.cfg\n",
    "configfile": "if [ $grub_cpu = i386 ]; then\n  configfile /boot/grub/other.cfg\nfi\n",
    "normal": "normal /boot/grub/other.cfg\n",
    "list": 'for name in other nothing; do\n  source "/boot/grub/$name.cfg"\ndone\n',
    "list in a variable": "set all='nothing other'\nfor name in $all; do source $prefix/$name.cfg; done\n",
    "pattern": "insmod regexp\nfor part in /boot/grub/oth*.cfg; do\n  source $part\ndone\n",
    "pattern behind quotes": 'for part in "${prefix}"/*er.cfg ; do\n  source "$part"\ndone\n',
    "pattern of folders": "for part in /boot/*/other.cfg; do source $part; done\n",
    "function": "function load {\n  source /boot/grub/$1.cfg\n}\nload other\n",
    "function of a function": "function a {\n source $1\n}\nfunction b {\n a /boot/grub/$1.cfg\n}\nb other\n",
    "eval": 'set what=source\neval "$what /boot/grub/other.cfg"\n',
    "expression": 'set x=other_de.cfg\nregexp --set 1:name "(.+)_de.cfg" "$x"\nsource $prefix/$name.cfg\n',
    "submenu": 'submenu "More" {\n  source $prefix/other.cfg\n}\n',
    "entry": 'menuentry "More" {\n  configfile $prefix/other.cfg\n}\n',
    "entry with arguments": 'menuentry "More" other {\n  configfile $prefix/$2.cfg\n}\n',
    "while": "while true; do\n  source $prefix/other.cfg\ndone\n",
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_file_is_found_whichever_way_leads_to_it(way):
    files = {GRUB: "set timeout=5\n" + way, "/boot/grub/other.cfg": GRAPHICAL + LIVE}
    tree = enabled(files)
    assert text(tree, "/boot/grub/other.cfg").endswith(LIVE.replace("quiet", f"quiet {ARGUMENTS}"))
    assert problems(files) == []


UNKNOWN = {
    "no value": (
        "configfile /boot/grub/$target.cfg\n",
        2,
        "the file cannot be determined: configfile /boot/grub/$target.cfg",
    ),
    "read": (
        "read name\nsource /boot/grub/$name.cfg\n",
        3,
        "the file cannot be determined: source /boot/grub/$name.cfg",
    ),
    "probe": (
        "probe -u $root --set=id\nsource /boot/$id.cfg\n",
        3,
        "the file cannot be determined: source /boot/$id.cfg",
    ),
    "eval": ('eval "$script"\n', 2, 'what eval runs cannot be determined: eval "$script"'),
    "syntax": ('eval "menuentry x {"\n', 2, "what eval runs is not understood: GRUB would report a syntax error at '"),
    "in an entry": ("menuentry a {\n  configfile /$b\n}\n", 6, "the file cannot be determined: configfile /$b"),
    "other languages": ("syslinux_configfile $x\n", 2, "the file cannot be determined: syslinux_configfile $x"),
    "of another language": ("legacy_configfile /old.lst\n", 2, "a menu in another language: legacy_configfile /old"),
    "itself": ("function f {\n f\n}\nf\n", 1, "cannot be followed further"),
    "without end": ("source /boot/grub/grub.cfg\n", 1, "cannot be followed further"),
}


@pytest.mark.parametrize(("script", "line", "message"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_cannot_be_followed_is_named_and_the_rest_gets_the_console(script, line, message):
    files = {GRUB: "set timeout=5\n" + script, "/EFI/BOOT/grub.cfg": "set timeout=5\n" + LIVE, "/old.lst": ""}
    tree = MemoryTree(files)
    apply_changes(tree, enable(tree, CONSOLE))
    assert enable(tree, CONSOLE) == []
    found = status(tree, CONSOLE)
    assert not found.enabled
    told, *rest = (check for check in found.links if not check.ok)
    assert (told.kind, told.file, told.line) == (CheckKind.LOADER, GRUB, line)
    assert [(check.file, check.message) for check in rest] in ([], [(GRUB, "has no entry that boots Linux")])
    assert told.message.startswith(message)
    assert told.hint
    assert kernels_of(tree) == [("/EFI/BOOT/grub.cfg", f"linux /live/vmlinuz boot=live quiet {ARGUMENTS}")]


def test_what_is_not_there_is_passed_over_as_grub_does():
    files = {GRUB: "source $prefix/theme.cfg\nfor f in $prefix/*.conf; do source $f; done\n" + LIVE}
    assert problems(files) == []
    assert kernels_of(enabled(files)) == [(GRUB, f"linux /live/vmlinuz boot=live quiet {ARGUMENTS}")]


def test_a_sourced_file_that_does_not_parse_is_named():
    files = {GRUB: "source $prefix/broken.cfg\n" + LIVE, "/boot/grub/broken.cfg": "set a=1\nmenuentry 'x' {{\n"}
    assert problems(files) == [("/boot/grub/broken.cfg", 2, "GRUB would report a syntax error at '{'")]


def test_where_nothing_boots_linux_the_refusal_says_what_was_not_followed():
    with pytest.raises(
        UnsupportedError, match=r"^no .*: /boot/grub/grub\.cfg:2: the file cannot be determined"
    ) as caught:
        enable(MemoryTree({GRUB: "set timeout=5\nconfigfile /boot/$x.cfg\n"}), CONSOLE)
    assert caught.value.hint


# -- strings ----------------------------------------------------------------------------------------------------------

EVALS = {
    "double quotes": (
        "eval \"\nmenuentry 'Live' {\n  linux /v a=$where quiet\n}\n\"\n",
        "eval \"\nmenuentry 'Live' {\n  linux /v a=$where quiet %s\n}\n\"\n",
    ),
    "single quotes": (
        "eval 'menuentry Live { linux /v \"a b\" quiet; }'\n",
        "eval 'menuentry Live { linux /v \"a b\" quiet %s; }'\n",
    ),
    "escapes": (
        'eval "menuentry \\"A \\$b\\" { linux /v x=\\"1 2\\" quiet; }"\n',
        'eval "menuentry \\"A \\$b\\" { linux /v x=\\"1 2\\" quiet %s; }"\n',
    ),
    "the last word is a variable": (
        'set more="quiet x"\neval "menuentry Live {\n linux /v $more\n}"\n',
        'set more="quiet x"\neval "menuentry Live {\n linux /v $more %s\n}"\n',
    ),
    "several words": (
        "eval menuentry Live '{' linux /v quiet ';' '}'\n",
        "eval menuentry Live '{' linux /v quiet\\ console=tty0\\ console=ttyS0,115200n8 ';' '}'\n",
    ),
    "a string in a string": (
        "eval \"eval 'menuentry Live { linux /v quiet; }'\"\n",
        "eval \"eval 'menuentry Live { linux /v quiet %s; }'\"\n",
    ),
    "in a function": (
        "function add {\n  eval \"menuentry '$1' { linux /v quiet; }\"\n}\nadd a\nadd b\n",
        "function add {\n  eval \"menuentry '$1' { linux /v quiet %s; }\"\n}\nadd a\nadd b\n",
    ),
}


@pytest.mark.parametrize(("before", "after"), EVALS.values(), ids=EVALS)
def test_scripts_in_strings_are_edited_inside_their_quotes(before, after):
    files = {GRUB: "set timeout=5\n" + before}
    tree = enabled(files)
    wanted = after.replace("%s", ARGUMENTS)
    assert text(tree, GRUB).replace(TERMINALS, "") == f"set timeout=5\n{wanted}"


def test_kernels_that_a_variable_holds_are_said_to_lack_the_console():
    files = {GRUB: "set entry='menuentry a { linux /v quiet; }'\neval \"$entry\"\n" + LIVE}
    tree = MemoryTree(files)
    apply_changes(tree, enable(tree, CONSOLE))
    (told,) = (check for check in status(tree, CONSOLE).links if not check.ok)
    assert told.kind is CheckKind.KERNEL
    assert "1 of 2 kernels want" in told.message


# -- terminals and settings -------------------------------------------------------------------------------------------


def test_a_theme_that_is_sourced_stays_and_the_menu_has_the_last_word():
    files = {GRUB: "source $prefix/theme.cfg\nset timeout=5\n" + LIVE, "/boot/grub/theme.cfg": GRAPHICAL}
    tree = enabled(files)
    assert text(tree, "/boot/grub/theme.cfg") == GRAPHICAL
    assert f"set timeout=5\n{TERMINALS}menuentry" in text(tree, GRUB)


def test_a_sourced_file_gets_neither_default_nor_timeout_of_its_own():
    installers = (
        'menuentry "Graphical installer" {\n  linux /gtk/vmlinuz vga=788 --- quiet\n  initrd /gtk/initrd.gz\n}\n'
        'menuentry "Text installer" {\n  linux /vmlinuz vga=788 --- quiet\n  initrd /initrd.gz\n}\n'
    )
    files = {GRUB: LIVE + "source /boot/grub/install.cfg\n", "/boot/grub/install.cfg": installers}
    tree = enabled(files)
    assert text(tree, "/boot/grub/install.cfg") == installers.replace("vga=788 ", "").replace(
        "quiet", f"quiet {ARGUMENTS}"
    )
    assert "default" not in text(tree, GRUB)
    assert "timeout" not in text(tree, GRUB)


def test_a_menu_behind_configfile_that_goes_back_to_graphics_is_put_on_the_line():
    files = {
        GRUB: GRAPHICAL + 'menuentry "Advanced" { configfile /boot/grub/advanced.cfg }\n' + LIVE,
        "/boot/grub/advanced.cfg": GRAPHICAL + "set timeout=3\n" + LIVE,
    }
    assert added_and_removed(files, enabled(files))["/boot/grub/advanced.cfg"] == (
        ["  terminal_output gfxterm", "  linux /live/vmlinuz boot=live quiet"],
        ["  terminal_output serial console", f"  linux /live/vmlinuz boot=live quiet {ARGUMENTS}"],
    )
    status_of = status(MemoryTree(files), CONSOLE)
    lacking = {check.file for check in status_of.links if check.kind is CheckKind.LOADER and not check.ok}
    assert lacking == {GRUB, "/boot/grub/advanced.cfg"}


def test_a_submenu_that_goes_back_to_graphics_is_put_on_the_line():
    files = {GRUB: f'submenu "More" {{\n  terminal_output gfxterm\n  {LIVE}}}\n' + LIVE}
    assert "terminal_output gfxterm" not in text(enabled(files), GRUB)


def test_entries_that_choose_a_language_and_open_the_menu_again():
    """What their variables name is followed as well, though it is not what shows first."""
    files = {
        GRUB: 'if [ -z "$lang" ]; then\n  lang=en\n  export lang\nfi\nsource $prefix/$lang.cfg\n'
        'menuentry "Deutsch" {\n  lang=de\n  configfile $prefix/grub.cfg\n}\n'
        'menuentry "Polski" {\n  lang=pl\n  configfile $prefix/grub.cfg\n}\n',
        **{f"/boot/grub/{lang}.cfg": LIVE.replace("quiet", f"lang={lang}") for lang in ("en", "de", "pl")},
    }
    assert sorted(kernels_of(enabled(files))) == [
        (f"/boot/grub/{lang}.cfg", f"linux /live/vmlinuz boot=live lang={lang} {ARGUMENTS}")
        for lang in ("de", "en", "pl")
    ]


# -- what boots by itself ---------------------------------------------------------------------------------------------

PAGES = (
    'menuentry "Live" --id live { linux /v one; }\nmenuentry "Two" { linux /v two; }\n'
    'submenu "More" --id more {\n  menuentry "Deep" --id deep { linux /v deep; }\n'
    '  submenu "A > B" {\n    menuentry "Deeper" { linux /v deeper; }\n  }\n}\n'
)
DEFAULTS = {
    "": "Live",
    "set default=1\n": "Two",
    "set default=2\n": "More>Deep",
    "set default='2>1'\n": "More>A > B>Deeper",
    "set default='2>1>0'\n": "More>A > B>Deeper",
    "set default='more>deep'\n": "More>Deep",
    "set default='More>A >> B>Deeper'\n": "More>A > B>Deeper",
    "set default='more>none'\n": "More>Deep",
    "set default=none\n": "Live",
    "set default=7\n": "Live",
    'set default="${saved_entry}"\n': "Live",
    "set default=1\nset pick=$default\nset default=$pick\n": "Two",
    "default=0\nif [ x = x ]; then default=1; else default=2; fi\n": "Two",
    "source $prefix/vars.cfg\n": "Two",
    'load_env\nset default="${saved_entry}"\n': "Two",
    'load_env\nif [ "${next_entry}" ]; then set default="${next_entry}"; else set default=0; fi\n': "Live",
}


@pytest.mark.parametrize(("setting", "title"), DEFAULTS.items(), ids=DEFAULTS)
def test_the_entry_that_boots_by_itself(setting, title):
    environment = "# GRUB Environment Block\nsaved_entry=Two\n" + "#" * 974
    files = {GRUB: setting + PAGES, "/boot/grub/vars.cfg": "set default=1\n", "/boot/grub/grubenv": environment}
    (found,) = menu.read(TreeEdits(MemoryTree(files)), GRUB)
    assert found.default.full_title == title
    assert found.default.arguments == (title.split(">")[-1].lower().replace("live", "one"),)


def test_a_default_in_the_file_that_is_read_behind_the_menu():
    behind = "if [ -f ${config_directory}/custom.cfg ]; then\n  source ${config_directory}/custom.cfg\nfi\n"
    files = {GRUB: "set default=0\n" + PAGES + behind, "/boot/grub/custom.cfg": "set default=more\nset timeout=9\n"}
    edits = TreeEdits(MemoryTree(files))
    (found,) = menu.read(edits, GRUB)
    assert (found.default.full_title, found.seconds, found.timer) == ("More>Deep", 9, ("/boot/grub/custom.cfg", 2))
    menu.set_default(edits, found, next(choice for choice in found.choices if choice.title == "Two"))
    menu.set_timeout(edits, found, 4)
    assert edits.text("/boot/grub/custom.cfg") == "set default=Two\nset timeout=4\n"
    assert [read.default.title for read in menu.read(edits, GRUB)] == ["Two"]


def test_the_choices_are_those_of_all_pages_and_each_name_means_its_choice():
    edits = TreeEdits(MemoryTree({GRUB: PAGES}))
    (found,) = menu.read(edits, GRUB)
    assert [(choice.full_title, choice.name) for choice in found.choices] == [
        ("Live", "live"),
        ("Two", "Two"),
        ("More", "more"),
        ("More>Deep", "more>deep"),
        ("More>A > B", "more>1"),
        ("More>A > B>Deeper", "more>1>Deeper"),
    ]
    for choice in found.choices:
        if choice.kernel:
            menu.set_default(edits, found, choice)
            assert [read.default.full_title for read in menu.read(edits, GRUB)] == [choice.full_title]


def test_a_default_that_opens_another_menu_is_what_that_one_boots():
    files = {
        GRUB: "set default=1\n" + LIVE + 'menuentry "Installer" { configfile /boot/grub/install.cfg }\n',
        "/boot/grub/install.cfg": "set default=1\n" + LIVE + 'menuentry "Text" { linux /install/vmlinuz; }\n',
    }
    first, second = menu.read(TreeEdits(MemoryTree(files)), GRUB)
    assert (first.default.title, first.default.kernel) == ("Installer", "/install/vmlinuz")
    assert (second.file, second.default.title) == ("/boot/grub/install.cfg", "Text")


# -- Xen --------------------------------------------------------------------------------------------------------------


def test_xen_with_and_without_the_port_in_one_menu():
    entry = (
        "menuentry '{0}' {{\n\tmultiboot2 /boot/xen.gz {1}\n\tmodule2 /boot/image-dom0 ro\n\tmodule2 /install.img\n}}\n"
    )
    files = {GRUB: "set timeout=5\n" + entry.format("a", "com1=9600,8n1") + entry.format("b", "console=vga")}
    assert added_and_removed(files, enabled(files)) == {
        GRUB: (
            [
                "\tmultiboot2 /boot/xen.gz com1=9600,8n1",
                "\tmodule2 /boot/image-dom0 ro",
                "\tmodule2 /boot/image-dom0 ro",
            ],
            [
                *TERMINALS.splitlines(),
                "\tmultiboot2 /boot/xen.gz com1=115200,8n1 console=com1,vga",
                "\tmodule2 /boot/image-dom0 ro console=tty0 console=hvc0",
                "\tmodule2 /boot/image-dom0 ro console=tty0 console=ttyS0,115200n8",
            ],
        )
    }


@pytest.mark.parametrize(
    "command",
    [
        *("linux /boot/vmlinuz-6.8.0", "linux16 /kernel.img", "linuxefi /x.0", "linux --quiet /boot/Image.gz"),
        *("$linux /boot/kernel", "linux$sixteen /bz", "$load /boot/vmlinuz", 'linux "$path"', "linux (loop)/a/b"),
    ],
)
def test_a_kernel_is_found_whatever_it_and_its_command_are_called(command):
    files = {GRUB: f"set timeout=5\nmenuentry 'x' {{\n  {command} ro\n  $more /boot/initrd-linux.img\n}}\n"}
    assert f"{command} ro {ARGUMENTS}\n  $more /boot/initrd-linux.img\n" in text(enabled(files), GRUB)


def test_a_menu_on_another_port_is_one():
    files = {GRUB: f"serial --unit=1 --speed=9600\nterminal_output serial\nterminal_input serial\n{LIVE}"}
    (shown,) = follow(TreeEdits(MemoryTree(files)), GRUB).menus
    assert config.shows_on(shown, SerialConsole("ttyS1", 9600, keep_vga=False))
    assert not config.shows_on(shown, CONSOLE)


# -- scripts made to take long ----------------------------------------------------------------------------------------

MANY = " ".join(map(str, range(300)))
HOSTILE = {
    "loops": f"for a in {MANY}; do for b in {MANY}; do for c in {MANY}; do x=$a$b$c; done; done; done\n",
    "doubled values": "a=xxxxxxxxxx\n" + "a=$a$a\n" * 60,
    "doubled scripts": "a='b;'\n" + "a=$a$a\n" * 18 + 'eval "$a"\n',
    "branches": "".join(f"if x; then v{i}=1; else v{i}=2; fi\n" for i in range(1000)),
    "values of one variable": "".join(f"if x; then v=a{i}; fi\n" for i in range(2000)),
    "products": "".join(f"if x; then v{i}=1; else v{i}=2; fi\n" for i in range(30))
    + f"source /{''.join(f'$v{i}' for i in range(30))}\n",
    "functions": "".join(f"function f{i} {{ f{i + 1}; f{i + 1}; }}\n" for i in range(60)) + "f0\n",
    "recursion": "function f { if x; then f; else f; fi; }\nf\n",
    "definitions": "".join(f"if x; then function f {{ g{i}; }}; fi\n" for i in range(500)) + "f\n" * 500,
    "terminals": "".join(f"if x; then terminal_output a{i}; fi\n" for i in range(1000)) + "menuentry a { linux /v; }\n",
    "submenus": "terminal_output console\n" * 500 + "submenu a { terminal_output b; menuentry c { d; }; }\n" * 500,
    "menus that open themselves": "".join(
        f"menuentry a{i} {{ v=$v{i}; export v; configfile /boot/grub/grub.cfg; }}\n" for i in range(300)
    ),
    "long values": "a='" + "x" * 30_000 + "'\nfor b in $a $a $a; do c=$b$a; done\n",
    "patterns": "for a in /*/*/*/*/*; do for b in /*/*/*/*; do source $a; done; done\n",
    "an expression": f'regexp --set 1:a "(a*)*(a*)*" "{"a" * 200}b"\nregexp --set 1:a "a*a*a*b" "{"a" * 200}"\n',
}


@pytest.mark.parametrize("script", HOSTILE.values(), ids=HOSTILE)
def test_hostile_scripts_are_given_up_soon(script):
    files = {GRUB: script, **{f"/boot/d{i}/e/f{j}": "x=1\n" for i in range(5) for j in range(20)}}
    start = time.process_time()
    follow(TreeEdits(MemoryTree(files)), GRUB)
    assert time.process_time() - start < 10
