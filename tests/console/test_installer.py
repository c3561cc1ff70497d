"""The recipe for installers on each family's menus: what boots by itself, what kernels hear, and twice is once."""

from __future__ import annotations

import difflib

import pytest

from imgkit.bootconfig.serial import SerialConsole
from imgkit.console.installer.medium import Family, find_medium, is_installer
from imgkit.console.installer.recipe import enable
from imgkit.console.installer.status import status
from imgkit.console.model import LinkKind, Wishes
from imgkit.errors import ConfigError, UnsupportedError
from imgkit.tree import apply_changes
from tests.console.memorytree import MemoryTree, files_of_iso
from tests.support import corpus, oracle

CONSOLE = SerialConsole()
ARGUMENTS = "console=tty0 console=ttyS0,115200n8"
TERMINALS = """serial --unit=0 --speed=115200 --word=8 --parity=no --stop=1
terminal_input serial console
terminal_output serial console
"""

# The menu of a Debian 12 netinst in small: the graphical installer first, speech synthesis when time is up, labels
# that are included from inside submenus, and includes that are not there.
DEBIAN_ISOLINUX = {
    "/.disk/cd_type": "not_complete\n",
    "/.disk/info": 'Debian GNU/Linux 12.5.0 "Bookworm" - Official amd64 NETINST with firmware\n',
    "/EFI/boot/bootx64.efi": b"MZ",
    "/isolinux/isolinux.cfg": "# D-I config version 2.0\npath \nprompt 0\ntimeout 0\n"
    "include menu.cfg\ndefault vesamenu.c32\n",
    "/isolinux/menu.cfg": "menu title Debian\ninclude stdmenu.cfg\ninclude gtk.cfg\ninclude txt.cfg\n"
    "menu begin dark\n\tmenu label Dark\n\tinclude drk.cfg\nmenu end\ninclude x86menu.cfg\n"
    "label help\n\tmenu label ^Help\n\ttext help\n   default installgui\n\tendtext\n\tconfig prompt.cfg\n"
    "include spkgtk.cfg\n",
    "/isolinux/gtk.cfg": "default installgui\nlabel installgui\n\tmenu label ^Graphical install\n\tmenu default\n"
    "\tkernel /install.amd/vmlinuz\n\tappend vga=788 initrd=/install.amd/gtk/initrd.gz --- quiet \n",
    "/isolinux/txt.cfg": "label install\n\tmenu label ^Install\n\tkernel /install.amd/vmlinuz\n"
    "\tappend vga=788 initrd=/install.amd/initrd.gz --- quiet \n",
    "/isolinux/drk.cfg": "label installdark\ndefault installdark\n\tmenu default\n\tkernel /install.amd/vmlinuz\n"
    "\tappend vga=788 initrd=/install.amd/initrd.gz theme=dark --- quiet \n",
    "/isolinux/spkgtk.cfg": "label installspk\n\tmenu label Install with ^speech synthesis\n"
    "\tkernel /install.amd/vmlinuz\n"
    "\tappend vga=788 initrd=/install.amd/gtk/initrd.gz speakup.synth=soft --- quiet \n"
    "# timeout to speech-enabled install\ntimeout 300\n"
    "ontimeout /install.amd/vmlinuz vga=788 initrd=/install.amd/gtk/initrd.gz speakup.synth=soft --- quiet \n"
    "menu autoboot Press a key, otherwise speech synthesis will be started in # second{,s}...\n",
    "/isolinux/prompt.cfg": "prompt 1\ndisplay f1.txt\ntimeout 0\ninclude menu.cfg\ninclude exithelp.cfg\n",
}
DEBIAN_GRUB = {
    "/boot/grub/grub.cfg": """if loadfont $prefix/font.pf2 ; then
  set gfxmode=800x600
  insmod gfxterm
  terminal_output gfxterm
fi

play 960 440 1 0 4 440 1
menuentry --hotkey=g 'Graphical install' {
    set background_color=black
    linux    /install.amd/vmlinuz vga=788 --- quiet
    initrd   /install.amd/gtk/initrd.gz
}
menuentry --hotkey=i 'Install' {
    set background_color=black
    linux    /install.amd/vmlinuz vga=788 --- quiet
    initrd   /install.amd/initrd.gz
}
submenu --hotkey=a 'Advanced options ...' {
    menuentry '... Expert install' {
        linux    /install.amd/vmlinuz priority=low vga=788 ---
        initrd   /install.amd/initrd.gz
    }
}
menuentry --hotkey=s 'Install with speech synthesis' {
    linux    /install.amd/vmlinuz vga=788 speakup.synth=soft --- quiet
    initrd   /install.amd/gtk/initrd.gz
}
""",
    "/EFI/debian/grub.cfg": "search --file --set=root /.disk/info\nset prefix=($root)/boot/grub\n"
    "source $prefix/x86_64-efi/grub.cfg\n",
    "/boot/grub/x86_64-efi/grub.cfg": "insmod part_acorn\nsource /boot/grub/grub.cfg\n",
}


def enabled(files, console=CONSOLE, wishes=None, **options):
    """The tree with the changes made, after what has to hold for every installer."""
    tree = MemoryTree(files)
    before = dict(tree.files)
    changes = enable(tree, console, wishes, **options)
    assert tree.files == before, "the recipe itself writes nothing"
    assert all(change.before == before[change.path] for change in changes)
    apply_changes(tree, changes)
    assert enable(tree, console, wishes, **options) == [], "twice is once"
    for wanted in (console, None):
        found = status(tree, wanted, **options)
        assert found.console.port == console.port
        assert found.enabled, [link for link in found.links if not link.ok]
    for link in found.links:
        assert link.line <= tree.read(link.file).count(b"\n") + 1
    for change in changes:
        if "grub" in change.path and change.path.endswith(".cfg"):
            oracle.run("grub-script-check", text_in=change.after.decode())
    return tree


def text(tree, path):
    return tree.read(path).decode()


def added_and_removed(files, tree):
    """The lines that the recipe took out and put in, by file."""
    result = {}
    for path, after in tree.files.items():
        before = files[path].encode() if isinstance(files[path], str) else files[path]
        lines = difflib.ndiff(before.decode().splitlines(), after.decode().splitlines()) if before != after else ()
        marked = [line for line in lines if line[0] in "+-"]
        if marked:
            result[path] = (
                [line[2:] for line in marked if line[0] == "-"],
                [line[2:] for line in marked if line[0] == "+"],
            )
    return result


def missing(files):
    return [(link.kind, link.file) for link in status(MemoryTree(files)).links if not link.ok]


def test_debians_isolinux_menu_changes_in_these_lines_and_no_others():
    tree = enabled(DEBIAN_ISOLINUX)
    speech = DEBIAN_ISOLINUX["/isolinux/spkgtk.cfg"].splitlines()
    assert added_and_removed(DEBIAN_ISOLINUX, tree) == {
        "/isolinux/isolinux.cfg": (["timeout 0"], ["serial 0 115200", "timeout 100"]),
        "/isolinux/gtk.cfg": (
            ["default installgui", "\tmenu default", "\tappend vga=788 initrd=/install.amd/gtk/initrd.gz --- quiet "],
            ["default install", f"\tappend initrd=/install.amd/gtk/initrd.gz --- quiet {ARGUMENTS} "],
        ),
        "/isolinux/txt.cfg": (
            ["\tappend vga=788 initrd=/install.amd/initrd.gz --- quiet "],
            ["\tmenu default", f"\tappend initrd=/install.amd/initrd.gz --- quiet {ARGUMENTS} "],
        ),
        "/isolinux/drk.cfg": (
            ["\tappend vga=788 initrd=/install.amd/initrd.gz theme=dark --- quiet "],
            [f"\tappend initrd=/install.amd/initrd.gz theme=dark --- quiet {ARGUMENTS} "],
        ),
        "/isolinux/spkgtk.cfg": (
            [speech[3], *speech[5:]],
            [f"\tappend initrd=/install.amd/gtk/initrd.gz speakup.synth=soft --- quiet {ARGUMENTS} ", "timeout 100"],
        ),
    }


def test_debians_status_says_that_speech_synthesis_would_start():
    links = status(MemoryTree(DEBIAN_ISOLINUX)).links
    assert {link.kind for link in links if not link.ok} == {LinkKind.LOADER, LinkKind.DEFAULT, LinkKind.KERNEL}
    (default,) = (link for link in links if link.kind is LinkKind.DEFAULT)
    assert (default.file, default.line) == ("/isolinux/spkgtk.cfg", 7)
    assert "speaks instead of showing text" in default.message
    assert "'Install' fits a serial line" in default.message


def test_without_speech_synthesis_it_is_the_graphical_installer():
    silent = DEBIAN_ISOLINUX | {"/isolinux/spkgtk.cfg": "label installspk\n\tkernel /install.amd/vmlinuz\n"}
    (default,) = (link for link in status(MemoryTree(silent)).links if link.kind is LinkKind.DEFAULT)
    assert default.message.startswith("'Graphical install' is the graphical installer")
    assert (LinkKind.TIMEOUT, "/isolinux/isolinux.cfg") in missing(silent)


def test_debians_grub_menu():
    tree = enabled(DEBIAN_ISOLINUX | DEBIAN_GRUB)
    menu = text(tree, "/boot/grub/grub.cfg")
    assert menu.startswith("set default=Install\n") or "set default=Install\n" in menu.split("menuentry")[0]
    assert "set timeout=10\n" in menu.split("menuentry")[0]
    assert TERMINALS in menu
    assert "gfxterm\n" not in menu.replace("insmod gfxterm\n", "")
    assert menu.count(f"quiet {ARGUMENTS}\n") == 3
    assert f"priority=low --- {ARGUMENTS}\n" in menu
    assert "vga=" not in menu
    for stub in ("/EFI/debian/grub.cfg", "/boot/grub/x86_64-efi/grub.cfg"):
        assert text(tree, stub) == DEBIAN_GRUB[stub], "a file that only leads on stays"


def test_line_ends_stay():
    for files in (DEBIAN_ISOLINUX, ARCH):
        text_files = {path: data for path, data in files.items() if isinstance(data, str)}
        plain = enabled(text_files).files
        dos = enabled({path: data.replace("\n", "\r\n") for path, data in text_files.items()}).files
        assert dos == {path: data.replace(b"\n", b"\r\n") for path, data in plain.items()}


def test_wishes():
    wishes = Wishes(quiet_off=True, timeout=3)
    tree = enabled(DEBIAN_ISOLINUX | DEBIAN_GRUB, SerialConsole(port="ttyS1", baud=9600, keep_vga=False), wishes)
    isolinux, menu = text(tree, "/isolinux/isolinux.cfg"), text(tree, "/boot/grub/grub.cfg")
    assert isolinux.splitlines()[1] == "serial 1 9600"
    assert "\ntimeout 30\n" in isolinux
    assert "set timeout=3\n" in menu
    assert "--- console=ttyS1,9600n8\n" in menu
    assert "quiet" not in menu
    assert "terminal_output serial\n" in menu


def test_a_boot_image_that_the_tree_shows_as_a_directory_is_edited_too():
    inside = {
        f"/boot/grub/efi.img{path}": data for path, data in DEBIAN_GRUB.items() if path.startswith("/boot/grub/g")
    }
    tree = enabled({path.replace("efi.img/boot", "efi.img/boot"): data for path, data in inside.items()})
    assert TERMINALS in text(tree, "/boot/grub/efi.img/boot/grub/grub.cfg")


def test_a_root_that_the_caller_names():
    files = {"/esp/EFI/BOOT/grub.cfg": DEBIAN_GRUB["/boot/grub/grub.cfg"], "/install.amd/vmlinuz": b""}
    with pytest.raises(UnsupportedError):
        enable(MemoryTree(files), CONSOLE)
    assert TERMINALS in text(enabled(files, roots=("/esp",)), "/esp/EFI/BOOT/grub.cfg")


def test_names_are_found_in_any_case():
    files = {path.upper(): data for path, data in DEBIAN_ISOLINUX.items()}
    tree = enabled(files)
    assert text(tree, "/ISOLINUX/TXT.CFG").startswith("label install\n\tmenu default\n")


ANACONDA = """default vesamenu.c32
timeout 600
label linux
  menu label ^Install Fedora
  kernel vmlinuz
  append initrd=initrd.img inst.stage2=hd:LABEL=F quiet
label check
  menu default
  kernel vmlinuz
  append initrd=initrd.img inst.stage2=hd:LABEL=F rd.live.check quiet
label vnc
  kernel vmlinuz
  append initrd=initrd.img inst.stage2=hd:LABEL=F inst.vnc
label graphical
  kernel vmlinuz
  append initrd=initrd.img inst.stage2=hd:LABEL=F inst.graphical
label live
  kernel vmlinuz
  append initrd=initrd.img root=live:CDLABEL=F rd.live.image
label memtest
  kernel memtest
label local
  localboot 0xffff
"""


def test_anaconda_asks_in_text_unless_someone_chose_another_way():
    tree = enabled({"/isolinux/isolinux.cfg": ANACONDA, "/.discinfo": "1700000000.1\nFedora 39\nx86_64\n"})
    menu = text(tree, "/isolinux/isolinux.cfg")
    ends = [line.partition(" initrd=initrd.img ")[2] for line in menu.splitlines() if "append" in line]
    assert ends == [
        f"inst.stage2=hd:LABEL=F quiet {ARGUMENTS} inst.text",
        f"inst.stage2=hd:LABEL=F rd.live.check quiet {ARGUMENTS} inst.text",
        f"inst.stage2=hd:LABEL=F inst.vnc {ARGUMENTS}",
        f"inst.stage2=hd:LABEL=F {ARGUMENTS} inst.text",
        f"root=live:CDLABEL=F rd.live.image {ARGUMENTS}",
    ]
    assert "menu default" in menu.split("label check")[1].split("label vnc")[0], "the default was right"


def test_anaconda_before_its_arguments_had_a_prefix():
    menu = "default linux\nprompt 1\ntimeout 600\nlabel linux\n  kernel vmlinuz\n  append initrd=initrd.img\n"
    tree = enabled({"/isolinux/isolinux.cfg": menu, "/.discinfo": "1\nCentOS 6\nx86_64\n"})
    assert text(tree, "/isolinux/isolinux.cfg").endswith(f"append initrd=initrd.img {ARGUMENTS} text\n")


SUSE_ISOLINUX = """default harddisk

# hard disk
label harddisk
  localboot -2

# install
label linux
  kernel linux
  append initrd=initrd splash=silent showopts

label mediachk
  kernel linux
  append initrd=initrd splash=silent mediacheck=1 showopts

ui gfxboot bootlogo message
implicit 1
display message
prompt 1
timeout 600
"""


@pytest.mark.parametrize("gfxboot", ["ui gfxboot bootlogo message", "gfxboot bootlogo", "UI gfxboot.c32 bootlogo"])
def test_opensuse_starts_the_installer_and_shows_a_prompt(gfxboot):
    menu = SUSE_ISOLINUX.replace("ui gfxboot bootlogo message", gfxboot)
    files = {"/media.1/media": "SUSE\n", "/boot/x86_64/loader/isolinux.cfg": menu}
    assert (LinkKind.DEFAULT, "/boot/x86_64/loader/isolinux.cfg") in missing(files)
    tree = enabled(files)
    assert added_and_removed(files, tree)["/boot/x86_64/loader/isolinux.cfg"] == (
        [
            "default harddisk",
            "  append initrd=initrd splash=silent showopts",
            "  append initrd=initrd splash=silent mediacheck=1 showopts",
            gfxboot,
            "timeout 600",
        ],
        [
            "serial 0 115200",
            "default linux",
            f"  append initrd=initrd splash=silent showopts {ARGUMENTS} textmode=1",
            f"  append initrd=initrd splash=silent mediacheck=1 showopts {ARGUMENTS} textmode=1",
            "timeout 100",
        ],
    )


ARCH = {
    "/arch/version": "2024.01.01\n",
    "/boot/syslinux/syslinux.cfg": "DEFAULT select\nLABEL select\nCOM32 whichsys.c32\nAPPEND -pxe- pxe -iso- sys\n"
    "LABEL pxe\nCONFIG archiso_pxe.cfg\nLABEL sys\nCONFIG archiso_sys.cfg\n",
    "/boot/syslinux/archiso_sys.cfg": "INCLUDE archiso_head.cfg\nDEFAULT speech\nTIMEOUT 150\nINCLUDE linux.cfg\n",
    "/boot/syslinux/archiso_head.cfg": "UI vesamenu.c32\nMENU TITLE Arch Linux\n",
    "/boot/syslinux/linux.cfg": "LABEL speech\nLINUX /arch/vmlinuz\nINITRD /arch/initramfs.img\n"
    "APPEND archisobasedir=arch accessibility=on\n"
    "LABEL arch\nLINUX /arch/vmlinuz\nINITRD /arch/initramfs.img\nAPPEND archisobasedir=arch\n",
    "/loader/loader.conf": "timeout 15\ndefault 02-*\nbeep on\n",
    "/loader/entries/01-arch.conf": "title Arch\nlinux /arch/vmlinuz\noptions archisobasedir=arch\n",
    "/loader/entries/02-speech.conf": "title Speech\nlinux /arch/vmlinuz\noptions accessibility=on\n",
    "/loader/entries/03-memtest.conf": "title Memtest86+\nefi /boot/memtest86+/memtest.efi\n",
}


def test_arch_has_three_boot_loaders():
    tree = enabled(ARCH)
    assert text(tree, "/boot/syslinux/syslinux.cfg") == "serial 0 115200\n" + ARCH["/boot/syslinux/syslinux.cfg"]
    assert "DEFAULT arch\nTIMEOUT 100\n" in text(tree, "/boot/syslinux/archiso_sys.cfg")
    assert text(tree, "/boot/syslinux/linux.cfg").endswith(f"\nAPPEND archisobasedir=arch {ARGUMENTS}\n")
    assert text(tree, "/loader/loader.conf") == "timeout 10\ndefault 01-arch.conf\nbeep on\n"
    assert text(tree, "/loader/entries/01-arch.conf").endswith(f"options archisobasedir=arch {ARGUMENTS}\n")
    assert tree.files["/loader/entries/03-memtest.conf"] == ARCH["/loader/entries/03-memtest.conf"].encode()


def test_scripts_that_an_entry_goes_on_with_get_their_kernels_and_nothing_else():
    files = {
        "/boot/grub/grub.cfg": "source /boot/grub/config.cfg\n"
        "menuentry 'Live' {\n\tlinux /live/vmlinuz boot=live --- quiet\n}\n"
        "submenu 'Install' {\n\tsource /boot/grub/install.cfg\n\tconfigfile $prefix/missing.cfg\n}\n",
        "/boot/grub/config.cfg": "set default=0\nloadfont unicode\nterminal_output gfxterm\n",
        "/boot/grub/install.cfg": "menuentry 'Text' {\n\tlinux /install/vmlinuz vga=788 --- quiet\n}\n",
    }
    tree = enabled(files)
    assert text(tree, "/boot/grub/install.cfg") == files["/boot/grub/install.cfg"].replace(
        "vga=788 --- quiet", f"--- quiet {ARGUMENTS}"
    )
    assert text(tree, "/boot/grub/config.cfg") == files["/boot/grub/config.cfg"]
    assert TERMINALS in text(tree, "/boot/grub/grub.cfg")


@pytest.mark.parametrize(
    ("entries", "default"),
    [
        # By id, by title, by number, in this order, whichever is sure to mean one entry.
        ("menuentry 'Gui' {{{gui}}}\nmenuentry 'T' --id t {{{txt}}}\n", "t"),
        ("menuentry 'Gui' {{{gui}}}\nmenuentry 'A > B' {{{txt}}}\n", "1"),
        ('menuentry "Gui" {{{gui}}}\nmenuentry "T $v" {{{txt}}}\n', "1"),
        ("menuentry 'X' {{{gui}}}\nmenuentry 'X' {{{txt}}}\n", "1"),
        ("menuentry 'Gui' {{{gui}}}\nif true; then\nmenuentry \"It's\" {{{txt}}}\nfi\n", '"It\'s"'),
    ],
)
def test_how_grubs_default_is_named(entries, default):
    gui = "\nlinux /v\ninitrd /gtk/initrd.gz\n"
    menu = entries.format(gui=gui, txt="\nlinux /v\ninitrd /initrd.gz\n")
    tree = enabled({"/boot/grub/grub.cfg": menu})
    assert f"set default={default}\n" in text(tree, "/boot/grub/grub.cfg")


def test_a_default_that_fits_stays_and_so_does_one_that_has_no_better():
    for menu in (
        "set default=1\nmenuentry 'a' {\nlinux /v\n}\nmenuentry 'b' {\nlinux /v\n}\n",
        "set default=saved\nmenuentry 'a' {\nlinux /v\ninitrd /gtk/initrd.gz\n}\n",
        "set default=\"${saved_entry}\"\nmenuentry 'a' {\nlinux /v\n}\n",
    ):
        tree = enabled({"/boot/grub/grub.cfg": menu})
        assert text(tree, "/boot/grub/grub.cfg").startswith(menu.splitlines()[0] + "\n")


def test_no_boot_menu_is_refused_and_what_was_found_is_said():
    with pytest.raises(UnsupportedError, match=r"no boot menu .*: /EFI/BOOT/BOOTX64\.EFI, /bootmgr") as caught:
        enable(MemoryTree({"/EFI/BOOT/BOOTX64.EFI": b"MZ", "/bootmgr": b"", "/sources/boot.wim": b""}), CONSOLE)
    assert "console=ttyS0" in caught.value.hint
    with pytest.raises(UnsupportedError, match=r"what was found: docs, setup\.exe"):
        enable(MemoryTree({"/setup.exe": b"MZ", "/docs/a": b""}), CONSOLE)
    assert not status(MemoryTree({"/setup.exe": b"MZ"})).enabled


@pytest.mark.parametrize(
    ("path", "menu"),
    [
        ("/loader/loader.conf", "timeout 3\n"),
        ("/boot/grub/grub.cfg", "menuentry 'x' {\n\tmultiboot /boot/kernel.bin\n}\n"),
        ("/boot/grub/grub.cfg", "menuentry 'Memtest86+' {\n\tlinux /boot/memtest86+.bin\n}\n"),
        ("/isolinux/isolinux.cfg", "label ipxe\n  kernel ipxe.krn\n"),
    ],
)
def test_menus_that_boot_no_linux_are_refused_by_name(path, menu):
    with pytest.raises(UnsupportedError, match=f"^no boot menu boots Linux, .*: {path}$"):
        enable(MemoryTree({path: menu}), CONSOLE)
    assert not status(MemoryTree({path: menu})).enabled


def test_sealed_and_signed_configurations_are_refused_by_name():
    with pytest.raises(UnsupportedError, match=r"/EFI/Linux/arch\.efi is a unified kernel image"):
        enable(MemoryTree({"/EFI/Linux/arch.efi": b"MZ", "/loader/loader.conf": "timeout 3\n"}), CONSOLE)
    with pytest.raises(UnsupportedError, match=r"/boot/grub/grub\.cfg is signed: /boot/grub/grub\.cfg\.sig"):
        enable(MemoryTree(DEBIAN_GRUB | {"/boot/grub/grub.cfg.sig": b"\x88"}), CONSOLE)


def test_a_broken_menu_is_refused_with_its_file_and_line():
    with pytest.raises(ConfigError, match=r"^/boot/grub/grub\.cfg:2: "):
        enable(MemoryTree({"/boot/grub/grub.cfg": "set a=1\nmenuentry 'x' {{\n"}), CONSOLE)
    broken = DEBIAN_ISOLINUX | {"/isolinux/txt.cfg": 'label a\nkernel v\nappend x="y\n'}
    with pytest.raises(ConfigError, match=r"^/isolinux/txt\.cfg:3: "):
        enable(MemoryTree(broken), CONSOLE)


@pytest.mark.parametrize(
    ("files", "family", "evidence", "name", "arch"),
    [
        (DEBIAN_ISOLINUX, Family.DEBIAN, "/.disk/cd_type", DEBIAN_ISOLINUX["/.disk/info"].strip(), "x86_64"),
        (
            {"/casper/vmlinuz": "", "/.disk/info": "Ubuntu 22.04\n"},
            Family.UBUNTU,
            "/casper",
            "Ubuntu 22.04",
            "",
        ),
        ({"/.discinfo": "1\nFedora 39\naarch64\n"}, Family.ANACONDA, "/.discinfo", "Fedora 39", ""),
        (
            {
                "/.treeinfo": "[header]\nname = x\n[general]\nname = openSUSE Leap 15.5\narch = aarch64\n",
                "/media.1/m": "",
            },
            Family.SUSE,
            "/media.1",
            "openSUSE Leap 15.5",
            "aarch64",
        ),
        ({"/ARCH/VERSION": "1\n"}, Family.ARCH, "/ARCH/VERSION", "", ""),
        (
            {"/.alpine-release": "alpine-standard-3.19.1\n"},
            Family.ALPINE,
            "/.alpine-release",
            "alpine-standard-3.19.1",
            "",
        ),
        ({"/coreos/kargs.json": "{}", "/generic.ins": ""}, Family.COREOS, "/coreos", "", "s390x"),
    ],
)
def test_the_family_and_what_gives_it_away(files, family, evidence, name, arch):
    found = find_medium(MemoryTree(files))
    assert (found.family, found.evidence, found.name, found.arch) == (family, evidence, name, arch)


def test_an_installed_system_is_no_installer():
    assert not is_installer(MemoryTree({"/etc/os-release": "ID=debian\n", "/boot/grub/grub.cfg": "", "/usr/bin/x": ""}))


# -- menus of real installers -----------------------------------------------------------------------------------------


def corpus_tree(folder):
    base = corpus.path(folder)
    files = (path for path in base.rglob("*") if path.is_file() and path.stat().st_size < 1 << 20)
    return {f"/{path.relative_to(base)}": path.read_bytes() for path in files}


@pytest.mark.corpus
def test_debian_6():
    tree = enabled(corpus_tree("bootcfg/debian6-i386-cd-tree"))
    assert text(tree, "/isolinux/isolinux.cfg").endswith("\nprompt 0\ntimeout 100\n")
    assert text(tree, "/isolinux/kde/txtdt.cfg").endswith(f"initrd=/install.386/initrd.gz -- quiet {ARGUMENTS} \n")
    assert not any(b"vga=" in data for path, data in tree.files.items() if path.startswith("/isolinux/kde/txtdt"))


@pytest.mark.corpus
def test_debian_11_and_12():
    menu = corpus.content("bootcfg/misc/debian11-12-di-menu.grub.cfg").decode().replace("(loop)", "")
    tree = enabled({"/boot/grub/grub.cfg": menu})
    after = text(tree, "/boot/grub/grub.cfg")
    assert after.startswith("set timeout=10\n" + TERMINALS) or "set default=Install\n" in after.split("menuentry")[0]
    assert after.count(ARGUMENTS) == menu.count("vmlinuz")
    assert "vga=" not in after


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["uefi-grub.cfg", "bios-grub.cfg"])
def test_mkksisos_menus(name):
    """mkksiso's rule puts arguments at the end of each kernel's line; so do we, and the rest is what menus need."""
    before = corpus.content(f"bootcfg/lorax-mkksiso/{name}").decode()
    tree = enabled({"/EFI/BOOT/grub.cfg": before, "/.discinfo": "1\nFedora\n"})
    wanted = before.replace(" quiet\n", f" quiet {ARGUMENTS} inst.text\n").replace("timeout=60", "timeout=10")
    wanted = wanted.replace("menuentry 'Install", TERMINALS + "menuentry 'Install", 1)
    assert text(tree, "/EFI/BOOT/grub.cfg") == wanted


@pytest.mark.corpus
def test_what_mkksiso_wrote_puts_the_serial_line_last():
    before = corpus.content("bootcfg/lorax-mkksiso/isolinux.cfg.result").decode()
    tree = enabled({"/isolinux/isolinux.cfg": before, "/.discinfo": "1\nFedora\n"})
    wanted = before.replace(
        " console=ttyS0,115200n8 console=tty1", " console=tty1 console=ttyS0,115200n8 inst.text"
    ).replace("timeout 600", "timeout 100")
    assert text(tree, "/isolinux/isolinux.cfg") == "serial 0 115200\n" + wanted


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("lorax-templates/config_files/x86/grub2-efi.cfg", "/EFI/BOOT/grub.cfg"),
        ("lorax-templates/config_files/x86/grub2-bios.cfg", "/boot/grub2/grub.cfg"),
        ("lorax-templates/config_files/aarch64/grub2-efi.cfg", "/EFI/BOOT/grub.cfg"),
        ("lorax-templates/config_files/x86/isolinux.cfg", "/isolinux/isolinux.cfg"),
        ("lorax-mkksiso/BOOT.conf", "/EFI/BOOT/BOOT.conf"),
        ("archiso/baseline/grub/grub.cfg", "/boot/grub/grub.cfg"),
        ("archiso/baseline/grub/loopback.cfg", "/boot/grub/loopback.cfg"),
        ("misc/debian12-custom-no-eol.iso-grub.cfg", "/boot/grub/grub.cfg"),
        ("misc/ubuntu2204-live-server.iso-grub.cfg", "/boot/grub/grub.cfg"),
        ("misc/slackware.isolinux.cfg", "/isolinux/isolinux.cfg"),
        ("misc/ubuntu1604.isolinux-txt.cfg", "/isolinux/isolinux.cfg"),
        ("misc/ubuntu2004-server-autoinstall.isolinux-txt.cfg", "/isolinux/isolinux.cfg"),
        ("opensuse-installation-images/grub_tftp.cfg", "/boot/grub2/grub.cfg"),
    ],
)
def test_other_real_menus(name, path):
    before = corpus.content(f"bootcfg/{name}").decode()
    kernels = sum("vmlinuz" in line or "bzImage" in line for line in before.splitlines() if "#" not in line)
    after = text(enabled({path: before}), path)
    assert after.count("console=ttyS0,115200n8") >= max(kernels, 1)


@pytest.mark.corpus
def test_arch_as_it_ships():
    files = corpus_tree("bootcfg/archiso/releng/efiboot")
    files["/boot/grub/grub.cfg"] = corpus.content("bootcfg/archiso/baseline/grub/grub.cfg")
    tree = enabled(files)
    changed = {path for path, data in tree.files.items() if data != files[path]}
    assert changed == {
        *("/boot/grub/grub.cfg", "/loader/loader.conf"),
        *("/loader/entries/01-archiso-linux.conf", "/loader/entries/02-archiso-speech-linux.conf"),
    }
    assert "terminal_output --append serial" in text(tree, "/boot/grub/grub.cfg"), "it has its own way to the line"


@pytest.mark.corpus
def test_a_fedora_without_its_marks_is_known_by_its_arguments(tmp_path):
    files = files_of_iso("iso/virt-manager/fake-centos65-label.iso", tmp_path)
    assert not is_installer(MemoryTree(files))
    menu = text(enabled(files), "/isolinux/isolinux.cfg")
    assert menu.count(f" quiet {ARGUMENTS} inst.text\n") == 4


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("real/bare_bones-myos.iso", "no boot menu boots Linux, .*: /boot/grub/grub.cfg$"),
        ("real/com32-isolinux-myos.iso", "no boot menu boots Linux, .*: /ISOLINUX/ISOLINUX.CFG$"),
        ("real/ipxe-karolyczovek.iso", "no boot menu boots Linux, .*: /ISOLINUX.CFG$"),
        ("virt-manager/fake-win7.iso", "no boot menu that is known here; what was found: boot, "),
        ("libcdio/copying.iso", "no boot menu that is known here; what was found: COPYING$"),
    ],
)
def test_isos_that_install_no_linux_are_refused(name, told, tmp_path):
    with pytest.raises(UnsupportedError, match=told):
        enable(MemoryTree(files_of_iso(f"iso/{name}", tmp_path)), CONSOLE)


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("path", "family", "name"),
    [
        ("centos/sl7/.treeinfo", Family.ANACONDA, "Scientific-7.8"),
        ("opensuse/tumbleweed/.treeinfo", Family.SUSE, "openSUSE Tumbleweed"),
        ("ubuntu/ubuntu-17.10-amd64.iso/.disk/info", Family.DEBIAN, 'Ubuntu-Server 17.10 "Artful Aardvark"'),
    ],
)
def test_what_install_trees_say_of_themselves(path, family, name):
    """The trees hold no more than the file that names them; the loader's folder is what openSUSE has beside it."""
    place = f"/{path.partition('/')[2].partition('/')[2]}"
    files = {place: corpus.content(f"trees/virt-manager/urldetect/{path}")}
    if family is Family.SUSE:
        files["/boot/x86_64/loader/linux"] = b""
    found = find_medium(MemoryTree(files))
    assert found.family is family
    assert found.name.startswith(name)
