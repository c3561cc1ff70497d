"""The judge: what enabling a console may say is what status says of the staged image, and nothing else."""

from __future__ import annotations

import re

import pytest

import imgkit
from imgkit.bootloaders import efi
from imgkit.configtext.checks import Check, CheckKind, Status
from imgkit.configtext.options import EnableOptions
from imgkit.configtext.serial import SerialConsole
from imgkit.console.enabling import console_status, enable_console
from imgkit.console.judge import Verdict, judge, require
from imgkit.errors import PartlyEnabledError, UnsupportedError
from imgkit.storage.output import InPlace
from imgkit.treeedits import TreeEdits
from tests.support import cases, oracle
from tests.support.disks import sha256
from tests.support.guests import OS_RELEASE, Part, make_file_system
from tests.support.memorytree import MemoryTree

CONSOLE = SerialConsole()
KERNEL = Check(CheckKind.KERNEL, True, "/isolinux/isolinux.cfg", 3, "has it")
SILENT = Check(CheckKind.KERNEL, False, "/EFI/BOOT/grub.cfg", 7, "wants console=ttyS0,115200n8", entry="Rescue")

GRUB_CFG = b"menuentry 'Debian' {\n\tlinux\t/boot/vmlinuz root=/dev/sda1 ro quiet\n}\n"
SYSTEM = {
    "/etc/os-release": OS_RELEASE.encode(),
    "/etc/fstab": b"",
    "/etc/default/grub": b"GRUB_TIMEOUT=5\n",
    "/boot/grub/grub.cfg": GRUB_CFG,
    "/sbin/init": "/lib/systemd/systemd",
    "/lib/systemd/system/serial-getty@.service": b"[Unit]\n",
}


@pytest.fixture
def half(tmp_path):
    """A system whose GRUB has a kernel, and whose systemd-boot has a sealed one."""
    files = SYSTEM | {"/boot/efi/EFI/Linux/sealed.efi": b"MZ", "/boot/efi/loader/loader.conf": b"timeout 3\n"}
    return make_file_system(tmp_path / "half.img", Part("ext4", files))


def test_only_a_status_without_a_failing_check_is_enabled():
    assert judge(Status(CONSOLE, (KERNEL,))).verdict is Verdict.ENABLED
    assert judge(Status(CONSOLE, (KERNEL, SILENT))).verdict is Verdict.PARTLY
    assert judge(Status(CONSOLE, (SILENT,))).verdict is Verdict.NOT


def test_a_failing_check_names_entry_firmware_and_what_to_do():
    (check,) = judge(Status(CONSOLE, (KERNEL, SILENT))).failing
    assert (check.file, check.line, check.entry, check.firmware) == ("/EFI/BOOT/grub.cfg", 7, "Rescue", "UEFI")
    assert "console=tty0 console=ttyS0,115200n8" in check.hint
    assert "/EFI/BOOT/grub.cfg" in check.hint


@pytest.mark.parametrize("kind", CheckKind)
def test_every_kind_of_check_has_a_hint(kind):
    (check,) = judge(Status(CONSOLE, (Check(kind, False, "/x", 0, "why"),))).failing
    assert check.hint.endswith(".")
    assert "{" not in check.hint


def test_a_hint_that_a_check_brings_stays():
    (check,) = judge(Status(CONSOLE, (Check(CheckKind.GETTY, False, "/x", 0, "why", hint="Do this."),))).failing
    assert check.hint == "Do this."


def test_what_is_not_enabled_at_all_is_refused_and_what_is_in_part_only_if_strict():
    partly, nothing = judge(Status(CONSOLE, (KERNEL, SILENT))), judge(Status(CONSOLE, (SILENT,)))
    require(partly, "a.img", strict=False)
    with pytest.raises(PartlyEnabledError, match=r"^a\.img: .* nothing was written: kernel under UEFI"):
        require(partly, "a.img", strict=True)
    for strict in (False, True):
        with pytest.raises(UnsupportedError, match=r"^a\.img: serial console ttyS0 cannot be enabled: "):
            require(nothing, "a.img", strict=strict)


def test_an_image_that_is_enabled_in_part(half):
    enabled = enable_console(half, InPlace())
    assert enabled.verdict is Verdict.PARTLY
    assert [(check.file, check.firmware) for check in enabled.failing] == [("/boot/efi/EFI/Linux/sealed.efi", "UEFI")]
    assert {change.path for change in enabled.changes} == {"/boot/grub/grub.cfg", "/etc/default/grub"}
    assert not console_status(half).enabled
    again = enable_console(half, InPlace())
    assert (again.verdict, again.changes) == (Verdict.PARTLY, ())


def test_strict_leaves_every_byte(half):
    before = sha256(half)
    with pytest.raises(PartlyEnabledError, match=r"half\.img: "):
        enable_console(half, InPlace(), options=EnableOptions(strict=True))
    with pytest.raises(PartlyEnabledError):
        enable_console(half, half.with_name("new.img"), options=EnableOptions(strict=True))
    assert sha256(half) == before
    assert [path.name for path in half.parent.iterdir()] == ["half.img"]


def test_a_boot_menu_without_linux_is_refused(tmp_path):
    files = SYSTEM | {"/boot/grub/grub.cfg": b"menuentry 'Windows' {\n\tchainloader +1\n}\n"}
    image = make_file_system(tmp_path / "none.img", Part("ext4", files))
    before = sha256(image)
    assert not console_status(image).enabled
    with pytest.raises(UnsupportedError, match="no Linux boot entry found"):
        enable_console(image, InPlace())
    assert sha256(image) == before


def test_a_port_of_the_same_driver_is_kept_unless_another_is_asked_for(tmp_path):
    menu = GRUB_CFG.replace(b"quiet", b"console=tty0 console=ttyS1,115200n8")
    image = make_file_system(tmp_path / "disk.img", Part("ext4", SYSTEM | {"/boot/grub/grub.cfg": menu}))
    assert enable_console(image).console.port == "ttyS1"
    assert enable_console(image, console={"baud": 9600}).console == SerialConsole(port="ttyS1", baud=9600)
    assert enable_console(image, console={"port": "ttyS0"}).console == SerialConsole()
    assert enable_console(image, console=SerialConsole(port="ttyS2")).console.port == "ttyS2"


@pytest.mark.parametrize(
    ("make", "name", "wanted", "console"),
    [
        (cases.make_disk, "a speed in use", None, "console=ttyS0,9600n8"),
        (cases.make_disk, "a speed in use", {"baud": 19200}, "console=ttyS0,19200n8"),
        (cases.make_disk, "a speed in use", {"port": "ttyS1"}, "console=ttyS1,115200n8"),
        (cases.make_disk, "a bare console", None, "console=ttyS0,115200n8"),
        (cases.make_disk, "a port that only GRUB uses", None, "console=ttyS1,57600n8"),
        (cases.make_disk, "a port that only GRUB uses", {"port": "ttyS0"}, "console=ttyS0,115200n8"),
        (cases.make_disk, "GRUB legacy on another port", None, "console=ttyS1,38400n8"),
        (cases.make_iso, "a port that only ISOLINUX uses", None, "console=ttyS1,38400n8"),
        (cases.make_iso, "a port in use", None, "console=ttyS1,115200n8"),
    ],
)
def test_port_and_speed_in_use_are_kept_unless_asked(make, name, wanted, console, tmp_path):
    assert imgkit.enable_console(make(name, tmp_path), console=wanted).console.kernel_argument() == console


@pytest.mark.parametrize(
    ("name", "told", "hint"),
    [
        ("LILO", "/etc/lilo.conf is read by LILO", "imgkit edit"),
        ("Limine", "/boot/efi/limine.conf is read by Limine", "imgkit edit"),
        ("U-Boot's script", "/boot/boot.scr is read by U-Boot", "mkimage"),
        ("Xen's EFI loader", "/boot/efi/EFI/xen/xen.cfg is read by Xen's EFI loader", "imgkit edit"),
    ],
)
def test_boot_loaders_that_are_not_edited_are_named(name, told, hint, tmp_path):
    image = cases.make_disk(name, tmp_path)
    with pytest.raises(imgkit.UnsupportedError, match=re.escape(told)) as caught:
        imgkit.enable_console(image)
    assert hint in caught.value.hint
    assert told in " ".join(f"{check.file} {check.message}" for check in imgkit.console_status(image).links)


@pytest.mark.parametrize("name", ["only a rescue entry", "only an emergency shell", "a rest for init"])
def test_a_system_that_boots_only_for_rescue_gets_its_console_and_has_no_login(name, tmp_path):
    done = imgkit.enable_console(cases.make_disk(name, tmp_path))
    assert done.verdict is Verdict.PARTLY
    assert ["which has no login prompt" in check.message for check in done.failing] == [True]


@pytest.mark.parametrize(
    ("make", "name", "verdict"),
    [
        (cases.make_disk, "a unified kernel image with the console", Verdict.ENABLED),
        (cases.make_disk, "a unified kernel image with a bare console", Verdict.ENABLED),
        (cases.make_disk, "a unified kernel image with a silent profile", Verdict.PARTLY),
        (cases.make_disk, "an entry for a unified kernel image with the console", Verdict.ENABLED),
        (cases.make_disk, "an entry for a kernel with a stub", Verdict.ENABLED),
        (cases.make_iso, "a unified kernel image with the console", Verdict.ENABLED),
    ],
)
def test_a_sealed_command_line_counts_where_it_has_the_console(make, name, verdict, tmp_path):
    done = imgkit.enable_console(make(name, tmp_path))
    assert done.verdict is verdict
    assert all("sealed inside" in check.message and "/etc/kernel/cmdline" in check.hint for check in done.failing)


def test_a_sealed_command_line_is_not_promised_for_another_port(tmp_path):
    image = cases.make_disk("a unified kernel image with the console", tmp_path)
    with pytest.raises(imgkit.UnsupportedError, match=r"wants console=tty0 console=ttyS1,115200n8") as caught:
        imgkit.enable_console(image, console={"port": "ttyS1"})
    assert "/etc/kernel/cmdline" in caught.value.hint


def test_command_lines_are_read_as_binutils_wrote_them(tmp_path):
    line = tmp_path / "cmdline"
    line.write_bytes(b"root=/dev/sda1 console=ttyS0,115200\n\0")
    oracle.run(
        *("objcopy", "--add-section", f".cmdline={line}", "--change-section-vma", ".cmdline=0x30000"),
        *("/usr/lib/ipxe/snponly.efi", tmp_path / "a.efi"),
    )
    edits = TreeEdits(MemoryTree({"/a.efi": (tmp_path / "a.efi").read_bytes()}))
    assert efi.command_lines(edits, "/a.efi") == ["root=/dev/sda1 console=ttyS0,115200"]


def test_what_a_condition_may_choose_stays_unless_all_of_it_is_the_same_installer(tmp_path):
    """Under UEFI this medium boots the local disk, under BIOS the graphical installer."""
    image = cases.make_iso("a default that firmware decides", tmp_path)
    done = imgkit.enable_console(image, imgkit.InPlace())
    assert (done.verdict, done.announcements) == (Verdict.ENABLED, ())
    (change,) = done.changes
    assert b"set default=1; else set default=0;" in change.after


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a shell in place of init", "unknown init system"),
        ("a getty of its own speed", "serial-getty@ttyS0.service is not at 115200 baud"),
    ],
)
def test_no_login_is_promised_where_nobody_asks_for_one_at_that_speed(name, told, tmp_path):
    done = imgkit.enable_console(cases.make_disk(name, tmp_path))
    assert done.verdict is Verdict.PARTLY
    assert [told in check.message for check in done.failing] == [True]
    assert all(check.hint for check in done.failing)
