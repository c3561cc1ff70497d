"""The recipe where several boot loaders, generators or kernels of other kinds meet, on real file systems."""

import pytest

from imgkit.configtext.checks import CheckKind
from imgkit.configtext.serial import SerialConsole
from imgkit.console.recipe import enable
from imgkit.console.status import status
from imgkit.editing import ImageSource, edit_image
from imgkit.errors import UnsupportedError
from imgkit.guest.engines.choice import EngineChoice
from imgkit.storage.output import InPlace
from tests.support.guests import Part, make_disk
from tests.support.systems import CONSOLE, GRUB, GRUB_CFG, SYSTEMD, enabled, grubenv, missing, tree_of

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
