"""`console enable` and `console status`: every option, and what they say."""

import re

import pytest

from tests.cli.command import assert_refused, imgkit, snapshot
from tests.support.guests import OS_RELEASE, Part, make_disk

GRUB_CFG = b"""set timeout=5
menuentry 'Debian GNU/Linux' {
\tlinux\t/boot/vmlinuz root=/dev/sda1 ro quiet
}
menuentry 'Debian GNU/Linux (recovery mode)' {
\tlinux\t/boot/vmlinuz root=/dev/sda1 ro single
}
"""
SYSTEM = {
    "/etc/os-release": OS_RELEASE.encode(),
    "/etc/fstab": b"",
    "/etc/default/grub": b'GRUB_DEFAULT=0\nGRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\n',
    "/boot/grub/grub.cfg": GRUB_CFG,
    "/sbin/init": "/lib/systemd/systemd",
    "/lib/systemd/system/serial-getty@.service": b"[Unit]\n",
}


@pytest.fixture
def system(tmp_path):
    """A disk with one small system."""
    return make_disk(tmp_path / "disk.img", [Part("ext4", SYSTEM)])


@pytest.fixture
def two_systems(tmp_path):
    """A disk with two systems: bookworm on partition 1, trixie on 2."""
    trixie = SYSTEM | {"/etc/os-release": b'PRETTY_NAME="trixie"\nID=debian\n'}
    parts = [Part("ext4", SYSTEM, label="old", uuid="11111111-1111-4111-8111-111111111111")]
    parts += [Part("ext4", trixie, label="new", uuid="22222222-2222-4222-8222-222222222222")]
    return make_disk(tmp_path / "disk.img", parts)


def menu(image, *options):
    return imgkit("cat", image, "/boot/grub/grub.cfg", *options).text


def test_status_names_each_missing_link_with_file_and_line(small):
    done = imgkit("console", "status", small)
    assert (done.status, done.stderr) == (1, "")
    lines = done.text.splitlines()
    assert lines[-1] == "serial console ttyS0: not enabled"
    kinds = [line[:20].rstrip() for line in lines[:-1]]
    assert kinds == [
        "MISSING boot loader",
        *["MISSING kernel"] * 2,
        "MISSING login prompt",
        *["MISSING persistence"] * 2,
    ]
    cfg = imgkit("cat", small, "/boot/grub/grub.cfg").text.splitlines()
    numbers = [int(n) for n in re.findall(r"has no console=.*\[/boot/grub/grub\.cfg:(\d+)\]", done.text)]
    assert [cfg[number - 1].split()[0] for number in numbers] == ["linux", "linux"]
    assert "[/etc/default/grub" in done.text


def test_status_after_enabling_is_0_and_all_ok(small):
    assert imgkit("console", "enable", small, "--in-place").status == 0
    done = imgkit("console", "status", small)
    assert (done.status, done.stderr) == (0, "")
    *links, last = done.text.splitlines()
    assert last == "serial console ttyS0: enabled"
    assert all(line.startswith("ok      ") for line in links)
    assert imgkit("console", "status", small, "--port", "ttyS1").status == 1
    assert imgkit("console", "status", small, "--baud", "9600").status == 1
    assert "serial console ttyS0: enabled" in imgkit("inspect", small).text


@pytest.mark.parametrize(
    ("options", "in_menu"),
    [
        (
            [],
            [
                "quiet console=tty0 console=ttyS0,115200n8\n",
                "serial --unit=0 --speed=115200 --word=8 --parity=no --stop=1",
            ],
        ),
        (["--port", "ttyS1", "--baud", "9600"], ["console=ttyS1,9600n8\n", "serial --unit=1 --speed=9600 "]),
        (
            ["--parity", "e", "--data-bits", "7", "--stop-bits", "2"],
            ["console=ttyS0,115200e7\n", "--word=7 --parity=even --stop=2"],
        ),
        (["--no-vga"], ["ro quiet console=ttyS0,115200n8\n", "terminal_output serial\n"]),
        (["--quiet-off"], ["root=/dev/sda1 ro console=tty0 console=ttyS0,115200n8\n"]),
        (["--timeout", "17"], ["set timeout=17\n"]),
        (["--recovery"], ["ro single console=tty0 console=ttyS0,115200n8\n"]),
    ],
)
def test_every_option_reaches_the_boot_menu(system, options, in_menu):
    done = imgkit("console", "enable", system, "--in-place", *options)
    assert done.status == 0, done.stderr
    shown = menu(system)
    for text in in_menu:
        assert text in shown
    if "--recovery" not in options:
        assert "ro single\n" in shown
    console = [word for word in options if word not in ("--quiet-off", "--recovery")]
    assert imgkit("console", "status", system, *(console if "--timeout" not in options else [])).status == 0


def test_the_terminal_type_reaches_the_login_prompt(tmp_path):
    files = {path: data for path, data in SYSTEM.items() if "systemd" not in path}
    inittab = (
        b"id:2:initdefault:\n1:2345:respawn:/sbin/getty 38400 tty1\n#T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100\n"
    )
    image = make_disk(
        tmp_path / "disk.img", [Part("ext4", files | {"/etc/inittab": inittab, "/sbin/init": b"\x7fELF"})]
    )
    assert imgkit("console", "enable", image, "--in-place", "--terminal", "xterm").status == 0
    assert "\nT0:23:respawn:/sbin/getty -L ttyS0 115200 xterm\n" in imgkit("cat", image, "/etc/inittab").text


@pytest.mark.parametrize(
    ("options", "says", "hint"),
    [
        (["--port", "/dev/ttyS0"], "not a serial port: '/dev/ttyS0'", "ttyS0, ttyAMA0"),
        (["--baud", "14400"], "not a baud rate: 14400", "9600"),
        (["--parity", "odd"], "not a parity: 'odd'", "o (odd)"),
        (["--data-bits", "9"], "not a number of data bits: 9", "7 or 8"),
        (["--stop-bits", "0"], "not a number of stop bits: 0", "1 or 2"),
        (["--terminal", "vt 100"], "not a terminal type", "vt220"),
        (["--engine", "magic"], "unknown engine: 'magic'", "auto, native, uml, guestfs"),
        (["--format", "vmdk"], "unknown format: 'vmdk'", "raw, qcow2"),
        (["--key-file", "nothing"], "nothing: no such file", "lists what exists"),
    ],
)
def test_values_that_nothing_takes_are_refused(system, options, says, hint):
    words = ["console", "enable", system, "--in-place", *options]
    assert_refused(system.parent, *words, status=2, says=says, hint=hint)


def test_several_systems_are_listed_and_one_is_chosen(two_systems):
    image = two_systems
    words = ["console", "enable", image, "--in-place"]
    told = assert_refused(image.parent, *words, status=10, says="2 installed systems", hint="--root")
    assert "/dev/sda1 (ext4, old)" in told.stderr
    assert "/dev/sda2 (ext4, new)" in told.stderr
    nothing = [*words, "--root", "7"]
    assert_refused(image.parent, *nothing, status=10, says="no root file system is called '7'", hint="/dev/sda2")


@pytest.mark.parametrize("name", ["2", "/dev/sda2", "LABEL=new", "UUID=22222222-2222-4222-8222-222222222222"])
def test_root_names_one_of_several_systems(two_systems, name):
    done = imgkit("console", "enable", two_systems, "--in-place", "--root", name)
    assert done.status == 0, done.stderr
    assert "console=ttyS0" in menu(two_systems, "--root", "2")
    assert menu(two_systems, "--root", "1").encode() == GRUB_CFG
    assert imgkit("console", "status", two_systems, "--root", name).status == 0
    assert imgkit("console", "status", two_systems, "--root", "1").status == 1
    assert imgkit("cat", two_systems, "/etc/os-release", "--root", name).stdout.startswith(b'PRETTY_NAME="trixie"')


def test_inspect_tells_of_several_systems(two_systems):
    done = imgkit("inspect", two_systems)
    assert done.status == 0
    assert "/dev/sda2" in done.text
    assert "2 installed systems" in done.stderr
    assert "--root" in done.stderr


def test_a_disk_without_a_system_has_no_console(tmp_path):
    image = make_disk(tmp_path / "disk.img", [Part("ext4", {"/photos/1.jpg": b"x"}), Part("swap")][:1])
    for words in (["enable", image, "--in-place"], ["status", image]):
        says = "no root file system was found"
        assert_refused(tmp_path, "console", *words, status=10, says=says, hint="`imgkit inspect` shows")
    looked = imgkit("inspect", image)
    assert looked.status == 0
    assert "no root file system was found" in looked.stderr


def test_a_system_without_a_boot_loader_is_refused_by_name(tmp_path):
    files = {path: data for path, data in SYSTEM.items() if not path.startswith("/boot")}
    image = make_disk(tmp_path / "disk.img", [Part("ext4", files)])
    words = ["console", "enable", image, "--in-place"]
    says = "no known boot loader"
    assert_refused(tmp_path, *words, status=5, says=says, hint="give it console=ttyS0,115200n8 there")
    done = imgkit("console", "status", image)
    assert done.status == 1
    assert "MISSING boot loader  no known boot loader" in done.text


def test_a_menu_that_cannot_be_understood_names_file_and_line(tmp_path):
    broken = SYSTEM | {"/boot/grub/grub.cfg": b"menuentry 'x' {\n linux /vmlinuz 'unbalanced\n"}
    image = make_disk(tmp_path / "disk.img", [Part("ext4", broken)])
    done = imgkit("console", "enable", image, "--in-place")
    assert done.status == 12
    assert re.search(r"disk\.img: /boot/grub/grub\.cfg:\d+: ", done.stderr)
    looked = imgkit("inspect", image)
    assert looked.status == 0
    assert "/boot/grub/grub.cfg:" in looked.stderr
    assert sorted(snapshot(tmp_path)) == ["disk.img"]
