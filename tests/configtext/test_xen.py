"""Xen's own arguments: when it has the port, and what then makes the line reach dom0."""

import pytest

from imgkit.configtext import kernelargs, xen
from imgkit.configtext.checks import KernelLine, console_in_use
from imgkit.configtext.serial import SerialConsole

CONSOLE = SerialConsole()


@pytest.mark.parametrize(
    ("arguments", "after"),
    [
        ("", ""),
        ("console=vga", "console=vga"),
        ("com2=115200,8n1 console=com2", "com2=115200,8n1 console=com2"),
        ("com1=115200,8n1 console=com1,vga", "com1=115200,8n1 console=com1,vga"),
        ("console=com1", "console=com1"),
        # It takes the port away from dom0 and says nothing there.
        ("com1=115200,8n1", "com1=115200,8n1 console=com1,vga"),
        ("com1=115200,8n1 console=vga loglvl=all", "com1=115200,8n1 console=com1,vga loglvl=all"),
        ("com1=9600,8n1 console=com1L", "com1=115200,8n1 console=com1L"),
        ("com1=auto console=com1", "com1=auto console=com1"),
    ],
)
def test_xens_console(arguments, after):
    before = kernelargs.split(arguments)
    changed = xen.set_console(before, CONSOLE)
    assert kernelargs.texts(changed) == tuple(after.split())
    assert xen.set_console(changed, CONSOLE) == changed
    assert xen.uses_console(kernelargs.texts(changed), CONSOLE)
    assert xen.uses_console(arguments.split(), CONSOLE) == (arguments == after)
    owned = "com1" in arguments
    assert xen.owns_port(arguments.split(), CONSOLE) == owned
    assert xen.dom0_console(arguments.split(), CONSOLE).port == ("hvc0" if owned else "ttyS0")
    assert xen.owns_port(arguments.split(), SerialConsole("hvc0")) is False


def test_a_kernel_behind_xen_uses_the_line_that_xen_is_on():
    behind = KernelLine(
        "/grub.cfg", 3, "Xen", kernelargs.split("console=tty0 console=hvc0"), False, ("com2=9600", "console=com2")
    )
    assert behind.has_console(SerialConsole("ttyS1", 9600))
    assert not behind.has_console(SerialConsole("ttyS1", 115200)), "Xen's speed is another"
    assert not behind.has_console(CONSOLE)
    assert behind.wanted(SerialConsole("ttyS1", 9600)) == ("console=tty0", "console=hvc0")
    assert console_in_use([behind]) == SerialConsole("ttyS1", 9600)
    beside = KernelLine("/grub.cfg", 3, "Xen", kernelargs.split("console=hvc0"), False, ("console=vga",))
    assert console_in_use([beside]).port == "hvc0"
