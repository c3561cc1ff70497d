"""Login prompts that enabling must not break, or has to bring back: booted, and logged in several times.

Two gettys on one line take each other's keys, so that hardly a login gets through; one answers every time.
"""

import re
import shutil

import pytest

from imgkit.editing import ImageSource, edit_image, replace_file
from imgkit.storage.output import InPlace
from imgkit.tree import Change
from tests.boot.test_enable import imgkit
from tests.support.boot import boot
from tests.support.images import private_copy

pytestmark = pytest.mark.boot

LOGINS = 4
# Not `exec setsid`: of a session's leader, which init makes it, that would be a child, and init would start the next.
START_GETTY = b'#!/bin/sh\nsetsid /sbin/getty -L "$1" "$2" "$3"\n'
OPENEMBEDDEDS = b"S0:12345:respawn:/bin/sh /bin/start_getty 115200 ttyS0 vt102\n"
MASK = "/etc/systemd/system/getty.target"
GRUB_CFG = "/boot/grub/grub.cfg"


def served_by_start_getty(image):
    """As OpenEmbedded has it: a getty on the port already, by a program of its own."""
    edit_image(ImageSource(image), replace_file("/bin/start_getty", START_GETTY), InPlace())

    def add_line(guest):
        before = guest.tree.read("/etc/inittab")
        return [Change("/etc/inittab", before, before.rstrip(b"\n") + b"\n" + OPENEMBEDDEDS)]

    edit_image(ImageSource(image), add_line, InPlace())


def without_getty_target(image):
    """As images made of container images have it; with a menu sourced in a loop, and "--" on the kernel's line.

    What stands behind "--" init gets and the kernel does not, so that `console=` there would not be heard.
    """

    def edit(guest):
        menu = guest.tree.read(GRUB_CFG)
        dashes = re.sub(rb"^(\s*linux\s.*)$", rb"\1 --", menu, flags=re.MULTILINE)
        assert dashes != menu
        return [
            Change(MASK, None, b"/dev/null", link=True),
            Change(GRUB_CFG, menu, b'for each in menu.cfg; do source "${prefix}/$each"; done\n'),
            Change("/boot/grub/menu.cfg", None, dashes),
        ]

    edit_image(ImageSource(image), edit, InPlace())


@pytest.mark.parametrize(
    ("name", "prepare"),
    [("b", served_by_start_getty), ("a", without_getty_target)],
    ids=["start_getty", "masked getty.target, loop, dashes"],
)
def test_one_getty_answers_every_login(name, prepare, tmp_path):
    image = private_copy(name, tmp_path)
    prepare(image)
    imgkit("console", "enable", image, "--in-place")
    imgkit("console", "status", image)
    with boot(image) as guest:
        for attempt in range(LOGINS):
            guest.login()
            assert guest.run("tty").stdout == "/dev/ttyS0\n", f"login {attempt + 1}"
            guest.line.send("exit\n")
        assert guest.ask("ps -t ttyS0 -o args=").stdout.count("getty") <= 1
    shutil.rmtree(tmp_path)


def test_a_closed_and_silent_system_lets_the_named_in(tmp_path):
    """As a cloud image is: GPT, nothing on the line, and nobody with a password."""
    image = private_copy("c", tmp_path)

    def close(guest):
        before = guest.tree.read("/etc/shadow")
        return [Change("/etc/shadow", before, re.sub(rb"(?m)^root:[^:]*:", b"root:*:", before))]

    edit_image(ImageSource(image), close, InPlace())
    for name, text in (("pw", "hunter 22\n"), ("key.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIETtd6RtNhTLDVC x\n")):
        (tmp_path / name).write_text(text)
    imgkit("console", "enable", image, "--in-place", "--login", f"root:{tmp_path}/pw")
    words = ("--user", "ada", "--password", f"ada:{tmp_path}/pw", "--ssh-key", f"ada:{tmp_path}/key.pub")
    imgkit("login", "enable", image, "--in-place", *words, "--hostname", "web1", "--machine-id", "new")
    imgkit("login", "status", image)
    with boot(image) as guest:
        guest.login("ada", "hunter 22")
        assert guest.run("id -nG").stdout.split() == ["ada", "sudo"]
        assert guest.run("stat -c '%a %U %n' . .ssh .ssh/*").stdout.split("\n")[:-1] == [
            "755 ada .",
            "700 ada .ssh",
            "600 ada .ssh/authorized_keys",
        ]
        guest.line.send("exit\n")
        guest.login("root", "hunter 22")
        assert guest.run("hostname; pwck -qr; grpck -r; wc -c < /etc/machine-id").stdout == "web1\n33\n"
    shutil.rmtree(tmp_path)
