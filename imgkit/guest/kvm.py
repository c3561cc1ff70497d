"""Whether KVM works here, found out by using it: a virtual CPU has to run a loop at the speed of hardware.

That /dev/kvm exists proves nothing. It may be closed to us; and there are hosts (seen: kvm-pvm on a machine without
VMX and SVM) where it opens, makes virtual machines and interprets short programs, while a Linux kernel never gets past
its first instructions. There ten million turns of a loop take over five seconds; hardware needs some ten milliseconds.

Kernel interface: Documentation/virt/kvm/api.rst in Linux's source.
"""

from __future__ import annotations

import ctypes
import fcntl
import functools
import mmap
import os
import platform
import struct
import subprocess
import sys
from pathlib import Path

_DEADLINE = 2.0  # seconds, the start of a Python included

_GET_API_VERSION, _CREATE_VM, _GET_VCPU_MMAP_SIZE = 0xAE00, 0xAE01, 0xAE04
_CREATE_VCPU, _RUN = 0xAE41, 0xAE80
_SET_USER_MEMORY_REGION, _SET_REGS = 0x4020AE46, 0x4090AE82
_GET_SREGS, _SET_SREGS = 0x8138AE83, 0x4138AE84
_API_VERSION = 12
_EXIT_REASON_OFFSET, _EXIT_HLT = 8, 5

# mov ecx, 10000000; again: dec ecx; jnz again; hlt
_PROGRAM = bytes.fromhex("b980969800 ffc9 75fc f4")
_MEMORY_SIZE, _PML4, _PDPT, _PD = 0x10000, 0x1000, 0x2000, 0x3000
_SEGMENT = struct.Struct("<QIHBBBBBBBBBB")


@functools.cache
def kvm_works() -> bool:
    """Whether virtual machines run under KVM here. The answer is found once, in a process that can be killed."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK) or not _cpu_virtualises():
        return False
    try:
        probe = subprocess.run([sys.executable, "-m", __name__], timeout=_DEADLINE, capture_output=True, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0


def _cpu_virtualises() -> bool:
    """Whether the processor says so; on architectures that have no flag for it, the trial decides alone."""
    if platform.machine() != "x86_64":
        return True
    flags = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), "")
    return not {"vmx", "svm"}.isdisjoint(flags.split())


def _runs() -> bool:
    """Run the program in a new virtual machine, to its HLT. Raises OSError where KVM refuses a step."""
    kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    if fcntl.ioctl(kvm, _GET_API_VERSION, 0) != _API_VERSION:
        return False
    machine = fcntl.ioctl(kvm, _CREATE_VM, 0)
    if platform.machine() != "x86_64":
        return fcntl.ioctl(machine, _CREATE_VCPU, 0) >= 0
    memory = mmap.mmap(-1, _MEMORY_SIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    fcntl.ioctl(machine, _SET_USER_MEMORY_REGION, struct.pack("IIQQQ", 0, 0, 0, _MEMORY_SIZE, address))
    vcpu = fcntl.ioctl(machine, _CREATE_VCPU, 0)
    state = mmap.mmap(vcpu, fcntl.ioctl(kvm, _GET_VCPU_MMAP_SIZE, 0))
    memory[: len(_PROGRAM)] = _PROGRAM
    _enter_long_mode(vcpu, memory)
    fcntl.ioctl(vcpu, _RUN, 0)
    return bool(struct.unpack_from("I", state, _EXIT_REASON_OFFSET)[0] == _EXIT_HLT)


def _enter_long_mode(vcpu: int, memory: mmap.mmap) -> None:
    """64-bit mode, as every kernel of today runs in it: one page of 2 MiB, flat segments, rip 0."""
    struct.pack_into("<Q", memory, _PML4, _PDPT | 7)
    struct.pack_into("<Q", memory, _PDPT, _PD | 7)
    struct.pack_into("<Q", memory, _PD, 0x87)
    special = bytearray(312)  # struct kvm_sregs: eight segments, two tables, then the control registers
    fcntl.ioctl(vcpu, _GET_SREGS, special, True)
    special[:24] = _SEGMENT.pack(0, 0xFFFFFFFF, 8, 11, 1, 0, 0, 1, 1, 1, 0, 0, 0)
    for index in range(1, 6):
        special[24 * index : 24 * (index + 1)] = _SEGMENT.pack(0, 0xFFFFFFFF, 16, 3, 1, 0, 1, 1, 0, 1, 0, 0, 0)
    # cr0 PG|WP|NE|PE…, cr2, cr3, cr4 PAE, cr8, efer LMA|LME
    struct.pack_into("<QQQQQQ", special, 224, 0x80050033, 0, _PML4, 0x20, 0, 0x500)
    fcntl.ioctl(vcpu, _SET_SREGS, bytes(special))
    registers = bytearray(144)  # struct kvm_regs: sixteen general ones, rip, rflags
    struct.pack_into("<QQ", registers, 128, 0, 2)
    fcntl.ioctl(vcpu, _SET_REGS, bytes(registers))


if __name__ == "__main__":
    sys.exit(0 if _runs() else 1)
