"""Boot an image under QEMU and talk to it: over the serial line under test, and past it.

The line is a socket that a thread reads from the first byte on. Past it, QEMU's guest agent answers in the images of
`fixtures/`: it tells that a guest is up whose line is silent, and what stands on its screen. QEMU runs without
acceleration, network or display, never writes to the image unless told to, and dies with the test that started it.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from tests.support import oracle

USER, PASSWORD = "root", "imgkit"  # of the images that fixtures/ builds

# A boot takes 30 to 60 s without acceleration; on a loaded machine several times that. Only failures wait so long.
PATIENCE = 300.0

_OVMF = Path("/usr/share/OVMF")


class Firmware(StrEnum):
    """What the machine starts with. UEFI repeats its own console, and GRUB's, on the serial line; BIOS is silent."""

    BIOS = "bios"
    UEFI = "uefi"
    SECURE_BOOT = "secure boot"  # UEFI that starts only what Microsoft signed, as most machines are sold


class Drive(StrEnum):
    """What an image is put in."""

    DISK = "disk"
    CD = "cd"
    USB = "usb"


@dataclass(slots=True)
class Line:
    """A serial line: everything that came over it, and how far it has been consumed by `expect`."""

    socket: socket.socket
    received: bytearray = field(default_factory=bytearray)
    _consumed: int = 0
    _closed: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def pump(self) -> None:
        """Read until the other end closes; the body of the reader thread."""
        data = b"\0"
        while data:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:  # QEMU was killed
                data = b""
            with self._changed:
                self.received += data
                self._closed = not data
                self._changed.notify_all()

    def send(self, text: str) -> None:
        """Type `text`."""
        self.socket.sendall(text.encode())

    def expect(self, pattern: str, retry_policy: float = PATIENCE) -> re.Match[bytes]:
        """Wait for `pattern` in what was not consumed yet, and consume it. Fails, never returns, without it."""
        wanted = re.compile(pattern.encode(), re.DOTALL)
        deadline = time.monotonic() + retry_policy
        with self._changed:
            while not (found := wanted.search(bytes(self.received), self._consumed)):
                missing = f"no {pattern!r} on the serial line, which said\n{self.tail()}"
                assert not self._closed, f"QEMU ended: {missing}"
                assert self._changed.wait(deadline - time.monotonic()), f"in {retry_policy:.0f} s: {missing}"
            self._consumed = found.end()
        return found

    def tail(self) -> str:
        """The end of the transcript, for a failure's message."""
        return bytes(self.received[-3000:]).decode(errors="replace") or "nothing at all"


@dataclass(slots=True)
class Json:
    """JSON objects, one a line, over a socket: QMP and the guest agent speak so."""

    socket: socket.socket
    _buffer: bytearray = field(default_factory=bytearray)

    def receive(self, deadline: float) -> dict[str, Any]:
        """The next object."""
        while b"\n" not in self._buffer:
            self.socket.settimeout(max(deadline - time.monotonic(), 0.01))
            data = self.socket.recv(65536)
            assert data, "QEMU ended"
            self._buffer += data
        line, _, rest = self._buffer.partition(b"\n")
        self._buffer = rest
        return json.loads(line)  # type: ignore[no-any-return]

    def command(self, name: str, retry_policy: float = PATIENCE, **arguments: object) -> Any:
        """Run a command; its return value. Events that arrive meanwhile are passed over."""
        self.socket.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        deadline = time.monotonic() + retry_policy
        while True:
            answer = self.receive(deadline)
            assert "error" not in answer, f"{name}: {answer['error']}"
            if "return" in answer:
                return answer["return"]


@dataclass(slots=True)
class Guest:
    """A running machine."""

    process: subprocess.Popen[bytes]
    line: Line
    _monitor: Json
    _agent: Json
    _tokens: Iterator[int] = field(default_factory=itertools.count)

    @property
    def transcript(self) -> bytes:
        """Everything that came over the serial line since power-on."""
        return bytes(self.line.received)

    # Over the serial line.

    def login(self, user: str = USER, password: str = PASSWORD) -> None:
        """Wait for the login prompt and log in."""
        self.line.expect(r"login: ")
        self.line.send(f"{user}\n")
        self.line.expect(r"Password: ")
        self.line.send(f"{password}\n")
        self.line.expect(r"@[\w-]+:[^\r\n]*[#$] ")
        # A shell without line editing and echo: what comes back is only what commands print.
        self.line.send("exec env PS1= PS2= sh\nstty -echo\n")
        assert self.run("true").returncode == 0

    def run(self, command: str, retry_policy: float = PATIENCE) -> CompletedProcess[str]:
        """Run a shell command on the logged-in line: status and output, found by tokens that only the shell can say."""
        token = f"run{next(self._tokens)}"
        self.line.send(f"echo {token}-'begin'; {{ {command}\n}} 2>&1; echo {token}-'end' $?\n")
        found = self.line.expect(rf"{token}-begin\r\n(.*?){token}-end (\d+)\r\n", retry_policy)
        return CompletedProcess(command, int(found[2]), found[1].decode().replace("\r\n", "\n"))

    # Past the serial line.

    def wait_until_up(self, retry_policy: float = PATIENCE) -> None:
        """Wait until the agent answers, `login:` stands on the VGA screen, and the init system has no more to start."""
        deadline = time.monotonic() + retry_policy
        self._wait_for_agent(deadline)
        while "login:" not in self.screen():
            assert time.monotonic() < deadline, f"no login prompt on the screen, which shows\n{self.screen()}"
            time.sleep(1)
        self.ask("test ! -d /run/systemd/system || systemctl is-system-running --wait")

    def screen(self) -> str:
        """Text of the first virtual terminal."""
        return self.ask("cat /dev/vcs1").stdout

    def ask(self, command: str, retry_policy: float = PATIENCE) -> CompletedProcess[str]:
        """Run a shell command through the guest agent: status and output."""
        call = {"path": "/bin/sh", "arg": ["-c", f"{{ {command}\n}} 2>&1"], "capture-output": True}
        process = self._agent.command("guest-exec", **call)
        deadline = time.monotonic() + retry_policy
        while not (status := self._agent.command("guest-exec-status", **process))["exited"]:
            assert time.monotonic() < deadline, f"in {retry_policy:.0f} s the guest did not finish: {command}"
            time.sleep(0.2)
        output = base64.b64decode(status.get("out-data", "")).decode(errors="replace")
        return CompletedProcess(command, status.get("exitcode", -1), output)

    def reboot(self) -> None:
        """Restart the guest in an orderly way; `wait_until_up` or `login` then wait for it to be back."""
        self._agent_shutdown("reboot")

    def power_off(self, retry_policy: float = PATIENCE) -> None:
        """Shut the guest down in an orderly way and wait for QEMU to end."""
        self._agent_shutdown("powerdown")
        assert self.process.wait(retry_policy) == 0

    def _agent_shutdown(self, mode: str) -> None:
        # On success it answers nothing.
        message = {"execute": "guest-shutdown", "arguments": {"mode": mode}}
        self._agent.socket.sendall(json.dumps(message).encode() + b"\n")

    def _wait_for_agent(self, deadline: float) -> None:
        """Wait for the guest to open the agent's port: QEMU reports that as an event."""
        opened = False
        while not opened:
            try:
                event = self._monitor.receive(deadline)
            except TimeoutError:
                raise AssertionError(f"the guest did not come up; the line said\n{self.line.tail()}") from None
            opened = event.get("event") == "VSERPORT_CHANGE" and event["data"]["open"]
        self._agent.command("guest-ping")


@contextmanager
def boot(
    image: Path,
    *,
    drive: Drive = Drive.DISK,
    firmware: Firmware = Firmware.BIOS,
    keep_writes: bool = False,
    memory: str = "512M",
) -> Iterator[Guest]:
    """Power a machine on with `image` in a drive. Unless `keep_writes`, the guest's writes are thrown away."""
    with ExitStack() as stack:
        ours, theirs = {}, {}
        for name in ("serial", "monitor", "agent"):
            ours[name], theirs[name] = map(stack.enter_context, socket.socketpair())
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="imgkit-boot-")))
        options = [*_machine(memory, firmware), *_drive(image, drive, keep_writes), *_firmware(firmware, scratch)]
        options += _channels({name: end.fileno() for name, end in theirs.items()})
        # If the test is killed, the kernel kills QEMU.
        argv = [oracle.find("setpriv"), "--pdeathsig", "KILL", "--", oracle.find("qemu-system-x86_64"), *options]
        process = subprocess.Popen(argv, pass_fds=[end.fileno() for end in theirs.values()])
        stack.callback(process.wait)
        stack.callback(process.kill)
        for end in theirs.values():
            end.close()

        line = Line(ours["serial"])
        reader = threading.Thread(target=line.pump, daemon=True)
        reader.start()
        monitor = Json(ours["monitor"])
        try:
            assert "QMP" in monitor.receive(time.monotonic() + PATIENCE)
            monitor.command("qmp_capabilities")
            monitor.command("cont")
            yield Guest(process, line, monitor, Json(ours["agent"]))
        finally:
            process.kill()
            reader.join()


def _machine(memory: str, firmware: Firmware) -> list[str]:
    # -S: it starts when everything is connected, so that no byte is lost.
    kind = "q35,smm=on" if firmware is Firmware.SECURE_BOOT else "q35"
    plain = ["-machine", kind, "-accel", "tcg", "-m", memory, "-nodefaults", "-no-user-config", "-S"]
    return [*plain, "-vga", "std", "-display", "none", "-nic", "none", "-device", "virtio-rng-pci"]


def _drive(image: Path, drive: Drive, keep_writes: bool) -> list[str]:
    kind = "qcow2" if image.suffix == ".qcow2" else "raw"
    mode = "" if keep_writes else ",snapshot=on,cache=unsafe"
    file = f"file={str(image).replace(',', ',,')},format={kind}{mode}"
    if drive is Drive.DISK:
        return ["-drive", f"{file},if=virtio"]
    if drive is Drive.CD:
        return ["-drive", f"file={str(image).replace(',', ',,')},format={kind},media=cdrom,readonly=on"]
    return ["-drive", f"{file},if=none,id=stick", "-device", "qemu-xhci", "-device", "usb-storage,drive=stick"]


def _firmware(firmware: Firmware, scratch: Path) -> list[str]:
    if firmware is Firmware.BIOS:
        return []
    keys = ".ms" if firmware is Firmware.SECURE_BOOT else ""
    code, variables = _OVMF / f"OVMF_CODE_4M{keys}.fd", scratch / "vars.fd"
    assert code.exists(), "UEFI firmware is missing: package ovmf"
    shutil.copyfile(_OVMF / f"OVMF_VARS_4M{keys}.fd", variables)
    return [
        *(("-global", "driver=cfi.pflash01,property=secure,value=on") if keys else ()),
        *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}"),
        *("-drive", f"if=pflash,unit=1,format=raw,file={variables}"),
    ]


def _channels(descriptors: dict[str, int]) -> list[str]:
    # Without an id the port sends no VSERPORT_CHANGE events.
    sockets = [("-chardev", f"socket,id={name},fd={number}") for name, number in descriptors.items()]
    return [
        *itertools.chain.from_iterable(sockets),
        *("-device", "isa-serial,chardev=serial"),
        *("-mon", "chardev=monitor,mode=control"),
        *("-device", "virtio-serial-pci"),
        *("-device", "virtserialport,id=agent,chardev=agent,name=org.qemu.guest_agent.0"),
    ]
