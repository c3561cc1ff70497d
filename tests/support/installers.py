"""Installers in small, and what has to hold for each of them once the recipe has gone over it."""

from __future__ import annotations

import difflib
import re

from imgkit.configtext.serial import SerialConsole
from imgkit.installers.recipe import enable
from imgkit.installers.status import status
from imgkit.tree import apply_changes
from tests.support import oracle
from tests.support.memorytree import MemoryTree

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
    "/EFI/boot/bootx64.efi": b"MZ",
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
    "/loader/entries/02-speech.conf": "title Speech\nlinux /arch/vmlinuz\n"
    "options archisobasedir=arch accessibility=on\n",
    "/loader/entries/03-memtest.conf": "title Memtest86+\nefi /boot/memtest86+/memtest.efi\n",
}


def enabled(files, console=CONSOLE, options=None, *, announced=None, complete=True, **more):
    """The tree with the changes made, after what has to hold for every installer.

    `announced` are the announcements that it has to make, where a test asks for them. `complete` says that the result
    is enabled as a whole.
    """
    tree = MemoryTree(files)
    before = dict(tree.files)
    said = []
    changes = enable(tree, console, options, announce=said.append, **more)
    assert announced is None or said == announced
    assert tree.files == before, "the recipe itself writes nothing"
    assert all(change.before == before[change.path] for change in changes)
    apply_changes(tree, changes)
    assert enable(tree, console, options, **more) == [], "twice is once"
    for wanted in (console, None):
        found = status(tree, wanted, **more)
        assert found.console.port == console.port
        assert found.enabled or not complete, [link for link in found.links if not link.ok]
    for link in found.links:
        assert link.line <= tree.read(link.file).count(b"\n") + 1
    for change in changes:
        check_untouched(change)
        if "grub" in change.path and change.path.endswith(".cfg"):
            oracle.run("grub-script-check", text_in=change.after.decode())
    return tree


# What a recipe may rewrite; every other line stays, byte for byte and in its place.
TOUCHED = re.compile(
    r"\s*(append|\$?linux\S*|\$load|multiboot2?|module2?|eval|options"
    r"|(set )?timeout(_style)?|(set )?default|ontimeout|menu autoboot|ui|gfxboot"
    r"|serial|terminal_(in|out)put)[ =\t]|\s*menu default\s*",
    re.IGNORECASE,
)


def check_untouched(change):
    before, after = (
        data.decode(errors="surrogateescape").splitlines(keepends=True) for data in (change.before, change.after)
    )
    lines = difflib.ndiff(before, after)
    assert all(TOUCHED.match(line[2:]) for line in lines if line[0] == "-"), change.diff()


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
