"""`imgkit verify`: boot an image, and see whether its serial console works."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgkit.cli.compose import composed
from imgkit.cli.options import AsJson, make_source, unconfined
from imgkit.errors import UsageError

if TYPE_CHECKING:
    from imgkit.editing import ImageSource
    from imgkit.vm.verification import BootTest


def make_trial(
    *,
    uefi: Annotated[bool, typer.Option("--uefi", help="Boot with UEFI firmware instead of a BIOS.")] = False,
    secure_boot: Annotated[
        bool, typer.Option("--secure-boot", help="Boot with UEFI firmware that enforces Secure Boot.")
    ] = False,
    usb: Annotated[
        bool, typer.Option("--usb", help="Attach the image as a USB stick. [default: ISOs as CDs, disks as virtio]")
    ] = False,
    memory: Annotated[int, typer.Option(min=64, metavar="MIB", help="Memory of the VM.")] = 1024,
    timeout: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="How long to wait for the text.")] = 300,
    expect: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX", help="Text to wait for. [default: the login prompt; of an installer, its first page]"
        ),
    ] = None,
    login: Annotated[
        str | None, typer.Option(metavar="USER:PASSWORD", help="Log in as well, and run a command in the shell.")
    ] = None,
) -> BootTest:
    """How to boot. UsageError for words that make no sense."""
    from imgkit.vm.spec import Firmware
    from imgkit.vm.verification import BootTest

    user, colon, password = (login or "").partition(":")
    if login is not None and not (user and colon):
        raise UsageError("--login takes USER:PASSWORD", hint="For example: --login root:secret")
    firmware = Firmware.SECURE_BOOT if secure_boot else Firmware.UEFI if uefi else Firmware.BIOS
    return BootTest(firmware, usb, memory, timeout, expect, (user, password) if login is not None else None)


@composed(source=make_source, trial=make_trial)
def verify(
    source: ImageSource,
    *,
    trial: BootTest,
    log: Annotated[
        Path | None,
        typer.Option(metavar="FILE", readable=False, help="Write what the serial line prints to this file."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Boot an image on a throw-away layer, and tell whether its serial console works (exit status 1 if not).

    The image itself is not changed. What comes over the line is shown on standard error. No KVM is needed; without it
    a boot takes half a minute to a minute.

    Examples:
      imgkit verify debian.qcow2
      imgkit verify debian.qcow2 --login root:secret
      imgkit verify serial.iso --uefi --usb
    """
    from imgkit.cli.render import note, print_json
    from imgkit.visible import visible_text
    from imgkit.vm.reading import Reader
    from imgkit.vm.verification import verify as boot

    reader = Reader()

    def show(data: bytes) -> None:
        sys.stderr.write(visible_text(reader.read(data)))
        sys.stderr.flush()

    found = boot(unconfined(source, "booting an image"), trial, on_output=None if as_json else show, log=log)
    if as_json:
        fields = ("passed", "expected", "seconds", "reached", "explanation", "remedy", "console", "transcript")
        print_json("verify", 1, {"image": source.path} | {name: getattr(found, name) for name in fields})
    else:
        sys.stderr.write("\n")
        told = f"{found.expected!r} appeared after {found.seconds:.0f} seconds" if found.passed else found.explanation
        note(f"{source.path}: {'the serial console works' if found.passed else 'FAILED'}: {told}")
        if found.remedy:
            note(found.remedy)
    raise typer.Exit(0 if found.passed else 1)
