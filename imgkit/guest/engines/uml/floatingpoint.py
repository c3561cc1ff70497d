"""A way around User-Mode Linux's trouble with processors whose register state is larger than it knows (Intel's AMX).

Up to Linux 6.12 it reads and writes the registers of its processes by ptrace(2) with a buffer of 2,696 bytes. Where the
processor has more, the host refuses every write, and the kernel dies at its first process. It falls back on the state
of the 387 and SSE if the host does not know the larger request at all, so that is what a filter answers. What lies
beyond SSE is then lost at each page fault, and C library and OpenSSL are told to leave AVX alone (`ENVIRONMENT`).

Source: arch/x86/um/os-Linux/registers.c in Linux; https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

from __future__ import annotations

import errno
import struct
from pathlib import Path

_NOT_TO_USE = (
    *("AVX", "AVX2", "AVX512F", "AVX512VL", "AVX512BW", "AVX512DQ", "AVX512CD"),
    *("AVX_Fast_Unaligned_Load", "XSAVE", "XSAVEC", "OSXSAVE"),
)
ENVIRONMENT = (
    "GLIBC_TUNABLES=glibc.cpu.hwcaps=" + ",".join(f"-{name}" for name in _NOT_TO_USE),
    "OPENSSL_ia32cap=~0x1800000000000000:0",
)
"""What programs in such a kernel have to be started with."""

_LARGER = {"amx_tile", "apx"}  # flags of processors that have registers of this kind
_PTRACE = 101
_GET_REGISTERS, _SET_REGISTERS, _ALL_STATE = 0x4204, 0x4205, 0x202  # PTRACE_GETREGSET, NT_X86_XSTATE
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ERROR, _ALLOW = 0x00050000, 0x7FFF0000
_NUMBER, _REQUEST, _SET = 0, 16, 32  # offsets in struct seccomp_data


def state_is_larger() -> bool:
    """Whether this processor has more registers than User-Mode Linux expects."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not _LARGER.isdisjoint(flags.split())


def refuse_whole_state() -> bytes:
    """The filter, an array of `struct sock_filter`: EIO for all requests that concern the whole state."""
    program = (
        (_LOAD, 0, 0, _NUMBER),
        (_EQUAL, 0, 6, _PTRACE),
        (_LOAD, 0, 0, _REQUEST),
        (_EQUAL, 1, 0, _GET_REGISTERS),
        (_EQUAL, 0, 3, _SET_REGISTERS),
        (_LOAD, 0, 0, _SET),
        (_EQUAL, 0, 1, _ALL_STATE),
        (_RETURN, 0, 0, _ERROR | errno.EIO),
        (_RETURN, 0, 0, _ALLOW),
    )
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
