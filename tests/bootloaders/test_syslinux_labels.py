"""What labels of SYSLINUX load, and how their kernels get the console: modules, extensions, commands, directories."""

from __future__ import annotations

import pytest

from imgkit.bootloaders.syslinux import chains, loader, menu
from imgkit.bootloaders.syslinux import config as syslinux
from imgkit.configtext.checks import CheckKind
from imgkit.configtext.options import EnableOptions
from imgkit.configtext.serial import SerialConsole
from imgkit.treeedits import TreeEdits
from tests.support.memorytree import MemoryTree

CONSOLE = SerialConsole()
ARGUMENTS = "console=tty0 console=ttyS0,115200n8"


def label(body):
    (found,) = syslinux.facts(f"label x\n{body}").labels
    return found


@pytest.mark.parametrize(
    ("body", "is_linux"),
    [
        ("kernel vmlinuz\n", True),
        ("KERNEL /boot/vmlinuz-6.12.0\n", True),
        ("linux /boot/vmlinuz-6.12.0\n", True),
        ("linux /kernel.img\n", True),
        ("kernel /kernel.img\n", False),
        ("kernel pxelinux.0\n", False),
        ("kernel boot.bin\n", False),
        ("kernel win.bss\n", False),
        ("kernel dos.com\n", False),
        ("kernel chain.c32\nappend hd0 0\n", False),
        ("kernel memdisk\ninitrd dos.img\n", False),
        ("linux memtest86+\n", False),
        ("boot bootsect\n", False),
        ("fdimage floppy.img\n", False),
        ("pxe pxelinux.0\n", False),
        ("localboot 0x80\n", False),
        ("config other.cfg\n", False),
        ("com32 linux.c32\nappend /vmlinuz quiet\n", True),
        ("kernel LINUX.C32\nappend /vmlinuz quiet\n", True),
        ("com32 mboot\nappend xen.gz --- vmlinuz --- initrd\n", True),
        ("kernel mboot.c32\nappend tboot.gz logging=serial --- vmlinuz\n", True),
        ("kernel mboot.c32\nappend -c boot.cfg\n", False),
        ("kernel mboot.c32\nappend gnumach.gz --- ext2fs.static\n", False),
        ("append initrd=a\n", False),
    ],
)
def test_what_is_linux(body, is_linux):
    assert label(body).is_linux is is_linux


def test_a_label_without_a_kernel_loads_the_file_of_its_name():
    text = "label vmlinuz\n  append initrd=initrd.gz\n"
    assert syslinux.enable(text, CONSOLE, included=True) == f"label vmlinuz\n  append initrd=initrd.gz {ARGUMENTS}\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("kernel linux.c32\nappend /v initrd=i quiet\n", f"kernel linux.c32\nappend /v initrd=i quiet {ARGUMENTS}\n"),
        ("com32 linux.c32\nappend /v\n", f"com32 linux.c32\nappend /v {ARGUMENTS}\n"),
        (
            "kernel mboot.c32\nappend xen.gz com1=115200,8n1 console=com1,vga --- v console=hvc0 console=tty0 --- i\n",
            "kernel mboot.c32\nappend xen.gz com1=115200,8n1 console=com1,vga --- v console=tty0 console=hvc0 --- i\n",
        ),
        (
            "kernel mboot.c32\nappend xen.gz console=vga --- v console=tty0 --- i\n",
            "kernel mboot.c32\nappend xen.gz console=vga --- v console=tty0 console=ttyS0,115200n8 --- i\n",
        ),
        (
            "kernel mboot.c32\nappend xen.gz com1=9600,8n1 console=vga --- v --- i\n",
            "kernel mboot.c32\nappend xen.gz com1=115200,8n1 console=com1,vga --- v console=tty0 console=hvc0 --- i\n",
        ),
        (
            "kernel mboot.c32\nappend tboot.gz logging=vga --- v quiet --- i --- sinit.bin\n",
            f"kernel mboot.c32\nappend tboot.gz logging=vga --- v quiet {ARGUMENTS} --- i --- sinit.bin\n",
        ),
    ],
)
def test_kernels_behind_modules(before, after):
    text = f"label x\n{before}"
    assert syslinux.enable(text, CONSOLE, included=True, installer=True) == f"label x\n{after}"
    assert syslinux.enable(f"label x\n{after}", CONSOLE, included=True, installer=True) == f"label x\n{after}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("default vmlinuz initrd=i quiet\n", f"default vmlinuz initrd=i quiet {ARGUMENTS}\n"),
        ("default vmlinuz\nappend initrd=i\n", f"default vmlinuz\nappend initrd=i {ARGUMENTS}\n"),
        ("default a\nontimeout /v/linux auto\n{}", f"default a\nontimeout /v/linux auto {ARGUMENTS}\n{{}}"),
        ("default linux ks=cdrom\n{}", "default linux ks=cdrom\n{}"),
        ("default vesamenu.c32\n{}", "default vesamenu.c32\n{}"),
    ],
)
def test_kernels_that_no_label_names(before, after):
    labels = "label linux\nkernel v\nappend a {}\n"
    text = before.replace("{}", labels.replace(" {}", ""))
    assert syslinux.enable(text, CONSOLE, included=True) == after.replace("{}", labels.replace("{}", ARGUMENTS))


def test_a_label_of_another_file_is_no_kernel():
    text = "default linux\nontimeout linux\n"
    assert syslinux.enable(text, CONSOLE, included=True, labels={"linux"}) == text
    tree = MemoryTree({"/a.cfg": text + "include b.cfg\n", "/b.cfg": "label linux\nkernel v\nappend q\n"})
    assert [line.title for line in loader.kernels(TreeEdits(tree), "/a.cfg")] == ["linux"]


RESCUE = {
    "/isolinux/isolinux.cfg": "DEFAULT go\nLABEL go\n  CONFIG /live/boot/first.cfg\n  APPEND /live/\n",
    "/live/boot/first.cfg": "DEFAULT select\nLABEL select\nCOM32 boot/whichsys.c32\nAPPEND -pxe- pxe -iso- sys\n"
    "LABEL pxe\nCONFIG boot/pxe.cfg\nLABEL sys\nCONFIG boot/sys.cfg\n",
    "/live/boot/sys.cfg": "INCLUDE boot/head.cfg\nLABEL live\nLINUX boot/vmlinuz\nAPPEND basedir=live\n",
    "/live/boot/head.cfg": "UI boot/vesamenu.c32\nTIMEOUT 300\n",
}


def enabled(files):
    edits = TreeEdits(MemoryTree(files))
    (start,) = list(files)[:1]
    loader.enable(edits, start, CONSOLE, EnableOptions(installer=True))
    return edits, {change.path: change.after.decode() for change in edits.changes()}


def test_config_with_a_directory_changes_where_names_start():
    edits, after = enabled(RESCUE)
    assert set(after) == {"/isolinux/isolinux.cfg", "/live/boot/sys.cfg"}
    assert after["/live/boot/sys.cfg"].endswith(f"APPEND basedir=live {ARGUMENTS}\n")
    menus = list(chains.menus_of(edits, "/isolinux/isolinux.cfg"))
    assert [menu.files[0] for menu in chains.first_menus(edits, menus)] == ["/live/boot/sys.cfg"]
    assert all(check.ok for check in loader.checks(edits, "/isolinux/isolinux.cfg", CONSOLE))
    inline = RESCUE | {"/isolinux/isolinux.cfg": "DEFAULT go\nLABEL go\n  CONFIG /live/boot/first.cfg /live\n"}
    assert set(enabled(inline)[1]) == set(after)


def test_a_default_that_leads_nowhere_fails_the_check():
    files = {path: text for path, text in RESCUE.items() if path != "/live/boot/first.cfg"}
    edits = TreeEdits(MemoryTree(files))
    (failing,) = (c for c in loader.checks(edits, "/isolinux/isolinux.cfg", CONSOLE) if not c.ok and c.hint)
    assert failing.kind is CheckKind.LOADER
    assert failing.message == "'go' leads to /live/boot/first.cfg, which does not exist"
    assert (failing.file, failing.line) == ("/isolinux/isolinux.cfg", 2)


def test_menus_that_a_module_is_given():
    files = {
        "/a.cfg": "ui vesamenu.c32\nlabel more\nkernel vesamenu.c32\nappend more.cfg\n",
        "/more.cfg": "serial 1 9600\nlabel x\nkernel v\nappend q\nlabel back\nkernel menu.c32\nappend ~\n",
    }
    _, after = enabled(files)
    assert after["/more.cfg"].startswith(f"serial 0 115200\nlabel x\nkernel v\nappend q {ARGUMENTS}\n")


def test_the_processor_decides_among_labels():
    text = "default auto\nprompt 1\nlabel auto\n  com32 ifcpu64.c32\n  append big -- small\n"
    text += "label small\n  kernel v32\n  append q\nlabel big\n  kernel v\n  append q inst.ks=cdrom\n"
    edits = TreeEdits(MemoryTree({"/isolinux.cfg": text}))

    (found,) = menu.read(edits, "/isolinux.cfg")
    assert found.is_chosen_by_machine
    assert (found.default.title, found.seconds) == ("big", None)
    assert not found.may_start_itself()
