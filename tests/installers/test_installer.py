"""The recipe for installers on each family's menus: what boots by itself, what kernels hear, and twice is once."""

from __future__ import annotations

import pytest

from imgkit.configtext.checks import CheckKind
from imgkit.configtext.options import EnableOptions
from imgkit.configtext.serial import SerialConsole
from imgkit.errors import ConfigError, UnsupportedError
from imgkit.installers import Family
from imgkit.installers.detection import find_installer
from imgkit.installers.recipe import enable
from imgkit.installers.status import status
from imgkit.tree import apply_changes
from tests.support.installers import (
    ANACONDA,
    ARCH,
    ARGUMENTS,
    CONSOLE,
    DEBIAN_GRUB,
    DEBIAN_ISOLINUX,
    SUSE_ISOLINUX,
    TERMINALS,
    added_and_removed,
    enabled,
    text,
)
from tests.support.memorytree import MemoryTree


def test_debians_isolinux_menu_changes_in_these_lines_and_no_others():
    tree = enabled(DEBIAN_ISOLINUX)
    speech = DEBIAN_ISOLINUX["/isolinux/spkgtk.cfg"].splitlines()
    assert added_and_removed(DEBIAN_ISOLINUX, tree) == {
        "/isolinux/isolinux.cfg": ([], ["serial 0 115200"]),
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
            [speech[3], *speech[6:]],
            [f"\tappend initrd=/install.amd/gtk/initrd.gz speakup.synth=soft --- quiet {ARGUMENTS} "],
        ),
    }


def test_debians_status_says_that_speech_synthesis_would_start():
    links = status(MemoryTree(DEBIAN_ISOLINUX)).links
    assert {link.kind for link in links if not link.ok} == {CheckKind.LOADER, CheckKind.KERNEL}
    (default,) = (link for link in links if link.kind is CheckKind.DEFAULT)
    assert (default.file, default.line) == ("/isolinux/spkgtk.cfg", 7)
    assert "the installer with speech synthesis" in default.message


def test_without_speech_synthesis_it_is_the_graphical_installer():
    silent = DEBIAN_ISOLINUX | {"/isolinux/spkgtk.cfg": "label installspk\n\tkernel /install.amd/vmlinuz\n"}
    found = {link.kind: link for link in status(MemoryTree(silent)).links}
    assert found[CheckKind.DEFAULT].message.startswith("'Graphical install' boots by default and is the graphical")
    assert found[CheckKind.TIMEOUT].message == "waits for a key, with no timeout"
    assert (found[CheckKind.TIMEOUT].file, found[CheckKind.TIMEOUT].line) == ("/isolinux/isolinux.cfg", 4)


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


def test_a_port_that_is_the_firmwares_console():
    """GRUB and ISOLINUX have no driver for it: the menu leaves graphics, and the kernels get the port."""
    tree = enabled(DEBIAN_GRUB, SerialConsole(port="ttyAMA0"))
    menu = text(tree, "/boot/grub/grub.cfg")
    assert "terminal_output console\n" in menu
    assert "serial --unit" not in menu
    assert menu.count("--- quiet console=tty0 console=ttyAMA0,115200n8\n") == 3


def test_wishes():
    options = EnableOptions(quiet_off=True, timeout=3)
    tree = enabled(DEBIAN_ISOLINUX | DEBIAN_GRUB, SerialConsole(port="ttyS1", baud=9600, keep_vga=False), options)
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


@pytest.mark.parametrize("gfxboot", ["ui gfxboot bootlogo message", "gfxboot bootlogo", "UI gfxboot.c32 bootlogo"])
def test_opensuse_still_starts_from_the_disk_and_shows_a_prompt(gfxboot):
    menu = SUSE_ISOLINUX.replace("ui gfxboot bootlogo message", gfxboot)
    files = {"/media.1/media": "SUSE\n", "/boot/x86_64/loader/isolinux.cfg": menu}
    tree = enabled(files)
    assert added_and_removed(files, tree)["/boot/x86_64/loader/isolinux.cfg"] == (
        [
            "  append initrd=initrd splash=silent showopts",
            "  append initrd=initrd splash=silent mediacheck=1 showopts",
            gfxboot,
        ],
        [
            "serial 0 115200",
            f"  append initrd=initrd splash=silent showopts {ARGUMENTS} textmode=1",
            f"  append initrd=initrd splash=silent mediacheck=1 showopts {ARGUMENTS} textmode=1",
        ],
    )


def test_arch_has_three_boot_loaders():
    tree = enabled(ARCH)
    assert text(tree, "/boot/syslinux/syslinux.cfg") == "serial 0 115200\n" + ARCH["/boot/syslinux/syslinux.cfg"]
    assert "DEFAULT arch\nTIMEOUT 150\n" in text(tree, "/boot/syslinux/archiso_sys.cfg")
    assert text(tree, "/boot/syslinux/linux.cfg").endswith(f"\nAPPEND archisobasedir=arch {ARGUMENTS}\n")
    assert text(tree, "/loader/loader.conf") == "timeout 15\ndefault 01-arch.conf\nbeep on\n"
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


def test_entries_that_only_a_key_leads_to_are_no_default():
    """NixOS has one in front, for a menu in text."""
    menu = "hiddenentry 't' --hotkey t {\nterminal_output console\n}\nmenuentry 'x $v' {\nlinux /v\n}\n"
    assert "default" not in text(enabled({"/EFI/BOOT/grub.cfg": menu}), "/EFI/BOOT/grub.cfg")


def test_a_default_that_fits_stays_and_so_does_one_that_has_no_better():
    for menu in (
        "set default=1\nmenuentry 'a' {\nlinux /v\n}\nmenuentry 'b' {\nlinux /v\n}\n",
        "set default=saved\nmenuentry 'a' {\nlinux /v\ninitrd /gtk/initrd.gz\n}\n",
        "set default=\"${saved_entry}\"\nmenuentry 'a' {\nlinux /v\n}\n",
    ):
        tree = enabled({"/boot/grub/grub.cfg": menu})
        assert text(tree, "/boot/grub/grub.cfg").startswith(menu.splitlines()[0] + "\n")


def test_no_boot_menu_is_refused_and_what_was_found_is_said():
    with pytest.raises(UnsupportedError, match=r"no boot menu .*: /EFI/BOOT/BOOTX64\.EFI") as caught:
        enable(MemoryTree({"/EFI/BOOT/BOOTX64.EFI": b"MZ", "/a/b": b""}), CONSOLE)
    assert "console=ttyS0" in caught.value.hint
    with pytest.raises(UnsupportedError, match=r"it is a data volume with docs, setup\.exe"):
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
    with pytest.raises(UnsupportedError, match=f"^no Linux boot entry found: {path}$"):
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
        (
            DEBIAN_ISOLINUX | DEBIAN_GRUB,
            Family.DEBIAN,
            "/.disk/cd_type",
            DEBIAN_ISOLINUX["/.disk/info"].strip(),
            "x86_64",
        ),
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
    found = find_installer(MemoryTree(files))
    assert (found.family, found.evidence, found.name, found.arch) == (family, evidence, name, arch)


def test_an_installed_system_is_no_installer():
    assert (
        find_installer(MemoryTree({"/etc/os-release": "ID=debian\n", "/boot/grub/grub.cfg": "", "/usr/bin/x": ""}))
        is None
    )


def test_a_menu_of_grub4dos_beside_a_good_one_is_named_and_stays():
    foreign = "set name=Live\ntitle %name%\nfind --set-root /live/vmlinuz\nkernel /live/vmlinuz boot=live\n"
    menu = "set timeout=5\nmenuentry 'Live' {\n\tlinux /live/vmlinuz boot=live\n}\n"
    files = {"/boot/grub/grub.cfg": menu, "/boot/grub/menu.lst": foreign}
    tree = enabled(files)
    assert text(tree, "/boot/grub/menu.lst") == foreign
    (told,) = (check for check in status(tree, CONSOLE).links if check.file == "/boot/grub/menu.lst")
    assert told.ok
    assert told.line == 1
    assert told.message.endswith("; no boot loader in the image reads it")
    # With GRUB4DOS on the medium, one of its menus is not on the line.
    tree = MemoryTree(files | {"/grldr": b""})
    apply_changes(tree, enable(tree, CONSOLE))
    (told,) = (check for check in status(tree, CONSOLE).links if not check.ok)
    assert told.message.endswith("; /grldr may read it")
    assert told.hint
    with pytest.raises(UnsupportedError, match=r"menu\.lst"):
        enable(MemoryTree({"/boot/grub/menu.lst": foreign}), CONSOLE)
