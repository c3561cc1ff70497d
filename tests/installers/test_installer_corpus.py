"""The recipe for installers on menus and ISOs that others made."""

from __future__ import annotations

import pytest

from imgkit.errors import ConfigError, UnsupportedError
from imgkit.installers import Family
from imgkit.installers.detection import find_installer
from imgkit.installers.recipe import enable
from imgkit.installers.status import status
from imgkit.tree import apply_changes
from tests.support import corpus
from tests.support.installers import ARGUMENTS, CONSOLE, TERMINALS, enabled, text
from tests.support.memorytree import MemoryTree, files_of_iso

pytestmark = pytest.mark.corpus

# Configurations of every kind, as GRUB would read them: those of other loaders are refused, or mean the same.
GRUB_MENUS = sorted(
    name for name in corpus.manifest("bootcfg") if b"menuentry" in corpus.content(name) and "/results/" not in name
)


def corpus_tree(folder):
    base = corpus.path(folder)
    files = (path for path in base.rglob("*") if path.is_file() and path.stat().st_size < 1 << 20)
    return {f"/{path.relative_to(base)}": path.read_bytes() for path in files}


def test_debian_6():
    tree = enabled(corpus_tree("bootcfg/debian6-i386-cd-tree"))
    assert text(tree, "/isolinux/isolinux.cfg").endswith("\nprompt 0\ntimeout 100\n")
    assert text(tree, "/isolinux/kde/txtdt.cfg").endswith(f"initrd=/install.386/initrd.gz {ARGUMENTS} -- quiet \n")
    assert not any(b"vga=" in data for path, data in tree.files.items() if path.startswith("/isolinux/kde/txtdt"))


def test_debian_11_and_12():
    menu = corpus.content("bootcfg/misc/debian11-12-di-menu.grub.cfg").decode().replace("(loop)", "")
    tree = enabled({"/boot/grub/grub.cfg": menu})
    after = text(tree, "/boot/grub/grub.cfg")
    assert after.startswith("set timeout=10\n" + TERMINALS) or "set default=Install\n" in after.split("menuentry")[0]
    assert after.count(ARGUMENTS) == menu.count("vmlinuz")
    assert "vga=" not in after


@pytest.mark.parametrize("name", ["uefi-grub.cfg", "bios-grub.cfg"])
def test_mkksisos_menus(name):
    """mkksiso's rule puts arguments at the end of each kernel's line; so do we, and the rest is what menus need."""
    before = corpus.content(f"bootcfg/lorax-mkksiso/{name}").decode()
    tree = enabled({"/EFI/BOOT/grub.cfg": before, "/.discinfo": "1\nFedora\n"})
    wanted = before.replace(" quiet\n", f" quiet {ARGUMENTS} inst.text\n")
    wanted = wanted.replace("menuentry 'Install", TERMINALS + "menuentry 'Install", 1)
    assert text(tree, "/EFI/BOOT/grub.cfg") == wanted


def test_what_mkksiso_wrote_puts_the_serial_line_last():
    before = corpus.content("bootcfg/lorax-mkksiso/isolinux.cfg.result").decode()
    tree = enabled({"/isolinux/isolinux.cfg": before, "/.discinfo": "1\nFedora\n"})
    wanted = before.replace(" console=ttyS0,115200n8 console=tty1", " console=tty1 console=ttyS0,115200n8 inst.text")
    assert text(tree, "/isolinux/isolinux.cfg") == "serial 0 115200\n" + wanted


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


@pytest.mark.parametrize("name", GRUB_MENUS)
def test_each_grub_menu_of_the_corpus_is_enabled_once_or_refused(name):
    tree = MemoryTree({"/boot/grub/grub.cfg": corpus.content(name)})
    try:
        apply_changes(tree, enable(tree, CONSOLE))
    except (ConfigError, UnsupportedError) as error:
        assert not status(tree, CONSOLE).enabled, error  # noqa: PT017
        return
    assert enable(tree, CONSOLE) == []
    assert status(tree, CONSOLE).enabled


def test_arch_as_it_ships():
    files = corpus_tree("bootcfg/archiso/releng/efiboot")
    files["/boot/grub/grub.cfg"] = corpus.content("bootcfg/archiso/baseline/grub/grub.cfg")
    tree = enabled(files)
    changed = {path for path, data in tree.files.items() if data != files[path]}
    assert changed == {
        "/boot/grub/grub.cfg",
        *("/loader/entries/01-archiso-linux.conf", "/loader/entries/02-archiso-speech-linux.conf"),
    }
    assert "terminal_output --append serial" in text(tree, "/boot/grub/grub.cfg"), "it has its own way to the line"


def test_a_fedora_without_its_marks_is_known_by_its_arguments(tmp_path):
    files = files_of_iso("iso/virt-manager/fake-centos65-label.iso", tmp_path)
    assert find_installer(MemoryTree(files)) is None
    menu = text(enabled(files), "/isolinux/isolinux.cfg")
    assert menu.count(f" quiet {ARGUMENTS} inst.text\n") == 4


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("real/bare_bones-myos.iso", "no Linux boot entry found: /boot/grub/grub.cfg$"),
        ("real/com32-isolinux-myos.iso", "no Linux boot entry found: /ISOLINUX/ISOLINUX.CFG$"),
        ("real/ipxe-karolyczovek.iso", "no Linux boot entry found: /ISOLINUX.CFG$"),
        ("virt-manager/fake-win7.iso", "it is a data volume with boot, "),
        ("libcdio/copying.iso", "it is a data volume with COPYING$"),
    ],
)
def test_isos_that_install_no_linux_are_refused(name, told, tmp_path):
    with pytest.raises(UnsupportedError, match=told):
        enable(MemoryTree(files_of_iso(f"iso/{name}", tmp_path)), CONSOLE)


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
    found = find_installer(MemoryTree(files))
    assert found.family is family
    assert found.name.startswith(name)
