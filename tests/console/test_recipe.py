"""The recipe on real file systems: what each kind of system needs, nothing more, and nothing the second time."""

import re

import pytest

from imgkit.configtext.checks import CheckKind
from imgkit.configtext.options import EnableOptions
from imgkit.configtext.serial import SerialConsole, default_console
from imgkit.console.recipe import enable
from imgkit.console.status import status
from imgkit.errors import ConfigError, UnsupportedError
from tests.support import corpus
from tests.support.systems import CONSOLE, GRUB, GRUB_CFG, SYSTEMD, enabled, grubenv, missing, tree_of

DEBIAN_INITTAB = b"""id:2:initdefault:
si::sysinit:/etc/init.d/rcS
1:2345:respawn:/sbin/getty 38400 tty1
#T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100
"""


def test_systemd_and_grub_need_the_menu_and_the_defaults(system):
    image = system(SYSTEMD, GRUB)
    assert missing(image) == {CheckKind.LOADER, CheckKind.KERNEL, CheckKind.GETTY, CheckKind.KEPT}
    changes = enabled(image)
    assert set(changes) == {"/boot/grub/grub.cfg", "/etc/default/grub"}
    menu = changes["/boot/grub/grub.cfg"].after.decode()
    assert "ro quiet console=tty0 console=ttyS0,115200n8\n" in menu
    assert "ro single\n" in menu, "the recovery entry stays"


def test_wishes(system):
    changes = enabled(system(SYSTEMD, GRUB), options=EnableOptions(recovery=True, quiet_off=True, timeout=20))
    menu, defaults = (changes[path].after.decode() for path in ("/boot/grub/grub.cfg", "/etc/default/grub"))
    assert "ro console=tty0 console=ttyS0,115200n8\n" in menu
    assert "ro single console=tty0 console=ttyS0,115200n8\n" in menu
    assert "set timeout=20" in menu
    assert "GRUB_TIMEOUT=20" in defaults
    assert "quiet" not in defaults


def test_serial_only(system):
    image = system(SYSTEMD, GRUB)
    changes = enabled(image, SerialConsole(keep_vga=False, port="ttyS1", baud=9600))
    menu = changes["/boot/grub/grub.cfg"].after.decode()
    assert "quiet console=ttyS1,9600n8\n" in menu
    assert "terminal_output serial\n" in menu
    assert "--unit=1 --speed=9600" in menu


def test_a_menu_on_the_line_alone_serves_too_and_enable_puts_it_on_the_screen_again(system):
    """So Debian's installer leaves it where it ran over a serial line: kernels on both, the menu on one."""
    serial = "serial --unit=0 --speed=115200 --word=8 --parity=no --stop=1"
    menu = f"{serial}\nterminal_input serial\nterminal_output serial\n{GRUB_CFG}"
    menu = menu.replace("ro quiet", "ro console=tty0 console=ttyS0,115200n8 quiet")
    defaults = 'GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200n8"\n'
    defaults += f'GRUB_TERMINAL=serial\nGRUB_SERIAL_COMMAND="{serial}"\n'
    image = system(SYSTEMD, {"/boot/grub/grub.cfg": menu.encode(), "/etc/default/grub": defaults.encode()})
    with tree_of(image) as tree:
        assert status(tree).enabled
        refused = [link.kind for link in status(tree, SerialConsole(keep_vga=False)).links if not link.ok]
        assert CheckKind.KERNEL in refused, "the kernel is on the screen too"
        assert CheckKind.LOADER not in refused
    assert b"terminal_output serial console\n" in enabled(image)["/boot/grub/grub.cfg"].after


def test_drop_ins_that_discard_get_one_that_is_read_last(system):
    image = system(SYSTEMD, GRUB, {"/etc/default/grub.d/50-cloud.cfg": b'GRUB_CMDLINE_LINUX_DEFAULT="net.ifnames=0"\n'})
    changes = enabled(image)
    (drop_in,) = set(changes) - {"/boot/grub/grub.cfg"}
    assert drop_in.startswith("/etc/default/grub.d/")
    assert changes[drop_in].before is None


def test_a_generator_that_reads_no_drop_ins_gets_the_main_file(system):
    image = system(
        SYSTEMD,
        GRUB,
        {"/etc/default/grub.d/50-x.cfg": b"GRUB_CMDLINE_LINUX_DEFAULT=x\n", "/usr/sbin/grub-mkconfig": b"#!/bin/sh\n"},
    )
    assert set(enabled(image)) == {"/boot/grub/grub.cfg", "/etc/default/grub"}


def test_sysvinit_gets_its_getty(system):
    image = system(GRUB, {"/etc/inittab": DEBIAN_INITTAB, "/sbin/init": b"\x7fELF"})
    changes = enabled(image)
    assert b"\nT0:23:respawn:/sbin/getty -L ttyS0 115200 vt220\n" in changes["/etc/inittab"].after


def test_a_serial_installation_gets_its_screen_back(system):
    inittab = b"1:2345:respawn:/sbin/getty 38400 tty1\n".join(
        [b"id:2:initdefault:\n#", b"T0:23:respawn:/sbin/getty -L ttyS0 115200 vt220\n"]
    )
    image = system(GRUB, {"/etc/inittab": inittab})
    enabled(image)
    with tree_of(image) as tree:
        assert b"\n1:2345:respawn:/sbin/getty 38400 tty1\n" in tree.read("/etc/inittab")


def test_upstart_gets_a_job(system):
    image = system(GRUB, {"/sbin/initctl": b"", "/etc/init/tty1.conf": b"start on x\n", "/sbin/init": b"\x7fELF"})
    changes = enabled(image)
    assert b"exec /sbin/getty" in changes["/etc/init/ttyS0.conf"].after


def test_rhel_6_has_a_job_of_its_own(system):
    image = system(GRUB, {"/sbin/initctl": b"", "/etc/init/serial.conf": b"instance $DEV\n", "/sbin/init": b"\x7fELF"})
    assert not any(path.startswith("/etc/init/") for path in enabled(image))


def test_root_may_log_in_where_that_is_restricted(system):
    changes = enabled(system(SYSTEMD, GRUB, {"/etc/securetty": b"console\ntty1\n"}))
    assert changes["/etc/securetty"].after == b"console\ntty1\nttyS0\n"


def test_a_generator_that_is_off_gets_a_link(system):
    menu = GRUB_CFG.replace("quiet", "quiet systemd.getty_auto=0")
    image = system(SYSTEMD, GRUB, {"/boot/grub/grub.cfg": menu.encode()})
    assert CheckKind.GETTY in missing(image)
    enabled(image)
    with tree_of(image) as tree:
        link = "/etc/systemd/system/getty.target.wants/serial-getty@ttyS0.service"
        assert tree.readlink(link) == "/lib/systemd/system/serial-getty@.service"


def test_a_mask_is_taken_away(system):
    mask = "/etc/systemd/system/serial-getty@ttyS0.service"
    image = system(SYSTEMD, GRUB, {mask: "/dev/null"})
    with tree_of(image) as tree:
        found = next(link for link in status(tree, CONSOLE).links if link.kind is CheckKind.GETTY)
    assert (found.ok, found.file) == (False, mask)
    changes = enabled(image)
    assert "remove link" in changes[mask].diff()
    with tree_of(image) as tree:
        assert not tree.exists(mask)


BLS = {
    "/boot/loader/entries/fedora-6.1.conf": b"title Fedora\nversion 6.1\nlinux /vmlinuz-6.1\noptions $kernelopts\n",
    "/boot/grub2/grub.cfg": b"set timeout=5\nterminal_output console\ninsmod blscfg\nblscfg\n",
    "/etc/default/grub": b'GRUB_CMDLINE_LINUX="rhgb quiet"\nGRUB_ENABLE_BLSCFG=true\nGRUB_TERMINAL_OUTPUT="console"\n',
    "/etc/kernel/cmdline": b"root=/dev/sda1 ro rhgb quiet\n",
}


def test_loader_entries_that_refer_to_grubs_environment(system):
    image = system(SYSTEMD, BLS, {"/boot/grub2/grubenv": grubenv("kernelopts=root=/dev/sda1 ro rhgb quiet\n")})
    changes = enabled(image)
    assert set(changes) == {"/boot/grub2/grub.cfg", "/boot/grub2/grubenv", "/etc/default/grub", "/etc/kernel/cmdline"}
    assert len(changes["/boot/grub2/grubenv"].after) == 1024


def test_loader_entries_with_options_of_their_own(system):
    entry = b"title Fedora\r\nlinux /vmlinuz-6.1\r\noptions root=/dev/sda1 ro rhgb quiet\r\n"
    image = system(SYSTEMD, BLS, {"/boot/loader/entries/fedora-6.1.conf": entry})
    changes = enabled(image, options=EnableOptions(quiet_off=True))
    after = changes["/boot/loader/entries/fedora-6.1.conf"].after
    assert after.endswith(b"options root=/dev/sda1 ro console=tty0 console=ttyS0,115200n8\r\n")
    assert changes["/etc/kernel/cmdline"].after == b"root=/dev/sda1 ro console=tty0 console=ttyS0,115200n8\n"


def test_systemd_boot(system):
    loader = {
        "/efi/loader/loader.conf": b"#timeout 3\n",
        "/efi/loader/entries/arch.conf": b"title Arch\nlinux /vmlinuz-linux\noptions root=/dev/sda1 rw\n",
    }
    changes = enabled(system(SYSTEMD, loader), options=EnableOptions(timeout=7))
    assert set(changes) == set(loader)
    assert b"timeout 7" in changes["/efi/loader/loader.conf"].after


def test_a_unified_kernel_image_is_refused_by_name(system):
    image = system(SYSTEMD, {"/efi/EFI/Linux/arch.efi": b"MZ"})
    with tree_of(image) as tree:
        with pytest.raises(UnsupportedError, match=r"/efi/EFI/Linux/arch\.efi is a unified kernel image") as caught:
            enable(tree, CONSOLE)
        assert "/etc/kernel/cmdline" in caught.value.hint
        assert not status(tree).enabled


def test_no_boot_loader_is_refused_by_name(system):
    with tree_of(system(SYSTEMD)) as tree:
        with pytest.raises(UnsupportedError, match="no known boot loader") as caught:
            enable(tree, CONSOLE)
        assert "console=ttyS0" in caught.value.hint
        assert not status(tree).enabled


ALPINE = {
    "/boot/extlinux.conf": b"TIMEOUT 10\nLABEL lts\n  LINUX vmlinuz-lts\n  APPEND root=UUID=x quiet\n",
    "/etc/update-extlinux.conf": b'default_kernel_opts="quiet"\nserial_port=\nserial_baud=115200\ntimeout=1\n',
    "/etc/inittab": b"tty1::respawn:/sbin/getty 38400 tty1\n#ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100\n",
    "/etc/securetty": b"console\ntty1\n",
    "/sbin/init": "/bin/busybox",
    "/sbin/openrc": b"\x7fELF",
    "/bin/busybox": b"\x7fELF",
}


def test_alpine(system):
    changes = enabled(system(ALPINE))
    assert set(changes) == {"/boot/extlinux.conf", "/etc/update-extlinux.conf", "/etc/inittab", "/etc/securetty"}
    assert changes["/boot/extlinux.conf"].after.startswith(b"serial 0 115200\n")
    assert b"\nttyS0::respawn:/sbin/getty -L 115200 ttyS0 " in changes["/etc/inittab"].after


def test_an_extlinux_menu_that_includes_others(system):
    menu = {
        "/boot/extlinux/extlinux.conf": b"default l0\ninclude linux.cfg\ninclude missing.cfg\ntimeout 50\n",
        "/boot/extlinux/linux.cfg": b"label l0\n\tkernel ../vmlinuz\n\tappend root=/dev/sda1 ro quiet\n",
        "/etc/default/extlinux": b'EXTLINUX_PARAMETERS="ro quiet"\n',
    }
    changes = enabled(system(SYSTEMD, menu))
    assert set(changes) == set(menu)
    assert b"serial" not in changes["/boot/extlinux/linux.cfg"].after.split(b"\n")[0]


def test_u_boot_without_a_file_of_defaults_gets_one(system):
    menu = b"default l0\nlabel l0\n\tlinux /vmlinuz\n\tfdtdir /usr/lib/linux-image/\n\tappend root=/dev/sda1 ro quiet\n"
    changes = enabled(
        system(SYSTEMD, {"/boot/extlinux/extlinux.conf": menu, "/usr/sbin/u-boot-update": b"#!/bin/sh\n"})
    )
    assert b"console=ttyS0,115200n8" in changes["/etc/default/u-boot"].after
    assert b"serial" not in changes["/boot/extlinux/extlinux.conf"].after, "U-Boot's console is its firmware's business"


def test_grub_legacy(system):
    menu = b"default 0\ntimeout 5\ntitle CentOS\n\troot (hd0,0)\n\tkernel /vmlinuz ro root=/dev/sda1 rhgb quiet\n"
    changes = enabled(system({"/boot/grub/menu.lst": menu, "/etc/inittab": DEBIAN_INITTAB}))
    assert b"\nserial --unit=0" in b"\n" + changes["/boot/grub/menu.lst"].after


@pytest.mark.parametrize(
    ("arch", "port"),
    [
        ("x86_64", "ttyS0"),
        ("aarch64", "ttyAMA0"),
        ("ppc64le", "hvc0"),
        ("s390x", "ttysclp0"),
        ("riscv64", "ttyS0"),
        ("", "ttyS0"),
    ],
)
def test_the_port_follows_the_architecture(arch, port):
    assert default_console(arch).port == port


def test_arm_uses_the_firmwares_console_in_grub(system):
    changes = enabled(system(SYSTEMD, GRUB), SerialConsole(port="ttyAMA0"))
    menu = changes["/boot/grub/grub.cfg"].after.decode()
    assert "console=tty0 console=ttyAMA0,115200n8" in menu
    assert "serial --unit" not in menu


def test_a_broken_menu_is_refused_with_its_line(system):
    image = system(SYSTEMD, GRUB, {"/boot/grub/grub.cfg": b"menuentry 'x' {\n  linux /vmlinuz\n"})
    with tree_of(image) as tree, pytest.raises(ConfigError) as caught:
        enable(tree, CONSOLE)
    assert caught.value.path == "/boot/grub/grub.cfg"
    assert re.match(r"/boot/grub/grub\.cfg:\d+: ", str(caught.value))


@pytest.mark.parametrize(
    ("menu", "kinds"),
    [
        (GRUB_CFG.replace("quiet", "quiet console=ttyS0"), {CheckKind.LOADER, CheckKind.KEPT}),
        (GRUB_CFG.replace("quiet", "quiet console=tty0 console=ttyS0,115200n8"), {CheckKind.LOADER, CheckKind.KEPT}),
        (
            "serial --speed=9600\nterminal_output serial console\nterminal_input serial console\n" + GRUB_CFG,
            {CheckKind.KERNEL, CheckKind.GETTY, CheckKind.LOADER, CheckKind.KEPT},
        ),
    ],
)
def test_the_status_names_the_links_that_are_missing(system, menu, kinds):
    assert missing(system(SYSTEMD, GRUB, {"/boot/grub/grub.cfg": menu.encode()})) == kinds


def test_a_bare_console_means_9600_baud(system):
    image = system(SYSTEMD, GRUB, {"/boot/grub/grub.cfg": GRUB_CFG.replace("quiet", "console=ttyS0").encode()})
    with tree_of(image) as tree:
        assert status(tree).console.baud == 9600
    changes = enabled(image)
    assert "ro console=tty0 console=ttyS0,115200n8\n" in changes["/boot/grub/grub.cfg"].after.decode()


def test_every_link_of_the_status_points_to_a_line_that_is_there(system):
    image = system(
        SYSTEMD, GRUB, {"/etc/securetty": b"tty1\n", "/etc/default/grub.d/x.cfg": b"GRUB_TERMINAL=console\n"}
    )
    for _ in range(2):
        with tree_of(image) as tree:
            for link in status(tree, CONSOLE).links:
                if link.line:
                    assert link.line <= tree.read(link.file).count(b"\n") + 1
        enabled(image)


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["debian-wheezy-hvm.grub2", "ubuntu-14.04-lts.grub2", "fedora-16-with-xen.grub2"])
def test_menus_of_real_installations(system, name):
    menu = corpus.content(f"bootcfg/xen-pygrub/{name}")
    enabled(system(SYSTEMD, GRUB, {"/boot/grub/grub.cfg": menu}))


# -- kernels of several loaders ----------------------------------------------------------------------------------------
