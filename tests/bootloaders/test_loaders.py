"""Loader entries, the environment block (against grub-editenv), SYSLINUX, GRUB legacy, and extlinux's generators."""

import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgkit.bootloaders.bls import config as bls
from imgkit.bootloaders.grub2 import environment as grubenv
from imgkit.bootloaders.grub_legacy import config as grublegacy
from imgkit.bootloaders.syslinux import config as syslinux
from imgkit.bootloaders.syslinux import defaults as extlinuxdefaults
from imgkit.bootloaders.syslinux.defaults import ALPINE_EXTLINUX, DEBIAN_EXTLINUX, U_BOOT_MENU
from imgkit.configtext.serial import SerialConsole
from imgkit.configtext.text import Setting, decode
from imgkit.errors import ConfigError
from tests.support import corpus, oracle

CONSOLE = SerialConsole()
OURS = "console=tty0 console=ttyS0,115200n8"
SERIAL_ONLY = SerialConsole(keep_vga=False)


# -- loader entries ----------------------------------------------------------------------------------------------------

ENTRY = "title Fedora (6.5)\nversion 6.5\nlinux /vmlinuz-6.5\ninitrd /initramfs.img\noptions root=/dev/vda2 ro quiet\n"


def test_an_entry_takes_the_console_at_the_end_of_its_options():
    after = bls.enable(ENTRY, CONSOLE, remove=["quiet"])
    assert after == ENTRY.replace("ro quiet", f"ro {OURS}")
    assert bls.enable(after, CONSOLE, remove=["quiet"]) is after
    found = bls.facts(after)
    assert (found.line, found.linux, found.arguments) == (5, "/vmlinuz-6.5", ("root=/dev/vda2", "ro", *OURS.split()))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # The specification joins several lines; the console has to be the last of them all.
        ("linux /v\noptions a quiet\noptions console=ttyS0 b\n", f"linux /v\noptions a\noptions b {OURS}\n"),
        ("linux /v\noptions\n", f"linux /v\noptions {OURS}\n"),
        ("linux /v\noptions   quiet x\n", f"linux /v\noptions   x {OURS}\n"),
        ("linux /v", f"linux /v\noptions {OURS}"),
        ("# c\r\nlinux\t/v\r\noptions a\r\n", f"# c\r\nlinux\t/v\r\noptions a {OURS}\r\n"),
        ("efi /memtest.efi\noptions a\n", "efi /memtest.efi\noptions a\n"),
        ("linux /v\noptions a single\n", "linux /v\noptions a single\n"),
        ("title x (recovery mode)\nlinux /v\noptions a\n", "title x (recovery mode)\nlinux /v\noptions a\n"),
    ],
)
def test_entries(before, after):
    assert bls.enable(before, CONSOLE, remove=["quiet"]) == after
    assert bls.enable(after, CONSOLE, remove=["quiet"]) is after


def test_a_recovery_entry_takes_it_when_asked():
    assert bls.enable("linux /v\noptions a single\n", CONSOLE, recovery=True) == f"linux /v\noptions a single {OURS}\n"


def test_an_entry_whose_variable_brings_the_console_stays():
    text = "linux /v\noptions $kernelopts $tuned_params\n"
    assert bls.facts(text).references == ("kernelopts", "tuned_params")
    assert bls.enable(text, CONSOLE, variables={"kernelopts": f"root=/dev/vda1 {OURS}"}) is text
    with_console = bls.enable(text, CONSOLE, variables={"kernelopts": "root=/dev/vda1"})
    assert with_console == f"linux /v\noptions $kernelopts $tuned_params {OURS}\n"


def test_a_line_that_is_no_field_is_refused():
    with pytest.raises(ConfigError, match="not a field") as caught:
        bls.enable("linux /v\n???\n", CONSOLE)
    assert caught.value.line == 2


@pytest.mark.corpus
def test_archs_entries_and_loader_conf():
    folder = "bootcfg/archiso/releng/efiboot/loader"
    text = decode(corpus.content(f"{folder}/entries/01-archiso-linux.conf"))
    after = bls.enable(text, CONSOLE)
    assert after == text.replace("%ARCHISO_UUID%\n", f"%ARCHISO_UUID% {OURS}\n")
    memtest = decode(corpus.content(f"{folder}/entries/03-archiso-memtest86+x64.conf"))
    assert bls.enable(memtest, CONSOLE) is memtest
    loader = decode(corpus.content(f"{folder}/loader.conf"))
    assert bls.loader_facts(loader)[0] == Setting(1, "timeout", "15")
    assert bls.set_loader_timeout(loader, 7) == loader.replace("timeout 15", "timeout 7")
    assert bls.set_loader_timeout(bls.set_loader_timeout(loader, 7), 7) == bls.set_loader_timeout(loader, 7)
    assert bls.set_loader_timeout("default x\n", 3) == "default x\ntimeout 3\n"
    assert bls.set_loader_value("default\t@saved\n#default y\n", "default", "a.conf") == "default a.conf\n#default y\n"


def test_what_an_installers_kernels_hand_on_stands_behind_the_dashes():
    entry = ENTRY.replace("ro quiet", "ro --- quiet")
    assert bls.enable(entry, CONSOLE, installer=True) == entry.replace("quiet", f"quiet {OURS}")
    menu = "title Install\n\tkernel /vmlinuz -- quiet\n"
    assert f" {OURS} -- quiet\n" in grublegacy.enable(menu, CONSOLE, installer=True)
    assert f"vmlinuz {OURS} -- quiet\n" in grublegacy.enable(menu, CONSOLE)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("root=/dev/vda1 ro quiet\n", f"root=/dev/vda1 ro {OURS}\n"),
        ("root=/dev/vda1", f"root=/dev/vda1 {OURS}"),
        ("# one\nro\nquiet x\n# two\n", f"# one\nro\nx {OURS}\n# two\n"),
        ("", f"{OURS}\n"),
        ("# root=/dev/vda1", f"# root=/dev/vda1\n{OURS}"),
    ],
)
def test_the_command_line_of_kernel_install(before, after):
    assert bls.enable_cmdline(before, CONSOLE, remove=["quiet"]) == after
    assert bls.enable_cmdline(after, CONSOLE, remove=["quiet"]) is after
    assert bls.cmdline_facts(after)[-2:] == tuple(OURS.split())


# -- the environment block ---------------------------------------------------------------------------------------------


def editenv(path, *args):
    return oracle.run("grub-editenv", path, *args).stdout


NAMES = st.sampled_from(["kernelopts", "saved_entry", "boot_success", "a.b", "x"])
VALUES = st.text(st.sampled_from("ab \\\n#=\"'é$"), max_size=30)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(NAMES, VALUES), max_size=6))
def test_blocks_are_written_as_grub_editenv_writes_them(tmp_path, assignments):
    path = tmp_path / "grubenv"
    path.unlink(missing_ok=True)
    editenv(path, "create")
    block = path.read_bytes()
    for name, value in assignments:
        block = grubenv.set_variable(block, name, value)
        editenv(path, "set", f"{name}={value}")
        assert grubenv.facts(path.read_bytes()) == grubenv.facts(block)
    assert len(block) == 1024
    assert grubenv.facts(block) == dict(assignments)
    # grub-editenv reads our block, and says what it says about its own.
    expected = editenv(path, "list")
    path.write_bytes(block)
    assert sorted(editenv(path, "list").split("\n")) == sorted(expected.split("\n"))


def test_the_console_goes_into_kernelopts(tmp_path):
    path = tmp_path / "grubenv"
    editenv(path, "create")
    editenv(path, "set", "saved_entry=0", "kernelopts=root=/dev/vda1  ro quiet", "boot_success=1")
    before = path.read_bytes()
    after = grubenv.enable(before, CONSOLE, remove=["quiet"])
    assert len(after) == len(before)
    assert grubenv.enable(after, CONSOLE, remove=["quiet"]) is after
    path.write_bytes(after)
    assert f"kernelopts=root=/dev/vda1  ro {OURS}\n" in editenv(path, "list")
    assert editenv(path, "list").startswith("saved_entry=0\n")
    # Without the variable there is nothing to do.
    editenv(path, "unset", "kernelopts")
    block = path.read_bytes()
    assert grubenv.enable(block, CONSOLE) is block


def test_a_block_that_is_full_or_none_is_refused():
    block = grubenv.SIGNATURE + b"a=" + b"x" * 900 + b"\n"
    block += b"#" * (1024 - len(block))
    with pytest.raises(ConfigError, match="no room"):
        grubenv.set_variable(block, "kernelopts", "y" * 100)
    assert len(grubenv.set_variable(block, "a", "y")) == 1024
    for broken in (b"", b"#" * 1024, block.replace(b"a=", b"aa", 1), grubenv.SIGNATURE + b"a=b\\"):
        with pytest.raises(ConfigError):
            grubenv.facts(broken)


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["grubenv.2", "grubenv.3"])
def test_grubbys_blocks(name, tmp_path):
    block = corpus.content(f"bootcfg/grubby/grub2-support_files/{name}")
    path = tmp_path / "grubenv"
    path.write_bytes(block)
    listed = dict(line.split("=", 1) for line in editenv(path, "list").splitlines())
    assert grubenv.facts(block) == listed


# -- SYSLINUX ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "default l\nlabel l\n  kernel v\n  append a quiet\n",
            f"serial 0 115200\ndefault l\nlabel l\n  kernel v\n  append a {OURS}\n",
        ),
        ("LABEL l\n\tLINUX v\n\tINITRD i\n", f"serial 0 115200\nLABEL l\n\tLINUX v\n\tappend {OURS}\n\tINITRD i\n"),
        ("serial 0 9600\nappend quiet\nlabel l\nkernel v\n", f"serial 0 115200\nappend {OURS}\nlabel l\nkernel v\n"),
        (
            "append a\nlabel l\nkernel v\nappend -\n",
            f"serial 0 115200\nappend a {OURS}\nlabel l\nkernel v\nappend {OURS}\n",
        ),
        (
            "# c\n\nprompt 0\nserial 0 115200\nlabel l\nkernel v\nappend " + OURS,
            f"# c\n\nserial 0 115200\nprompt 0\nlabel l\nkernel v\nappend {OURS}",
        ),
        ("label l\nkernel v\nappend a single\n", "serial 0 115200\nlabel l\nkernel v\nappend a single\n"),
        ("label l\ncom32 chain.c32\nappend hd0\n", "serial 0 115200\nlabel l\ncom32 chain.c32\nappend hd0\n"),
        ("label m\nkernel /install/mt86plus\n", "serial 0 115200\nlabel m\nkernel /install/mt86plus\n"),
        ("label l\r\nkernel v\r\nappend a\r\n", f"serial 0 115200\r\nlabel l\r\nkernel v\r\nappend a {OURS}\r\n"),
        (
            "label l\ntext help\nappend quiet\nendtext\nkernel v\nappend a\n",
            f"serial 0 115200\nlabel l\ntext help\nappend quiet\nendtext\nkernel v\nappend a {OURS}\n",
        ),
        ("label l\n linux v\n fdtdir /d\n append a\n", f"label l\n linux v\n fdtdir /d\n append a {OURS}\n"),
        ("# only a comment", "# only a comment\nserial 0 115200"),
        ("console 0\nlabel l\nlocalboot 0\n", "serial 0 115200\nconsole 1\nlabel l\nlocalboot 0\n"),
    ],
)
def test_menus_of_syslinux(before, after):
    assert syslinux.enable(before, CONSOLE, remove=["quiet"]) == after
    assert syslinux.enable(after, CONSOLE, remove=["quiet"]) is after
    assert syslinux.facts(after).shows_menu_on(CONSOLE)


def test_the_vga_console_of_syslinux_goes_when_it_is_not_kept():
    after = syslinux.enable("prompt 0\n", SERIAL_ONLY)
    assert after == "serial 0 115200\nconsole 0\nprompt 0\n"
    assert syslinux.enable(after, SERIAL_ONLY) is after


def test_time_counts_in_tenths_and_never_stops_at_zero():
    assert syslinux.set_timeout("timeout 0\nlabel l\nkernel v\n", 10) == "timeout 100\nlabel l\nkernel v\n"
    assert syslinux.set_timeout("timeout 0\n", 0) == "timeout 1\n"
    assert syslinux.set_timeout("serial 0\nprompt 0\n", 1) == "serial 0\ntimeout 10\nprompt 0\n"
    assert syslinux.set_timeout("prompt 0\n", 1, add=False) == "prompt 0\n"
    text = "timeout 300\nontimeout speech\nlabel l\nmenu label a\n"
    assert syslinux.remove_directives(text, "ontimeout") == "timeout 300\nlabel l\nmenu label a\n"


def test_included_files_get_arguments_only_and_installers_hand_them_on():
    text = "label i\nkernel v\nappend vga=788 initrd=i --- quiet \n"
    after = syslinux.enable(text, CONSOLE, included=True, remove=["vga"], installer=True)
    assert after == f"label i\nkernel v\nappend initrd=i --- quiet {OURS} \n"
    old = "label i\nkernel v\nappend initrd=i -- quiet\n"
    assert f" {OURS} -- quiet\n" in syslinux.enable(old, CONSOLE, included=True, installer=True)
    assert f"initrd=i {OURS} -- quiet\n" in syslinux.enable(old, CONSOLE, included=True)


@pytest.mark.corpus
def test_facts_of_debians_and_fedoras_menus():
    top = syslinux.facts(decode(corpus.content("bootcfg/debian6-i386-cd-tree/isolinux/isolinux.cfg")))
    assert [setting.value for setting in top.includes] == ["menu.cfg"]
    assert top.last("timeout").value == "0"
    install = syslinux.facts(decode(corpus.content("bootcfg/debian6-i386-cd-tree/isolinux/txt.cfg")))
    (label,) = install.labels
    assert (label.name, label.title, label.is_linux, label.line, label.append_line) == (
        "install",
        "Install",
        True,
        2,
        6,
    )
    assert label.arguments == ("vga=788", "initrd=/install.386/initrd.gz", "--", "quiet")
    fedora = syslinux.facts(decode(corpus.content("bootcfg/lorax-mkksiso/isolinux.cfg.result")))
    assert [label.name for label in fedora.labels] == ["linux", "check", "basic", "rescue", "local", "returntomain"]
    assert [label.name for label in fedora.labels if label.is_default] == ["check"]
    assert [label.is_linux for label in fedora.labels] == [True] * 4 + [False] * 2


def test_a_file_of_another_kind_is_refused():
    with pytest.raises(ConfigError, match="no line is a directive"):
        syslinux.enable("id:2:initdefault:\n", CONSOLE)


# -- GRUB legacy -------------------------------------------------------------------------------------------------------


def test_a_menu_of_grub_legacy():
    before = (
        "default=0\ntimeout=5\nsplashimage=(hd0,0)/grub/splash.xpm.gz\n"
        "title A\n\troot (hd0,0)\n\tkernel /vmlinuz ro quiet\ntitle A (recovery mode)\n\tkernel /vmlinuz ro single\n"
        "title Xen\n\tkernel /xen.gz\n\tmodule /vmlinuz ro\n\tmodule /initrd\ntitle memtest\n\tkernel /memtest86+.bin\n"
    )
    after = grublegacy.enable(before, CONSOLE, remove=["quiet"], timeout=9)
    assert after == (
        "serial --unit=0 --speed=115200 --word=8 --parity=no --stop=1\nterminal --timeout=5 serial console\n"
        "default=0\ntimeout=9\n#splashimage=(hd0,0)/grub/splash.xpm.gz\n"
        f"title A\n\troot (hd0,0)\n\tkernel /vmlinuz ro {OURS}\ntitle A (recovery mode)\n\tkernel /vmlinuz ro single\n"
        f"title Xen\n\tkernel /xen.gz\n\tmodule /vmlinuz ro {OURS}\n\tmodule /initrd\n"
        "title memtest\n\tkernel /memtest86+.bin\n"
    )
    assert grublegacy.enable(after, CONSOLE, remove=["quiet"], timeout=9) is after
    found = grublegacy.facts(after)
    assert found.shows_menu_on(CONSOLE)
    assert not grublegacy.facts(before).shows_menu_on(CONSOLE)
    assert [(kernel.line, kernel.is_recovery) for kernel in found.kernels] == [(8, False), (10, True), (13, False)]
    assert grublegacy.enable(before, CONSOLE, recovery=True).count("console=ttyS0") == 3


def test_debians_settings_in_comments_outlive_update_grub():
    text = "### BEGIN AUTOMAGIC KERNELS LIST\n## defoptions=x\n# kopt=root=/dev/sda1 ro\n# defoptions=quiet\n"
    after = grublegacy.enable(text, CONSOLE, remove=["quiet"])
    assert after.startswith(text.replace("# defoptions=quiet", f"# defoptions={OURS}"))
    every = grublegacy.enable(text, CONSOLE, recovery=True)
    assert f"# kopt=root=/dev/sda1 ro {OURS}\n# defoptions=quiet\n" in every


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["augeasproviders_grub/grub/broken", "augeasproviders_grub/grub2/broken"])
def test_broken_files_are_refused_with_their_line(name):
    text = decode(corpus.content(f"bootcfg/{name}"))
    with pytest.raises(ConfigError, match="not a command of GRUB Legacy") as caught:
        grublegacy.enable(text, CONSOLE)
    assert text.split("\n")[caught.value.line - 1].startswith(("{{{", "GRUB_TIMEOUT ="))


# -- what generators of extlinux.conf read -----------------------------------------------------------------------------


def shell_value(text, name, tmp_path):
    """As u-boot-update and update-extlinux read their file."""
    path = tmp_path / "settings"
    path.write_text(text)
    script = f'. "$1"; printf %s "${{{name}}}"'
    return subprocess.run(
        [oracle.find("dash"), "-c", script, "sh", path], capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize(
    ("generator", "text", "arguments"),
    [
        (U_BOOT_MENU, '#U_BOOT_PARAMETERS="ro quiet"\n#U_BOOT_TIMEOUT="50"\n', f"ro {OURS}"),
        (U_BOOT_MENU, "", f"ro {OURS}"),
        (U_BOOT_MENU, 'U_BOOT_PARAMETERS="rw x"\n', f"rw x {OURS}"),
        (U_BOOT_MENU, 'U_BOOT_PARAMETERS=""\n', f"ro {OURS}"),
        (DEBIAN_EXTLINUX, 'EXTLINUX_PARAMETERS="ro quiet"\nEXTLINUX_TIMEOUT="50"\n', f"ro {OURS}"),
        (ALPINE_EXTLINUX, "default_kernel_opts=quiet\ntimeout=1\nserial_port=\nserial_baud=115200\n", OURS),
    ],
)
def test_generators_of_extlinux_keep_the_console(generator, text, arguments, tmp_path):
    assert not extlinuxdefaults.facts(text, generator).keeps_console(CONSOLE)
    after = extlinuxdefaults.enable(text, generator, CONSOLE, remove=["quiet"], timeout=4)
    assert shell_value(after, generator.arguments, tmp_path) == arguments
    assert shell_value(after, generator.timeout, tmp_path) == ("4" if generator is ALPINE_EXTLINUX else "40")
    assert extlinuxdefaults.enable(after, generator, CONSOLE, remove=["quiet"], timeout=4) is after
    assert extlinuxdefaults.facts(after, generator).keeps_console(CONSOLE)
    if generator is ALPINE_EXTLINUX:
        assert "serial_port=0\n" in after


def test_u_boot_menu_takes_the_arguments_of_kernel_install_where_none_are_set():
    text = '#U_BOOT_PARAMETERS="ro quiet"\n'
    assert extlinuxdefaults.enable(text, U_BOOT_MENU, CONSOLE, has_kernel_cmdline=True) is text
    own = 'U_BOOT_PARAMETERS="rw"\n'
    after = extlinuxdefaults.enable(own, U_BOOT_MENU, CONSOLE, has_kernel_cmdline=True)
    assert after == f'U_BOOT_PARAMETERS="rw {OURS}"\n'
    # Debian's older extlinux knows no such file.
    assert OURS in extlinuxdefaults.enable("", DEBIAN_EXTLINUX, CONSOLE, has_kernel_cmdline=True)


def test_a_generators_file_that_takes_it_back_is_refused():
    text = 'U_BOOT_PARAMETERS="ro"\n[ -e /x ] && U_BOOT_PARAMETERS="$(cat /y)"\n'
    after = extlinuxdefaults.enable(text, U_BOOT_MENU, CONSOLE)
    assert after.startswith(text)
    with pytest.raises(ConfigError, match="not closed"):
        extlinuxdefaults.enable('U_BOOT_PARAMETERS="ro\n', U_BOOT_MENU, CONSOLE)


@pytest.mark.parametrize("text", ["-- a\nb=1", "-- a\nb=1\n", "a\n-- b\nc", "# c\n-- a\r\nb\n", "\n\n-- x\n"])
def test_a_command_line_of_several_lines_is_one_line_to_the_kernel(text):
    once = bls.enable_cmdline(text, CONSOLE)
    assert bls.enable_cmdline(once, CONSOLE) is once
    words = [word for line in once.splitlines() if not line.startswith("#") for word in line.split()]
    assert words.index("--") > words.index(OURS.rsplit(maxsplit=1)[-1])
