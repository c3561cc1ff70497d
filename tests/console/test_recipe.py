"""The recipe on real file systems: what each kind of system needs, nothing more, and nothing the second time."""

import re
from contextlib import contextmanager

import pytest

from imgkit.configtext.checks import CheckKind
from imgkit.configtext.options import EnableOptions
from imgkit.configtext.serial import SerialConsole, default_console
from imgkit.console.recipe import enable
from imgkit.console.status import status
from imgkit.editing import ImageSource, edit_image, opened
from imgkit.errors import ConfigError, UnsupportedError
from imgkit.guest.engines.choice import EngineChoice
from imgkit.storage.output import InPlace
from tests.support import corpus, oracle
from tests.support.guests import OS_RELEASE, Part, make_disk, make_file_system

GRUB_CFG = """set default="0"
if [ x$feature_timeout_style = xy ] ; then
  set timeout_style=menu
  set timeout=5
fi
menuentry 'Debian GNU/Linux' --class debian {
\tlinux\t/boot/vmlinuz-6.1 root=/dev/sda1 ro quiet
\tinitrd\t/boot/initrd.img-6.1
}
menuentry 'Debian GNU/Linux, with Linux 6.1 (recovery mode)' {
\tlinux\t/boot/vmlinuz-6.1 root=/dev/sda1 ro single
}
"""
DEFAULT_GRUB = 'GRUB_DEFAULT=0\nGRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX=""\n'
SYSTEMD = {"/sbin/init": "/lib/systemd/systemd", "/lib/systemd/system/serial-getty@.service": b"[Unit]\n"}
GRUB = {"/boot/grub/grub.cfg": GRUB_CFG.encode(), "/etc/default/grub": DEFAULT_GRUB.encode()}
DEBIAN_INITTAB = b"""id:2:initdefault:
si::sysinit:/etc/init.d/rcS
1:2345:respawn:/sbin/getty 38400 tty1
#T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100
"""
CONSOLE = SerialConsole()


@pytest.fixture
def system(tmp_path):
    """A function that makes a whole-disk image with these files."""

    def make(*trees, **more):
        files = {"/etc/os-release": OS_RELEASE.encode(), "/etc/fstab": b""}
        for tree in (*trees, more):
            files |= tree
        return make_file_system(tmp_path / "disk.img", Part("ext4", files, size=24))

    return make


@contextmanager
def tree_of(image):
    with opened(ImageSource(image, engine=EngineChoice.NATIVE)) as (_, guest):
        yield guest.tree


def enabled(image, console=CONSOLE, options=None):
    """Enable in place, check that this is all that it takes, and return the changed files."""
    source = ImageSource(image, engine=EngineChoice.NATIVE)
    edited = edit_image(source, lambda guest: enable(guest.tree, console, options), InPlace())
    assert oracle.run("e2fsck", "-fn", image).returncode == 0
    with tree_of(image) as tree:
        assert enable(tree, console, options) == [], "twice is once"
        after = status(tree, console)
        assert after.enabled, [link for link in after.links if not link.ok]
        assert status(tree).enabled, "the status without a wish finds the same console"
    again = edit_image(source, lambda guest: enable(guest.tree, console, options), InPlace())
    assert again.plan.is_empty
    return {change.path: change for change in edited.changes}


def missing(image, console=None):
    with tree_of(image) as tree:
        return {link.kind for link in status(tree, console).links if not link.ok}


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


def grubenv(text):
    return ("# GRUB Environment Block\n" + text).encode().ljust(1024, b"#")


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

EL8_ARGUMENTS = "root=/dev/sda2 ro no_timer_check "
EL8_MENU = f"""set timeout=1
load_env
terminal_output console
if [ -z "${{kernelopts}}" ]; then
  set kernelopts="{EL8_ARGUMENTS}"
fi
insmod blscfg
blscfg
"""
EL8_ENTRY = b"title Rocky Linux\nlinux /vmlinuz-4.18\noptions $kernelopts $tuned_params\n"


@pytest.fixture
def hybrid(tmp_path):
    """A function that makes EL 8's hybrid image: a GRUB for BIOS in /boot, one for UEFI on the ESP."""

    def make(block):
        esp = {"/EFI/rocky/grub.cfg": EL8_MENU.encode(), "/EFI/rocky/grubenv": grubenv(f"kernelopts={EL8_ARGUMENTS}\n")}
        root = SYSTEMD | {
            "/etc/os-release": b"ID=rocky\n",
            "/etc/fstab": b"LABEL=ESP /boot/efi vfat defaults 0 2\n",
            "/boot/efi/.keep": b"",
            "/boot/grub2/grub.cfg": EL8_MENU.encode(),
            "/boot/grub2/grubenv": block,
            "/boot/loader/entries/a.conf": EL8_ENTRY,
        }
        return make_disk(tmp_path / "disk.img", [Part("vfat", esp, label="ESP"), Part("ext4", root, size=24)])

    return make


def changed_and_enabled(image):
    """Enable in place and check that status agrees and that twice is once; the changed files."""
    source = ImageSource(image, engine=EngineChoice.NATIVE)
    edited = edit_image(source, lambda guest: enable(guest.tree, CONSOLE), InPlace())
    with tree_of(image) as tree:
        assert enable(tree, CONSOLE) == []
        assert status(tree, CONSOLE).enabled, [link for link in status(tree, CONSOLE).links if not link.ok]
    return {change.path: change.after.decode() for change in edited.changes}


def test_both_grubs_of_a_hybrid_image_give_kernelopts_the_console(hybrid):
    """GRUB under BIOS cannot follow the link to the ESP: what its own script sets counts."""
    image = hybrid("../efi/EFI/rocky/grubenv")
    with tree_of(image) as tree:
        files = {link.file for link in status(tree, CONSOLE).links if link.kind is CheckKind.KERNEL and not link.ok}
    assert files == {"/boot/grub2/grub.cfg", "/boot/efi/EFI/rocky/grubenv"}
    changes = changed_and_enabled(image)
    assert set(changes) == {"/boot/grub2/grub.cfg", "/boot/efi/EFI/rocky/grub.cfg", "/boot/efi/EFI/rocky/grubenv"}
    wanted = f'set kernelopts="{EL8_ARGUMENTS.rstrip()} console=tty0 console=ttyS0,115200n8 "'
    assert wanted in changes["/boot/grub2/grub.cfg"]
    assert "console=ttyS0" in changes["/boot/efi/EFI/rocky/grubenv"]


def test_two_environment_blocks_are_both_given_the_console(hybrid):
    image = hybrid(grubenv(f"kernelopts={EL8_ARGUMENTS}\n"))
    changes = changed_and_enabled(image)
    assert {"/boot/grub2/grubenv", "/boot/efi/EFI/rocky/grubenv"} <= set(changes)
    assert "/boot/loader/entries/a.conf" not in changes


SYSTEMD_BOOT = {"/efi/loader/loader.conf": b"timeout 3\n"}


def test_an_entry_that_starts_its_kernel_as_an_efi_program(system):
    entry = b"title Arch\nefi /vmlinuz-linux\noptions root=/dev/sda1 rw\n"
    changes = enabled(system(SYSTEMD, SYSTEMD_BOOT, {"/efi/loader/entries/arch.conf": entry}))
    assert b"rw console=tty0 console=ttyS0,115200n8\n" in changes["/efi/loader/entries/arch.conf"].after


@pytest.mark.parametrize("key", ["uki", "efi"])
def test_an_entry_that_starts_a_unified_kernel_image_is_named(system, key):
    entries = {
        "/efi/loader/entries/a.conf": b"title Arch\nlinux /vmlinuz-linux\noptions root=/dev/sda1 rw\n",
        "/efi/loader/entries/b.conf": f"title Sealed\n{key} /EFI/Linux/arch.efi\n".encode(),
        "/efi/loader/entries/c.conf": b"title Shell\nefi /shellx64.efi\n",
        "/efi/EFI/Linux/arch.efi": b"MZ",
    }
    image = system(SYSTEMD, SYSTEMD_BOOT, entries)
    source = ImageSource(image, engine=EngineChoice.NATIVE)
    edit_image(source, lambda guest: enable(guest.tree, CONSOLE), InPlace())
    with tree_of(image) as tree:
        left = {link.file: link for link in status(tree, CONSOLE).links if not link.ok}
    assert set(left) == {"/efi/loader/entries/b.conf", "/efi/EFI/Linux/arch.efi"}
    assert left["/efi/loader/entries/b.conf"].entry == "Sealed"
    assert all("/etc/kernel/cmdline" in link.hint for link in left.values())


def test_an_entry_whose_image_is_not_there_says_so(system):
    entry = b"title Sealed\nuki /EFI/Linux/arch.efi\n"
    image = system(SYSTEMD, SYSTEMD_BOOT, {"/efi/loader/entries/b.conf": entry})
    with tree_of(image) as tree:
        told = [link.message for link in status(tree, CONSOLE).links if link.entry == "Sealed"]
    assert told == ["Sealed starts /EFI/Linux/arch.efi, which was not found"]


def test_a_unified_kernel_image_beside_grub_is_none_of_its_business(system):
    enabled(system(SYSTEMD, GRUB, {"/boot/efi/EFI/Linux/x.efi": b"MZ", "/boot/efi/EFI/debian/shimx64.efi": b"MZ"}))


def test_a_unified_kernel_image_that_systemd_boot_lists_counts(system):
    image = system(SYSTEMD, GRUB, SYSTEMD_BOOT, {"/efi/EFI/Linux/x.efi": b"MZ"})
    with tree_of(image) as tree:
        assert any(not link.ok and link.file == "/efi/EFI/Linux/x.efi" for link in status(tree, CONSOLE).links)


def test_the_vendors_command_line_of_later_kernels_is_overridden_not_changed(system):
    entry = {"/efi/loader/entries/a.conf": b"title Arch\nlinux /vmlinuz-linux\noptions root=LABEL=x rw\n"}
    image = system(SYSTEMD, SYSTEMD_BOOT, entry, {"/usr/lib/kernel/cmdline": b"root=LABEL=x rw quiet\n"})
    assert CheckKind.KEPT in missing(image)
    changes = enabled(image)
    assert changes["/etc/kernel/cmdline"].after == b"root=LABEL=x rw quiet console=tty0 console=ttyS0,115200n8\n"
    assert "/usr/lib/kernel/cmdline" not in changes


@pytest.mark.parametrize("declares", [False, True])
def test_nixos_makes_its_menu_from_a_declaration(system, declares):
    words = '"console=tty0" "console=ttyS0,115200n8"' if declares else ""
    nixos = {
        "/nix/var/nix/profiles/system": "/nix/store/x-nixos-system",
        "/nix/store/x-nixos-system/kernel-params": b"loglevel=4",
        "/etc/nixos/configuration.nix": f"{{ boot.kernelParams = [ {words} ]; }}\n".encode(),
    }
    image = system(SYSTEMD, {"/boot/grub/grub.cfg": GRUB_CFG.encode()}, nixos)
    source = ImageSource(image, engine=EngineChoice.NATIVE)
    edit_image(source, lambda guest: enable(guest.tree, CONSOLE), InPlace())
    with tree_of(image) as tree:
        left = [link for link in status(tree, CONSOLE).links if not link.ok]
    assert [link.kind for link in left] == ([] if declares else [CheckKind.KEPT])
    assert all("boot.kernelParams" in link.hint for link in left)


def test_zipls_boot_map_is_named(system):
    entry = {"/boot/loader/entries/a.conf": b"title RHEL\nlinux /boot/vmlinuz-5.14\noptions root=/dev/dasda1\n"}
    image = system(SYSTEMD, entry, {"/etc/zipl.conf": b"[defaultboot]\ndefaultauto\n"})
    console = SerialConsole("ttysclp0")
    source = ImageSource(image, engine=EngineChoice.NATIVE)
    edit_image(source, lambda guest: enable(guest.tree, console), InPlace())
    with tree_of(image) as tree:
        (left,) = [link for link in status(tree, console).links if not link.ok]
    assert left.file == "/etc/zipl.conf"
    assert "console=ttysclp0" in left.hint
    assert "run zipl" in left.hint


@pytest.mark.parametrize(("port", "word"), [("ttyAMA0", "console=ttyAMA0,115200n8"), ("hvc0", "console=hvc0")])
def test_refusals_name_the_port_of_the_machine(system, port, word):
    with tree_of(system(SYSTEMD)) as tree, pytest.raises(UnsupportedError) as caught:
        enable(tree, SerialConsole(port))
    assert word in caught.value.hint
