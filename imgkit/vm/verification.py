"""Booting an image to see whether its serial console works. The image itself is never written to.

    image ── read-only ── throw-away qcow2 layer ── machine in an embedded libvirt ── its serial line

What the line says is one half of the answer, what the files say (`console status`) the other: a virtual line has no
baud rate, so a login prompt at a rate that the boot loader does not speak would pass where a real line shows rubbish.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imgkit.configtext.checks import CheckKind
from imgkit.console.contents import status
from imgkit.editing import open_file, opened
from imgkit.errors import ConfigError, EngineError, GuestError, UnsupportedError
from imgkit.installers import family_of
from imgkit.installers.detection import find_installer
from imgkit.iso.medium import IsoImage
from imgkit.remote.url import Url
from imgkit.vm.connection import connect, embedded, swept_if_killed
from imgkit.vm.machine import powered_on
from imgkit.vm.serial.dialogue import Expect
from imgkit.vm.serial.line import ExpectTimeout, LineClosed
from imgkit.vm.spec import Bus, Disk, Network, NetworkKind, VmSpec
from imgkit.vm.stages import Stage, reached

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgkit.configtext.checks import Status
    from imgkit.editing import Contents, ImageSource
    from imgkit.vm.serial.line import Line
    from imgkit.vm.spec import Firmware

_LOGIN = r"login: "
_ANY_PAGE = r"login: |[Ll]anguage|[Ii]nstall"
_LIVE = (CheckKind.LOADER, CheckKind.KERNEL, CheckKind.GETTY)  # what a boot shows; the rest is about later ones
_ANSWER = 30.0  # seconds for a shell to answer


@dataclass(frozen=True, slots=True)
class BootTest:
    """How to boot: memory in MiB, an ISO as `usb` stick or as CD, seconds to wait, text instead of the usual.

    `login` is a user and a password to log in with, to have a shell answer. UsageError for a text that is no regular
    expression.
    """

    firmware: Firmware
    usb: bool = False
    memory: int = 1024
    timeout: float = 300
    expect: str | None = None
    login: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if self.expect is not None:
            Expect(self.expect)


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of a boot. `passed` only if the expected text came and the files do not contradict it.

    `reached` is how far the boot came by its words on the line; `explanation` says what is wrong, `remedy` the way out.
    `console` is None where the image's files could not be understood.
    """

    passed: bool
    expected: str
    seconds: float
    reached: Stage
    explanation: str
    remedy: str
    console: Status | None
    transcript: bytes


def verify(
    source: ImageSource, trial: BootTest, *, on_output: Callable[[bytes], None] | None = None, log: Path | None = None
) -> Verification:
    """Boot an image on a throw-away layer and wait for its words on the serial line.

    Nothing is left behind: no machine, no file. Raises EngineError where libvirt or QEMU is missing, MachineError where
    they refuse, UnsupportedError for an image by URL, and what opening the image raises.
    """
    if isinstance(source.path, Url):
        raise UnsupportedError(f"{source.path}: only a file can be booted", hint="Download the image first.")
    console, page, is_iso = _look(source)
    with open_file(source) as image:
        image_format = str(image.format)
        file = image.plain_file("the virtual machine")
    expected = trial.expect or page
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="imgkit-verify-") as folder:
        swept_if_killed(Path(folder))
        spec = _machine(file, image_format, trial, Path(folder), as_cdrom=is_iso and not trial.usb)
        with (
            embedded() as uri,
            connect(uri) as connection,
            powered_on(connection, spec, log=log, on_output=on_output) as machine,
        ):
            failure = _wait(machine.line, expected, trial)
            transcript = machine.line.transcript
    stage = reached(transcript)
    if not failure and not trial.expect and not trial.login:
        failure = _contradiction(console)
    return Verification(
        passed=not failure,
        expected=expected,
        seconds=time.monotonic() - began,
        reached=stage,
        explanation=failure and _explained(failure, stage, console),
        remedy=failure and _remedy(source, console),
        console=console,
        transcript=transcript,
    )


def _look(source: ImageSource) -> tuple[Status | None, str, bool]:
    """What the files say of the console, the text that a boot should end at, and whether the image is an ISO."""
    try:
        with opened(source) as (_, contents):
            return _status(contents), _page(contents), isinstance(contents, IsoImage)
    except (GuestError, EngineError, UnsupportedError, ConfigError):
        return None, _LOGIN, False  # not understood by us; that says nothing about whether it boots


def _status(contents: Contents) -> Status | None:
    try:
        return status(contents, None)
    except (ConfigError, GuestError, UnsupportedError):
        return None


def _page(contents: Contents) -> str:
    if not isinstance(contents, IsoImage):
        return _LOGIN
    found = find_installer(contents.tree)
    return family_of(found.family).first_page if found else _ANY_PAGE


def _machine(image: Path, image_format: str, trial: BootTest, folder: Path, *, as_cdrom: bool) -> VmSpec:
    name = f"imgkit-verify-{folder.name.rpartition('-')[2]}"
    plain = VmSpec(name, memory=trial.memory, firmware=trial.firmware, network=Network(NetworkKind.NONE))
    if as_cdrom:
        return replace(plain, cdrom=image)
    layer = folder / "layer.qcow2"
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", image_format, "-b", str(image), str(layer)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError as error:
        raise EngineError("qemu-img is missing", hint="Install qemu-utils.") from error
    except subprocess.CalledProcessError as error:
        raise EngineError(f"qemu-img: {error.stderr.decode(errors='replace').strip()}") from error
    bus = Bus.USB if trial.usb else Bus.VIRTIO
    return replace(plain, disks=(Disk(layer, "qcow2", bus),))


def _wait(line: Line, expected: str, trial: BootTest) -> str:
    """Wait for the text, and log in if that is wanted; what went wrong, or "" if nothing did."""
    try:
        line.expect(expected, trial.timeout)
    except LineClosed:
        return "the machine was powered off"
    except ExpectTimeout:
        return f"{expected!r} did not come in {trial.timeout:g} seconds"
    if trial.login is None:
        return ""
    try:
        return _log_in(line, *trial.login)
    except (LineClosed, ExpectTimeout) as error:
        return f"the login got no answer ({error})"


def _log_in(line: Line, user: str, password: str) -> str:
    line.send(f"{user}\n")
    line.expect("[Pp]assword: ", _ANSWER)
    line.send(f"{password}\n")
    if line.expect(r"incorrect|[#$%>] ", _ANSWER)[0] == b"incorrect":
        return f"the login of {user} failed"
    line.send("echo imgkit-$((6*7))-shell\n")  # what is typed comes back too, but only a shell can say 42
    line.expect("imgkit-42-shell", _ANSWER)
    return ""


def _contradiction(console: Status | None) -> str:
    """What the files say against a console that spoke."""
    broken = [link for link in console.links if link.kind in _LIVE and not link.ok] if console else []
    return f"the text appeared, but {broken[0].message}" if broken else ""


def _explained(failure: str, stage: Stage, console: Status | None) -> str:
    came = f"the boot got as far as: {stage}" if stage is not Stage.NOTHING else "nothing appeared on the line"
    missing = [f"{link.kind}: {link.message}" for link in console.links if not link.ok] if console else []
    return "; ".join([failure, came, *missing])


def _remedy(source: ImageSource, console: Status | None) -> str:
    if console is not None and not console.enabled:
        return f"Enable its console: imgkit console enable {source.path} --in-place"
    if console is None:
        return "Look at what is in the image: imgkit inspect"
    return "Its settings are right: try --uefi (or without), more --memory, or a longer --timeout."
