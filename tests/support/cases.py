"""Small images of many kinds, by name: what they hold is written here, and they are made in milliseconds.

`tests/console/test_agreement.py` holds all of them to what `console enable` promises of every image. To add an input,
add an entry to `DISKS` or `ISOS`: its files, by path; bytes are contents, a `str` is where a link leads.
"""

from __future__ import annotations

from pathlib import Path

from tests.support import oracle
from tests.support.guests import OS_RELEASE, Part, make_file_system
from tests.support.installers import ANACONDA, ARCH, DEBIAN_GRUB, DEBIAN_ISOLINUX, SUSE_ISOLINUX

Files = dict[str, bytes | str]

ELF = b"\x7fELF"
LINUX = "root=/dev/sda1 ro quiet"


def grub(*entries: str, head: str = "set default=0\nset timeout=5\nterminal_output gfxterm\n", tail: str = "") -> bytes:
    """A grub.cfg of these command lines, each an entry; one that is no Linux is written as it is."""
    lines = [
        f"menuentry 'Entry {number}' {{\n\t{f'linux {entry}' if entry.startswith('/') else entry}\n}}\n"
        for number, entry in enumerate(entries)
    ]
    return (head + "".join(lines) + tail).encode()


def uki(*command_lines: str) -> bytes:
    """A unified kernel image of these command lines: a PE header, its table of sections, and what those hold."""
    held = [(b".linux", b"\0" * 16), *((b".cmdline", line.encode() + b"\0") for line in command_lines)]
    header = b"MZ".ljust(0x3C, b"\0") + (0x40).to_bytes(4, "little")
    header += b"PE\0\0" + bytes(2) + len(held).to_bytes(2, "little") + bytes(16)
    start, table, data = len(header) + 40 * len(held), b"", b""
    for name, content in held:
        numbers = (len(content), 0, len(content), start + len(data))
        table += name.ljust(8, b"\0") + b"".join(n.to_bytes(4, "little") for n in numbers) + bytes(16)
        data += content
    return header + table + data


BASE: Files = {"/etc/os-release": OS_RELEASE.encode(), "/etc/fstab": b"", "/bin/sh": ELF}
SYSTEMD: Files = {
    "/sbin/init": "/lib/systemd/systemd",
    "/lib/systemd/systemd": ELF,
    "/lib/systemd/system/serial-getty@.service": b"[Service]\nExecStart=-/sbin/agetty - $TERM\n",
}
GRUB: Files = {
    "/etc/default/grub": b'GRUB_DEFAULT=0\nGRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX=""\n',
    "/boot/grub/grub.cfg": grub(f"/boot/vmlinuz-6.1.0-18-amd64 {LINUX}"),
}
DEBIAN = BASE | SYSTEMD | GRUB
ENTRY = f"title Linux\nlinux /vmlinuz\noptions {LINUX}\n".encode()
SYSV = "id:5:initdefault:\nsi::sysinit:/etc/init.d/rcS\n1:12345:respawn:/sbin/getty 38400 tty1\n"
CUSTOM = f"set default=my\nmenuentry 'Mine' --id my {{\n\tlinux /boot/vmlinuz-my {LINUX}\n}}\n".encode()
SOURCES_CUSTOM = "if [ -f  $prefix/custom.cfg ]; then\n  source $prefix/custom.cfg\nfi\n"
XEN = (
    "multiboot2 /boot/xen.gz placeholder{}\n\tmodule2 /boot/vmlinuz-6.1.0 placeholder root=/dev/sda1 ro quiet\n"
    "\tmodule2 --nounzip /boot/initrd.img"
)


def with_menu(menu: bytes) -> Files:
    """The Debian system with another grub.cfg."""
    return DEBIAN | {"/boot/grub/grub.cfg": menu}


def with_inittab(text: str, **more: bytes | str) -> Files:
    """A system whose init reads this inittab."""
    return BASE | GRUB | {"/sbin/init": ELF, "/etc/inittab": text.encode()} | more


def with_line(arguments: str) -> Files:
    """The Debian system with these kernel arguments."""
    return with_menu(grub(f"/boot/vmlinuz {arguments}"))


DISKS: dict[str, Files] = {
    "debian": DEBIAN,
    "no boot loader": BASE | SYSTEMD,
    "no system": {"/photos/1.jpg": b"x"},
    "a port in use": with_line(f"{LINUX} console=tty0 console=ttyS1,115200n8"),
    "a paravirtual console in use": with_line(f"{LINUX} console=hvc0"),
    "a bare console": with_line(f"{LINUX} console=ttyS0"),
    "the screen last": with_line(f"{LINUX} console=ttyS0,115200n8 console=tty0"),
    "a speed in use": with_line(f"{LINUX} console=tty0 console=ttyS0,9600"),
    "a port that only GRUB uses": with_menu(
        grub(f"/boot/vmlinuz {LINUX}", head="serial --unit=1 --speed=57600\nterminal_output serial\nset timeout=5\n")
    ),
    "an odd speed": with_line(f"{LINUX} console=ttyS0,14400"),
    "a rest for init": with_line(f"{LINUX} -- single"),
    "a masked getty by argument": with_line(f"{LINUX} systemd.mask=serial-getty@ttyS0.service"),
    "a masked target": DEBIAN | {"/etc/systemd/system/getty.target": "/dev/null"},
    "a masked unit": DEBIAN | {"/etc/systemd/system/serial-getty@ttyS0.service": "/dev/null"},
    "a kernel whose version ends in 0": with_menu(grub(f"/boot/vmlinuz-6.12.0 {LINUX}")),
    "a kernel called kernel.img": with_menu(grub(f"/boot/kernel.img {LINUX}")),
    "Windows only": with_menu(grub("chainloader +1")),
    "Windows beside Linux": with_menu(grub("chainloader +1", f"/boot/vmlinuz {LINUX}")),
    "only a rescue entry": with_menu(
        f"menuentry 'Debian (recovery mode)' {{\n\tlinux /boot/vmlinuz {LINUX} single\n}}\n".encode()
    ),
    "only an emergency shell": with_line(f"{LINUX} systemd.unit=emergency.target"),
    "an empty menu": with_menu(b""),
    "a menu that cannot be parsed": with_menu(b"menuentry 'x' {\n linux /vmlinuz 'unbalanced\n"),
    "a menu with DOS line ends": with_menu(grub(f"/boot/vmlinuz {LINUX}").replace(b"\n", b"\r\n")),
    "custom.cfg": with_menu(grub(f"/boot/vmlinuz {LINUX}", tail=SOURCES_CUSTOM)) | {"/boot/grub/custom.cfg": CUSTOM},
    "Xen": with_menu(grub(f"/boot/vmlinuz {LINUX}", XEN.format(""))),
    "Xen on the port": with_menu(grub(f"/boot/vmlinuz {LINUX}", XEN.format(" com1=115200,8n1 console=com1,vga"))),
    "entries": BASE | SYSTEMD | {"/boot/loader/loader.conf": b"timeout 3\n", "/boot/loader/entries/a.conf": ENTRY},
    "entries and a command line to copy": BASE
    | SYSTEMD
    | {
        "/boot/loader/loader.conf": b"timeout 3\n",
        "/boot/loader/entries/a.conf": ENTRY,
        "/usr/lib/kernel/cmdline": LINUX.encode(),
    },
    "EXTLINUX": BASE
    | SYSTEMD
    | {"/boot/extlinux/extlinux.conf": f"default l0\nlabel l0\n linux /boot/vmlinuz\n append {LINUX}\n".encode()},
    "GRUB legacy": BASE
    | SYSTEMD
    | {"/boot/grub/menu.lst": f"default 0\ntimeout 5\ntitle Linux\nkernel /boot/vmlinuz {LINUX}\n".encode()},
    "a foreign menu.lst beside GRUB 2": DEBIAN | {"/boot/grub/menu.lst": b"title Find\nfind --set-root /bootmgr\n"},
    "a unified kernel image": BASE | SYSTEMD | {"/boot/efi/EFI/Linux/a.efi": b"MZ"},
    "a unified kernel image with the console": BASE
    | SYSTEMD
    | {"/boot/efi/EFI/Linux/a.efi": uki(f"{LINUX} console=tty0 console=ttyS0,115200n8")},
    "a unified kernel image with a bare console": BASE
    | SYSTEMD
    | {"/boot/efi/EFI/Linux/a.efi": uki(f"{LINUX} console=ttyS0"), "/boot/efi/loader/loader.conf": b"timeout 3\n"},
    "a unified kernel image with a silent profile": BASE
    | SYSTEMD
    | {"/boot/efi/EFI/Linux/a.efi": uki(f"{LINUX} console=ttyS0,115200n8", LINUX)},
    "an entry for a unified kernel image with the console": BASE
    | SYSTEMD
    | {
        "/boot/efi/loader/entries/a.conf": b"title Linux\nefi /EFI/Linux/a.efi\n",
        "/boot/efi/EFI/Linux/a.efi": uki(f"{LINUX} console=ttyS0,115200n8"),
    },
    "an entry for a kernel with a stub": BASE
    | SYSTEMD
    | {
        "/boot/efi/loader/entries/a.conf": f"title Linux\nefi /debian/vmlinuz.efi\noptions {LINUX}\n".encode(),
        "/boot/efi/debian/vmlinuz.efi": b"MZ".ljust(0x202, b"\0") + b"HdrS",
    },
    "GRUB beside a unified kernel image": DEBIAN | {"/boot/efi/EFI/Linux/a.efi": b"MZ"},
    "a sealed half": DEBIAN | {"/boot/efi/EFI/Linux/a.efi": b"MZ", "/boot/efi/loader/loader.conf": b"timeout 3\n"},
    "GRUB legacy on another port": BASE
    | SYSTEMD
    | {
        "/boot/grub/menu.lst": b"default saved\nserial --port=0x2f8 --speed=38400\nterminal serial\ntitle Linux\n"
        + f"kernel /boot/vmlinuz {LINUX}\nsavedefault\n".encode()
    },
    "LILO": BASE | SYSTEMD | {"/etc/lilo.conf": b"image=/boot/vmlinuz\n\tlabel=Linux\n"},
    "Limine": BASE | SYSTEMD | {"/boot/efi/limine.conf": b"/Linux\n\tprotocol: linux\n"},
    "U-Boot's script": BASE | SYSTEMD | {"/boot/boot.scr": b"\x27\x05\x19\x56"},
    "the Raspberry Pi's firmware": BASE | SYSTEMD | {"/boot/firmware/cmdline.txt": f"console=tty1 {LINUX}\n".encode()},
    "Xen's EFI loader": BASE | SYSTEMD | {"/boot/efi/EFI/xen/xen.cfg": b"[global]\ndefault=linux\n"},
    "sysvinit": with_inittab(SYSV),
    "sysvinit with a comment": with_inittab(f"{SYSV}#T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100\n"),
    "start_getty": with_inittab(f"{SYSV}S0:12345:respawn:/bin/start_getty 115200 ttyS0 vt102\n"),
    "ttyrun": with_inittab(f"{SYSV}S0:12345:respawn:/usr/sbin/ttyrun ttyS0 /bin/start_getty 115200 ttyS0 vt102\n"),
    "another runlevel": with_inittab(f"{SYSV}T0:3:respawn:/sbin/getty -L ttyS0 115200 vt100\n"),
    "a getty on the console": with_inittab(
        "::sysinit:/etc/init.d/rcS\nconsole::respawn:/sbin/getty -L  console 0 vt100\n"
    ),
    "askfirst": with_inittab("::sysinit:/etc/init.d/rcS\nttyS0::askfirst:/bin/login\n"),
    "busybox": with_inittab("::sysinit:/etc/init.d/rcS\n", **{"/sbin/init": "../bin/busybox", "/bin/busybox": ELF}),
    "securetty": DEBIAN | {"/etc/securetty": b"tty1\ntty2\n"},
    "upstart": BASE
    | GRUB
    | {"/sbin/init": ELF, "/sbin/initctl": ELF, "/etc/init/tty1.conf": b"respawn\nexec /sbin/getty -8 38400 tty1\n"},
    "runit": BASE
    | GRUB
    | {
        "/sbin/init": "runit-init",
        "/sbin/runit-init": ELF,
        "/etc/sv/agetty-ttyS0/conf": b"BAUD_RATE=115200\n",
        "/etc/sv/agetty-tty1/run": b"#!/bin/sh\n",
        "/etc/runit/runsvdir/default/agetty-tty1": "/etc/sv/agetty-tty1",
    },
    "a shell in place of init": with_line(f"{LINUX} init=/bin/bash") | {"/bin/bash": ELF},
    "a getty of its own speed": DEBIAN
    | {"/etc/systemd/system/serial-getty@.service": b"[Service]\nExecStart=-/sbin/agetty -L 9600 %I vt102\n"},
    "an unknown init system": BASE | GRUB | {"/sbin/init": b"#!/bin/execlineb -P\n"},
}
"""Disks: file systems of installed systems, and of what is none."""

LOCAL = "label local\n  menu label Local disk\n  menu default\n  localboot 0x80\n"
INSTALL = "label install\n  kernel /install/vmlinuz\n  append initrd=/install/initrd.gz {}\n"
WIPE = "inst.ks=cdrom:/wipe.ks quiet"


def isolinux(*parts: str, head: str = "default vesamenu.c32\ntimeout 50\n") -> Files:
    """An ISO with this ISOLINUX menu."""
    return {"/isolinux/isolinux.cfg": (head + "".join(parts)).encode()}


def iso_grub(menu: bytes) -> Files:
    """An ISO with this GRUB menu."""
    return {"/boot/grub/grub.cfg": menu}


def _encoded(files: dict[str, str | bytes]) -> Files:
    return {path: data.encode() if isinstance(data, str) else data for path, data in files.items()}


ISOS: dict[str, Files] = {
    "debian, ISOLINUX": _encoded(DEBIAN_ISOLINUX),
    "debian, GRUB": _encoded(DEBIAN_GRUB),
    "debian": _encoded(DEBIAN_ISOLINUX | DEBIAN_GRUB),
    "anaconda": _encoded({"/isolinux/isolinux.cfg": ANACONDA, "/.discinfo": "1700000000.1\nFedora 39\nx86_64\n"}),
    "suse": _encoded({"/boot/x86_64/loader/isolinux.cfg": SUSE_ISOLINUX}),
    "arch": _encoded(ARCH),
    "local disk first": isolinux(LOCAL, INSTALL.format(WIPE)),
    "local disk first, GRUB": iso_grub(grub("exit", f"/install/vmlinuz {WIPE}")),
    "unattended": isolinux(INSTALL.format("auto=true preseed/file=/cdrom/preseed.cfg --- quiet")),
    "Agama, unattended": iso_grub(grub("/boot/linux inst.auto=http://server/profile.json inst.finish=stop quiet")),
    "waits for ever": isolinux(INSTALL.format("--- quiet"), head="default install\nprompt 1\n"),
    "a port in use": isolinux(INSTALL.format("console=tty0 console=ttyS1,115200n8")),
    "a port that only ISOLINUX uses": isolinux(INSTALL.format("quiet"), head="serial 1 38400\ndefault install\n"),
    "a unified kernel image": {"/EFI/Linux/a.efi": b"MZ"},
    "a unified kernel image with the console": {"/EFI/Linux/a.efi": uki("console=ttyS0,115200n8 quiet")},
    "GRUB beside a unified kernel image": iso_grub(grub("/install/vmlinuz quiet")) | {"/EFI/Linux/a.efi": b"MZ"},
    "a sealed half": iso_grub(grub("/install/vmlinuz quiet"))
    | {"/EFI/Linux/a.efi": b"MZ", "/loader/loader.conf": b"timeout 3\n"},
    "no Linux": isolinux("label memtest\n  com32 mboot.c32\n  append /esxi\n"),
    "no menu": {"/docs/readme.txt": b"x"},
    "a default in a submenu": iso_grub(
        b"set default='1>0'\nset timeout=5\nmenuentry 'Local' {\n\texit\n}\nsubmenu 'More' {\n"
        b"\tmenuentry 'Install' {\n\t\tlinux /install/vmlinuz quiet\n\t}\n}\n"
    ),
    "a default that firmware decides": iso_grub(
        b"if [ $grub_platform == efi ]; then set default=1; else set default=0; fi\nset timeout=3\n"
        b"menuentry 'Graphical install' {\n\tlinux /install.amd/vmlinuz --- quiet\n"
        b"\tinitrd /install.amd/gtk/initrd.gz\n}\nmenuentry 'Local disk' {\n\texit\n}\n"
        b"menuentry 'Install' {\n\tlinux /install.amd/vmlinuz --- quiet\n\tinitrd /install.amd/initrd.gz\n}\n"
    ),
    "a sourced file": iso_grub(b"set timeout=5\nsource /boot/grub/more.cfg\n")
    | {"/boot/grub/more.cfg": grub("/install/vmlinuz quiet", head="")},
    "a chosen file": iso_grub(grub("configfile /boot/grub/more.cfg"))
    | {"/boot/grub/more.cfg": grub("/install/vmlinuz quiet")},
    "entries by eval": iso_grub(b"set timeout=5\neval \"menuentry 'Install' { linux /install/vmlinuz quiet; }\"\n"),
    "entries of a loop": iso_grub(b'set timeout=5\nfor f in a b; do\n  source "/boot/grub/$f.cfg"\ndone\n')
    | {f"/boot/grub/{name}.cfg": grub("/install/vmlinuz quiet", head="") for name in "ab"},
    "entries of a function": iso_grub(
        b'set timeout=5\nfunction entry {\n menuentry "$1" {\n  linux /install/vmlinuz quiet\n }\n}\nentry Install\n'
    ),
    "halves that differ": isolinux(INSTALL.format("quiet")) | iso_grub(grub("chainloader /EFI/BOOT/windows.efi")),
    "only for rescue": isolinux(INSTALL.format("rescue")),
    "live": iso_grub(grub("/casper/vmlinuz boot=casper quiet splash ---")),
    "memtest beside it": isolinux(INSTALL.format("quiet"), "label memtest\n  kernel /install/mt86plus\n"),
    "DOS line ends": {"/isolinux/isolinux.cfg": INSTALL.format("quiet").replace("\n", "\r\n").encode()},
    "a menu that cannot be parsed": iso_grub(b"menuentry 'x' {\n linux /vmlinuz 'unbalanced\n"),
}
"""ISOs: media of installers, live systems, and of what is neither."""


def make_disk(name: str, folder: Path) -> Path:
    """One of the disks, a raw file that is one file system."""
    return make_file_system(folder / "disk.img", Part("ext4", DISKS[name]))


def make_iso(name: str, folder: Path) -> Path:
    """One of the ISOs, with Rock Ridge and Joliet."""
    tree, image = folder / "tree", folder / "image.iso"
    for path, data in ISOS[name].items():
        target = tree / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, bytes):
            target.write_bytes(data)
        else:
            target.symlink_to(data)
    oracle.run("xorriso", "-as", "mkisofs", "-quiet", "-r", "-J", "-V", "CASE", "-o", image, tree)
    return image
