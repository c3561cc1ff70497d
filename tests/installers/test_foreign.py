"""Media that boot no Linux, halves of which only one does, and boot loaders that are not edited: each named."""

from __future__ import annotations

import pytest

from imgkit.bootloaders.efi import EfiProgram, identify
from imgkit.errors import UnsupportedError
from imgkit.installers.recipe import enable
from imgkit.installers.status import status
from tests.support.installers import CONSOLE, enabled, text
from tests.support.memorytree import MemoryTree

ISOLINUX = "default a\nprompt 1\nlabel a\n  kernel /live/vmlinuz\n  append initrd=/live/initrd boot=live\n"
GRUB = "set timeout=5\nmenuentry 'Live' {\n\tlinux /live/vmlinuz boot=live\n\tinitrd /live/initrd\n}\n"
MEMTEST = "default m\nprompt 1\nlabel m\n  linux /memtest\n"


def program(*sections):
    """An EFI program with a PE header and a section table."""
    table = b"".join(name.encode().ljust(8, b"\0") + bytes(32) for name in sections)
    return b"MZ" + bytes(58) + (0x80).to_bytes(4, "little") + bytes(64) + b"PE\0\0" + bytes(20) + table


UKI = program(".text", ".osrel", ".cmdline", ".linux", ".initrd")
STUB = b"MZ" + bytes(0x200) + b"HdrS" + bytes(100)


@pytest.mark.parametrize(
    ("files", "what", "hint"),
    [
        ({"/boot/loader.conf": "", "/boot/cdboot": b"", "/boot/kernel/kernel": b""}, "FreeBSD", "comconsole"),
        ({"/bsd": b"", "/12.0/amd64/cdbr": b""}, "OpenBSD", "set tty com0"),
        ({"/netbsd": b"", "/boot.cfg": "menu=x\n"}, "NetBSD", "consdev=com0"),
        ({"/sources/install.wim": b"", "/bootmgr": b""}, "Windows", "Emergency Management Services"),
        ({"/README.TXT": 'This disc contains a "UDF" file system'}, "UDF", "Emergency Management Services"),
        (
            {
                "/isolinux.cfg": "default menu.c32\nlabel i\nkernel mboot.c32\nappend -c boot.cfg\n",
                "/boot.cfg": "",
                "/mboot.c32": b"",
            },
            "ESXi",
            "com1_baud=115200",
        ),
        ({"/platform/i86pc/kernel/unix": b""}, "illumos", "ttya"),
        ({"/isolinux/isolinux.cfg": MEMTEST, "/isolinux/memtest": b""}, "a memory test", "console=ttyS0"),
        ({"/docs/readme": "hi"}, "a data volume with docs", "loaded from outside"),
        ({"/EFI/BOOT/BOOTX64.EFI": UKI}, "/EFI/BOOT/BOOTX64.EFI is a unified kernel image", "-smbios type=11"),
        ({"/EFI/BOOT/BOOTX64.EFI": STUB}, "a Linux kernel that the firmware starts itself", "boots by GRUB"),
        ({"/EFI/Linux/a.efi": b"MZ"}, "/EFI/Linux/a.efi is a unified kernel image", "-smbios type=11"),
        ({"/images/generic.prm": "ro\n", "/generic.ins": ""}, "the s390x loader", "/images/generic.prm with"),
        ({"/limine.conf": "/Linux\n    protocol: linux\n"}, "is read by Limine", "/limine.conf with `imgkit edit`"),
    ],
)
def test_what_a_medium_is_that_cannot_be_enabled(files, what, hint):
    with pytest.raises(UnsupportedError) as caught:
        enable(MemoryTree(files), CONSOLE)
    assert what in caught.value.message
    assert hint in caught.value.hint
    found = status(MemoryTree(files))
    assert not found.enabled
    assert any(what in link.message and hint in link.hint for link in found.links)


@pytest.mark.parametrize(
    ("other", "file", "message", "firmware"),
    [
        ({"/EFI/BOOT/BOOTX64.EFI": UKI}, "/EFI/BOOT/BOOTX64.EFI", "command line is sealed inside", "UEFI"),
        ({"/EFI/BOOT/BOOTX64.EFI": STUB}, "/EFI/BOOT/BOOTX64.EFI", "the firmware starts itself", "UEFI"),
        ({"/efi.img/EFI/BOOT/bootaa64.efi": b"MZ"}, "/efi.img/EFI/BOOT/bootaa64.efi", "menu was not found", "UEFI"),
        ({"/EFI/BOOT/refind.conf": "timeout 5\n"}, "/EFI/BOOT/refind.conf", "read by rEFInd", ""),
        ({"/boot/grub/grub.cfg": "menuentry 'x' {\n\texit\n}\n"}, "/boot/grub/grub.cfg", "no entry that boots", ""),
    ],
)
def test_a_half_that_is_not_enabled_is_named_beside_one_that_is(other, file, message, firmware):
    tree = enabled({"/isolinux/isolinux.cfg": ISOLINUX, "/isolinux/isolinux.bin": b"", **other}, complete=False)
    assert "console=ttyS0" in text(tree, "/isolinux/isolinux.cfg")
    failing = [link for link in status(tree, CONSOLE).links if not link.ok and message in link.message]
    assert [(link.file, link.firmware) for link in failing] == [(file, firmware)]
    assert failing[0].hint


def test_isolinux_without_a_menu_that_is_known():
    tree = enabled({"/boot/grub/grub.cfg": GRUB, "/isolinux/isolinux.bin": b""}, complete=False)
    (failing,) = (link for link in status(tree, CONSOLE).links if not link.ok)
    assert (failing.file, failing.firmware) == ("/isolinux/isolinux.bin", "BIOS")


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (UKI, EfiProgram.UNIFIED_KERNEL),
        (STUB, EfiProgram.KERNEL),
        (b"MZ" + bytes(54) + b"ARM\x64" + bytes(100), EfiProgram.KERNEL),
        (program(".text", ".data", "mods"), EfiProgram.OTHER),
        (b"MZ", EfiProgram.OTHER),
        (b"", EfiProgram.OTHER),
        (UKI[2:], EfiProgram.OTHER),
    ],
)
def test_what_an_efi_program_is(head, kind):
    assert identify(head) is kind
