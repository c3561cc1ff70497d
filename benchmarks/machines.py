"""From the command to the kernel's first line: `imgkit verify`, against plain QEMU with the same machine.

Usage: python -m benchmarks.machines [REPETITIONS]

A Debian image whose serial console is enabled, with `quiet` taken out and no time in GRUB's menu, starts through BIOS
and boot loader; then a kernel of this host starts directly, by the library alone. QEMU gets the devices that libvirt
gives it. The ways take turns, so that a machine that is busy meanwhile is so for both.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fixtures.catalog import fixture
from imgkit.guest.kvm import kvm_works

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WANTED = 1.2
MARK = b"Linux version"
IMGKIT = Path(sys.executable).with_name("imgkit")
KERNEL = Path(f"/boot/vmlinuz-{platform.release()}")
ARGUMENTS = "console=ttyS0,115200"
LIBRARY = """
import sys
from pathlib import Path
from imgkit.vm.connection import connect, embedded
from imgkit.vm.machine import powered_on
from imgkit.vm.spec import DirectKernel, Network, NetworkKind, VmSpec
kernel = DirectKernel(Path(sys.argv[1]), None, sys.argv[2])
spec = VmSpec("bench", 1024, kernel=kernel, network=Network(NetworkKind.NONE))
with embedded() as uri, connect(uri) as connection, powered_on(connection, spec) as machine:
    machine.line.expect("Linux version", 300)
    print(machine.line.transcript.decode(errors="replace"), flush=True)
"""


def main(repetitions: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="imgkit-machines-", dir=os.environ.get("TMPDIR")) as folder:
        image = Path(folder, "image.qcow2")
        subprocess.run(["cp", "--reflink=auto", fixture("a"), image], check=True)
        image.chmod(0o644)
        enable = [IMGKIT, "console", "enable", image, "--in-place", "--quiet-off", "--timeout", "0"]
        subprocess.run(enable, check=True, capture_output=True)
        verify = [IMGKIT, "verify", image, "--expect", MARK.decode()]
        kernel = kernel_of_this_host()
        report("imgkit verify, to the kernel's first line", verify, lambda: on_a_layer(image), repetitions)
        direct = [*machine(), "-kernel", kernel, "-append", ARGUMENTS]
        ours = [sys.executable, "-c", LIBRARY, kernel, ARGUMENTS]
        report("the library, a kernel without boot loader", ours, lambda: direct, repetitions)


def kernel_of_this_host() -> Path:
    """A kernel that may be read."""
    return KERNEL if os.access(KERNEL, os.R_OK) else max(Path("/boot").glob("vmlinuz-*"))


def machine() -> list[str | Path]:
    """QEMU with the devices that domain_xml and libvirt give a machine."""
    processor = ["-accel", "kvm", "-cpu", "host"] if kvm_works() else ["-accel", "tcg", "-cpu", "max"]
    return [
        *("qemu-system-x86_64", "-machine", "q35,usb=off,vmport=off,hpet=off", *processor, "-m", "1024"),
        *("-display", "none", "-no-user-config", "-nodefaults", "-nic", "none", "-no-shutdown", "-serial", "stdio"),
        *("-global", "ICH9-LPC.disable_s3=1", "-global", "ICH9-LPC.disable_s4=1"),
        *("-device", "qemu-xhci,p2=15,p3=15", "-device", "virtio-balloon-pci", "-device", "virtio-rng-pci"),
    ]


def on_a_layer(image: Path) -> list[str | Path]:
    """The same with a disk: a throw-away layer, as verify has one."""
    layer = image.with_name("layer.qcow2")
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image, layer]
    subprocess.run(create, check=True)
    return [*machine(), "-drive", f"file={layer},format=qcow2,if=virtio,discard=unmap"]


def report(task: str, ours: Sequence[str | Path], theirs: Callable[[], Sequence[str | Path]], repetitions: int) -> None:
    """One line: medians, and their ratio."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repetitions):
        times[0].append(until_mark(ours))
        times[1].append(until_mark(theirs()))
    mine, plain = map(statistics.median, times)
    print(f"{task}: {mine:.2f} s, plain QEMU {plain:.2f} s, ratio {mine / plain:.2f} (wanted: at most {WANTED})")


def until_mark(argv: Sequence[str | Path]) -> float:
    """Seconds from the start of a process until the mark comes from it, on either of its streams; it is ended then."""
    began = time.perf_counter()
    process = subprocess.Popen(
        list(map(str, argv)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    said = b""
    while MARK not in said:
        data = os.read(process.stdout.fileno(), 65536)
        if not data:
            raise SystemExit(f"{argv[0]} ended before {MARK!r} came: {said[-500:].decode(errors='replace')}")
        said += data
    elapsed = time.perf_counter() - began
    process.terminate()
    process.stdout.close()
    process.wait()
    return elapsed


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
