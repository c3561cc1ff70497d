"""Installed systems on real file systems, enabled and held to what the recipe promises."""

from contextlib import contextmanager

from imgkit.configtext.serial import SerialConsole
from imgkit.console.recipe import enable
from imgkit.console.status import status
from imgkit.editing import ImageSource, edit_image, opened
from imgkit.guest.engines.choice import EngineChoice
from imgkit.storage.output import InPlace
from tests.support import oracle

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
CONSOLE = SerialConsole()


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


def grubenv(text):
    return ("# GRUB Environment Block\n" + text).encode().ljust(1024, b"#")
