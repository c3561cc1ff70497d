"""grub.cfg: real menus of many systems before and after the edit, checked by grub-script-check."""

import difflib
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgkit.bootloaders.grub2.terminal import Terminals
from imgkit.configtext.serial import SerialConsole
from imgkit.configtext.text import decode
from imgkit.errors import ConfigError
from tests.support import corpus, oracle
from tests.support import grubtext as grubcfg

CONSOLE = SerialConsole()
SERIAL = "serial --unit=0 --speed=115200 --word=8 --parity=no --stop=1"
CONSOLES = [CONSOLE, SerialConsole("ttyS1", 9600, keep_vga=False), SerialConsole("ttyAMA0"), SerialConsole("hvc0")]
BOTH = Terminals(
    frozenset({"serial", "console"}),
    frozenset({"serial", "console"}),
    (("parity", "no"), ("speed", "115200"), ("stop", "1"), ("unit", "0"), ("word", "8")),
)

EDITED = re.compile(r"[+-] *\s*((if )?serial|terminal_(in|out)put|(set )?timeout(_style)?=|linux(16|efi)?\b|module\b)")
# Templates that no GRUB would read: their placeholders stand outside quotes.
TEMPLATES = {"bootcfg/opensuse-installation-images/grub-efi.cfg"}
SUFFIXES = (
    *(".grub2", "grub.cfg", "grub2-bios.cfg", "grub2-efi.cfg", "grub-1.cfg.result", "BOOT.conf", "grub_tftp.cfg"),
    *("loopback.cfg", "BOOT-1.conf.result", "bios-grub.cfg.result", "grub-efi.cfg"),
)
MENUS = sorted(
    name for name in corpus.manifest("bootcfg") if name.startswith("bootcfg/grubby/grub2.") or name.endswith(SUFFIXES)
)


def check(text, tmp_path):
    """GRUB drops carriage returns while it reads a file, its checker does not."""
    script = tmp_path / "grub.cfg"
    script.write_text(text.replace("\r", ""), errors="surrogateescape")
    oracle.run("grub-script-check", script)


def changed_lines(before, after):
    return [line for line in difflib.ndiff(before.split("\n"), after.split("\n")) if line[0] in "+-"]


@pytest.mark.corpus
def test_the_corpus_holds_menus_of_many_systems():
    corpus.path("bootcfg")
    assert len(MENUS) >= 25


@pytest.mark.corpus
@pytest.mark.parametrize("name", [name for name in MENUS if name not in TEMPLATES])
@pytest.mark.parametrize("console", CONSOLES, ids=lambda console: console.port)
@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_real_menus_change_where_they_have_to_and_stay_scripts(name, console, ends, tmp_path):
    before = decode(corpus.content(name)).replace("\n", ends)
    after = grubcfg.enable(before, console, remove=["quiet"], timeout=9)
    check(after, tmp_path)
    assert grubcfg.enable(after, console, remove=["quiet"], timeout=9) is after
    assert before.endswith("\n") == after.endswith("\n")
    assert ("\r\n" in before) == ("\r\n" in after)
    assert "\n" not in after.replace("\r\n", "") or ends == "\n"
    found = grubcfg.facts(after)
    assert found.shows_menu_on(console) or not found.entries
    for kernel in found.kernels:
        if not kernel.is_recovery:
            assert kernel.arguments[-1] == console.kernel_argument() or "---" in kernel.arguments
            assert "quiet" not in kernel.arguments
    for line in changed_lines(before, after):
        assert EDITED.match(line), line


@pytest.mark.corpus
@pytest.mark.parametrize("name", [name for name in MENUS if name not in TEMPLATES])
def test_what_asks_for_no_change_is_the_same_object(name):
    text = decode(corpus.content(name))
    assert grubcfg.edit_arguments(text, lambda arguments, _kernel: arguments, recovery=True) is text


@pytest.mark.parametrize("name", sorted(TEMPLATES))
@pytest.mark.corpus
def test_templates_with_bare_placeholders_are_refused(name):
    with pytest.raises(ConfigError) as caught:
        grubcfg.enable(decode(corpus.content(name)), CONSOLE)
    assert caught.value.line == 11


@pytest.mark.corpus
def test_recovery_entries_of_ubuntu_keep_their_arguments_unless_asked_for():
    text = decode(corpus.content("bootcfg/xen-pygrub/ubuntu-14.04-lts.grub2"))
    normal = grubcfg.facts(grubcfg.enable(text, CONSOLE))
    assert [(kernel.is_recovery, "console=tty0" in kernel.arguments) for kernel in normal.kernels] == [
        (False, True),
        (False, True),
        (True, False),
    ]
    every = grubcfg.facts(grubcfg.enable(text, CONSOLE, recovery=True))
    assert all("console=tty0" in kernel.arguments for kernel in every.kernels)
    # memtest86+ is loaded by linux16, too.
    assert "memtest86+.bin console=ttyS0,115200n8\n" in grubcfg.enable(text, CONSOLE, recovery=True)


@pytest.mark.corpus
def test_facts_of_a_real_menu_name_lines_and_nesting():
    text = decode(corpus.content("bootcfg/xen-pygrub/ubuntu-14.04-lts.grub2"))
    found = grubcfg.facts(text)
    assert [(entry.title, len(entry.entries), len(entry.kernels)) for entry in found.entries] == [
        ("Ubuntu", 0, 1),
        ("Advanced options for Ubuntu", 2, 0),
        ("Memory test (memtest86+)", 0, 0),
        ("Memory test (memtest86+, serial console 115200)", 0, 0),
    ]
    assert found.entries[0].id.startswith("gnulinux-simple-")
    lines = text.split("\n")
    for kernel in found.kernels:
        assert lines[kernel.line - 1].split()[1] == kernel.path
    assert [(step.command.name, step.operands) for step in found.terminals] == [("terminal_output", ("gfxterm",))]
    assert lines[found.terminals[0].line - 1] == "terminal_output gfxterm"
    assert [(setting.name, setting.value) for setting in found.timeouts] == [
        ("timeout", "-1"),
        ("timeout_style", "menu"),
        ("timeout", "5"),
        ("timeout", "5"),
    ]
    assert not found.shows_menu_on(CONSOLE)


@pytest.mark.corpus
def test_xen_takes_the_console_on_the_kernels_module(tmp_path):
    text = decode(corpus.content("bootcfg/xen-pygrub/fedora-16-with-xen.grub2"))
    after = grubcfg.enable(text, CONSOLE)
    xen = [kernel for kernel in grubcfg.facts(after).kernels if kernel.hypervisor is not None]
    assert [kernel.is_recovery for kernel in xen] == [False, True]
    assert xen[0].arguments[-2:] == ("console=tty0", "console=ttyS0,115200n8")
    assert xen[0].hypervisor == ("/xen-4.1.gz", "placeholder")
    # Where Xen itself holds the port, dom0's line to it is hvc0.
    owned = text.replace("xen-4.1.gz placeholder", "xen-4.1.gz placeholder com1=115200,8n1 console=com1,vga")
    after = grubcfg.enable(owned, CONSOLE)
    check(after, tmp_path)
    xen = [kernel for kernel in grubcfg.facts(after).kernels if kernel.hypervisor is not None]
    assert xen[0].arguments[-2:] == ("console=tty0", "console=hvc0")
    assert grubcfg.enable(after, CONSOLE) is after


@pytest.mark.corpus
def test_a_menu_that_is_on_the_line_already_keeps_its_terminals():
    """Arch's ISO adds the terminal `serial` to those in use, if the port is there."""
    text = decode(corpus.content("bootcfg/archiso/baseline/grub/grub.cfg"))
    assert grubcfg.facts(text).shows_menu_on(CONSOLE)
    assert len(changed_lines(text, grubcfg.enable(text, CONSOLE))) == 2
    serial_only = grubcfg.enable(text, SerialConsole(keep_vga=False))
    assert grubcfg.facts(serial_only).shows_menu_on(SerialConsole(keep_vga=False))


THREE = f"{SERIAL}\nterminal_input serial console\nterminal_output serial console\n"
MENU = "menuentry a { b }\n"
GRAPHICAL = f"{SERIAL}\nterminal_input console serial\nterminal_output gfxterm serial\n"
ENTRY = "menuentry a { terminal_output console }\n"
TERMINALS = {
    "generated by Debian": (
        "if loadfont unicode ; then\n  insmod gfxterm\nfi\nterminal_output gfxterm\nset timeout=5\n" + MENU,
        "if loadfont unicode ; then\n  insmod gfxterm\nfi\n" + THREE + "set timeout=5\n" + MENU,
    ),
    "Debian's installer": (
        "if loadfont $font ; then\n  terminal_output gfxterm\nfi\n" + MENU,
        THREE + "if loadfont $font ; then\n  terminal_output serial console\nfi\n" + MENU,
    ),
    "Debian 6": (
        "if terminal_output gfxterm ; then true ; else\n  terminal gfxterm\nfi\n" + MENU,
        THREE + "if terminal_output serial console ; then true ; else\n  terminal serial console\nfi\n" + MENU,
    ),
    "another port": (
        "serial --unit=1 --speed=9600\nterminal_input serial\nterminal_output serial\n" + MENU,
        THREE + MENU,
    ),
    # The terminal `serial` exists behind the command only.
    "input is missing": (
        "serial --speed=115200\nset x=y\nterminal_output console\n" + MENU,
        "serial --speed=115200\nterminal_input serial console\nset x=y\nterminal_output serial console\n" + MENU,
    ),
    "two commands on a line": ("true; " + MENU, "true; " + "; ".join(THREE.splitlines()) + "; " + MENU),
    "no line end at the end": (
        "  menuentry a { b }",
        "".join(f"  {line}\n" for line in THREE.splitlines()) + "  menuentry a { b }",
    ),
    "on both screens already": (GRAPHICAL + MENU, GRAPHICAL + MENU),
    "an entry of its own mind": (THREE + ENTRY, THREE + ENTRY),
    "a stub": ("search --set=root -l x\nconfigfile /grub.cfg\n", "search --set=root -l x\nconfigfile /grub.cfg\n"),
    "loader entries": ("blscfg\n", THREE + "blscfg\n"),
}


@pytest.mark.parametrize(("before", "after"), TERMINALS.values(), ids=TERMINALS)
def test_terminals(before, after, tmp_path):
    assert grubcfg.enable(before, CONSOLE) == after
    assert grubcfg.enable(after, CONSOLE) is after
    check(after, tmp_path)


def test_the_terminals_are_wanted_on_every_path():
    found = grubcfg.facts("if a; then serial --speed=115200; terminal_output serial console; fi\nmenuentry a { b }\n")
    assert len(found.states) == 2
    assert not found.shows_menu_on(CONSOLE)
    # `serial` fails where there is no port, and then GRUB has no such terminal.
    found = grubcfg.facts("terminal_output serial\nterminal_input serial\n")
    assert found.states == {Terminals()}
    found = grubcfg.facts(f"{SERIAL}\nterminal_input serial console\nterminal_output serial console\n")
    assert found.states == {BOTH}


def test_the_terminals_of_a_script_that_takes_one_away_again_stay():
    text = "terminal_output --remove serial\nmenuentry a { linux /v }\n"
    after = grubcfg.enable(text, CONSOLE)
    assert after == text.replace("/v", "/v console=tty0 console=ttyS0,115200n8")
    assert grubcfg.enable(after, CONSOLE) is after
    assert not grubcfg.facts(after).shows_menu_on(CONSOLE)


def test_the_menus_time_is_set_also_after_a_failed_boot_and_where_the_menu_was_hidden():
    before = (
        'if [ "${recordfail}" = 1 ] ; then\n  set timeout=30\nelse\n'
        "  if [ x$feature_timeout_style = xy ] ; then\n    set timeout_style=hidden\n    set timeout=0\n"
        "  elif sleep --interruptible 0 ; then\n    set timeout=0\n  fi\nfi\nmenuentry a { b }\n"
    )
    after = before.replace("timeout=30", "timeout=5").replace(
        "style=hidden\n    set timeout=0", "style=menu\n    set timeout=5"
    )
    assert grubcfg.set_timeout(before, 5) == after
    assert grubcfg.set_timeout(after, 5) is after
    assert grubcfg.set_timeout("menuentry a { b }\n", 5) == "set timeout=5\nmenuentry a { b }\n"
    assert grubcfg.set_timeout("timeout=10\nmenuentry a { b }\n", 5) == "timeout=5\nmenuentry a { b }\n"


BITS = ["if a; then\n", "else\n", "fi\n", "terminal_output gfxterm\n", "terminal_input console\n", f"{SERIAL}\n"]
BITS += ["serial --unit=1\n", "terminal_output serial\n", "terminal_output --append serial\n", "set timeout=3\n", "b\n"]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(BITS), max_size=10), st.sampled_from(CONSOLES))
def test_made_scripts_are_served_on_every_path_or_known_not_to_be(tmp_path, bits, console):
    text = "".join(bits) + "menuentry x {\n  linux /vmlinuz root=/dev/vda1 quiet\n}\n"
    try:
        after = grubcfg.enable(text, console, timeout=4)
    except ConfigError:
        return
    check(after, tmp_path)
    assert grubcfg.facts(after).shows_menu_on(console) or "--append" in text
    assert grubcfg.enable(after, console, timeout=4) is after
    (kernel,) = grubcfg.facts(after).kernels
    assert kernel.arguments == ("root=/dev/vda1", "quiet", *console.kernel_arguments())


@pytest.mark.parametrize(
    ("before", "entry", "after"),
    [
        ('set default="0"\n' + MENU, "Install", "set default=Install\n" + MENU),
        (MENU, "1", "set default=1\n" + MENU),
        ("default=a\ntimeout=3\n" + MENU, "An entry", 'default="An entry"\ntimeout=3\n' + MENU),
        (
            "if x; then set default=a; else set default=b; fi\n",
            "b",
            "if x; then set default=b; else set default=b; fi\n",
        ),
    ],
)
def test_the_default_entry(before, entry, after, tmp_path):
    assert grubcfg.set_default(before, entry) == after
    assert grubcfg.set_default(after, entry) is after
    check(after, tmp_path)


def test_a_time_that_is_set_once_nobody_pressed_a_key_follows():
    text = "if sleep --interruptible 0 ; then\n  timeout=60\nfi\n" + MENU
    assert grubcfg.set_timeout(text, 10) == text.replace("60", "10")
    hidden = "if sleep --interruptible 5 ; then\n  set timeout=0\nfi\n"
    assert hidden in grubcfg.set_timeout(hidden + MENU, 10)


def test_entries_tell_what_they_load_and_whether_they_are_certain():
    text = """menuentry 'a' { linux /v; initrd /gtk/i /j }
if [ x = "$y" ]; then
  menuentry 'b' { configfile /b.cfg }
fi
submenu 'c' { menuentry 'd' { initrdefi /k } }
"""
    found = grubcfg.facts(text)
    assert [(entry.title, entry.initrds, entry.is_certain) for entry in found.entries] == [
        ("a", ("/gtk/i", "/j"), True),
        ("b", (), False),
        ("c", (), True),
    ]
    assert found.entries[2].entries[0].initrds == ("/k",)


def test_an_entry_in_a_condition_is_not_certain():
    text = "menuentry a {\nlinux /v\n}\nif x; then\nmenuentry a {\nlinux /v\n}\nfi\nmenuentry a {\nlinux /v\n}\n"
    assert [entry.is_certain for entry in grubcfg.facts(text).entries] == [True, False, True]
