"""A seccomp filter: system calls that whoever parses an image never needs, and hostile code would.

What no honest library tries ends the process at once (SIGSYS): starting a program, tracing another process, mounting.
What a library may try and do without fails: sockets (name services), new processes, names' modes and owners, keystrokes
put into the terminal. Threads stay possible. Where the architecture has no table here, there is no filter.

Reference: https://docs.kernel.org/userspace-api/seccomp_filter.html, linux/seccomp.h, linux/filter.h, linux/audit.h
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass

from imgkit.confinement.kernel import system_call

_SET_MODE_FILTER, _GET_ACTION = 1, 2
_ALL_THREADS = 1  # SECCOMP_FILTER_FLAG_TSYNC
_KILL_PROCESS, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000

# Classic BPF: load a word of `struct seccomp_data`, compare it with a constant, return.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16

_CLONE_THREAD = 0x00010000
_FAKE_INPUT, _LINUX_CONSOLE = 0x5412, 0x541C  # TIOCSTI, TIOCLINUX

# From 424 on all architectures share their numbers.
_PIDFD_SEND_SIGNAL, _IO_URING_SETUP, _OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _CLONE3 = 424, 425, 428, 429, 430, 435
_PIDFD_GETFD, _MOUNT_SETATTR, _FCHMODAT2, _SETXATTRAT, _REMOVEXATTRAT = 438, 442, 452, 463, 466


@dataclass(frozen=True, slots=True)
class _Numbers:
    """System call numbers of one architecture, by what hostile code would do with them."""

    audit: int
    seccomp: int
    clone: int
    ioctl: int
    utimensat: int
    signals: tuple[int, ...]  # first argument: the process
    fork: tuple[int, ...]
    network: tuple[int, ...]
    programs: tuple[int, ...]
    tracing: tuple[int, ...]
    system: tuple[int, ...]
    names: tuple[int, ...]


_X86_64 = _Numbers(
    audit=0xC000003E,
    seccomp=317,
    clone=56,
    ioctl=16,
    utimensat=280,
    signals=(62, 129, 200, 234, 297),  # kill, rt_sigqueueinfo, tkill, tgkill, rt_tgsigqueueinfo
    fork=(57, 58),  # fork, vfork
    network=(41, 42, 49, 50, 53),  # socket, connect, bind, listen, socketpair
    programs=(59, 322),  # execve, execveat
    tracing=(101, 310, 311, 312),  # ptrace, process_vm_readv, process_vm_writev, kcmp
    # pivot_root, chroot, mount, umount2, init_module, kexec_load, add_key, request_key, keyctl, unshare,
    # perf_event_open, open_by_handle_at, setns, finit_module, bpf, userfaultfd
    system=(155, 161, 165, 166, 175, 246, 248, 249, 250, 272, 298, 304, 308, 313, 321, 323),
    # truncate, chmod, chown, lchown, utime, setxattr, lsetxattr, removexattr, lremovexattr, utimes, fchownat,
    # futimesat, fchmodat
    names=(76, 90, 92, 94, 132, 188, 189, 197, 198, 235, 260, 261, 268),
)
_AARCH64 = _Numbers(
    audit=0xC00000B7,
    seccomp=277,
    clone=220,
    ioctl=29,
    utimensat=88,
    signals=(129, 130, 131, 138, 240),
    fork=(),
    network=(198, 203, 200, 201, 199),
    programs=(221, 281),
    tracing=(117, 270, 271, 272),
    system=(41, 51, 40, 39, 105, 104, 217, 218, 219, 97, 241, 265, 268, 273, 280, 282),
    names=(45, 5, 6, 14, 15, 54, 53),
)
_ARCHITECTURES = {"x86_64": _X86_64, "aarch64": _AARCH64}


def available() -> bool:
    """Whether the kernel takes filters, and the architecture's numbers are known."""
    numbers = _ARCHITECTURES.get(platform.machine())
    action = struct.pack("=I", _KILL_PROCESS)
    return numbers is not None and system_call(numbers.seccomp, _GET_ACTION, 0, action) == 0


def build(*, network: bool, processes: bool, names: bool) -> bytes:
    """The filter of this machine, as an array of `struct sock_filter`.

    `network` allows sockets; `processes` new processes, programs, and tracing them; `names` to change modes, owners and
    attributes of files by their names.
    """
    numbers = _ARCHITECTURES[platform.machine()]
    refused = _ERRNO | errno.EACCES
    program = [
        *_unless(_ARCHITECTURE, _EQUAL, numbers.audit, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, 0x40000000),  # x86-64's x32 calls
        (_RETURN, 0, 0, _KILL_PROCESS),
        *_each((*numbers.system, _OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _MOUNT_SETATTR), _KILL_PROCESS),
        *_each((_PIDFD_GETFD, _PIDFD_SEND_SIGNAL), refused),
        *_each((_IO_URING_SETUP,), _ERRNO | errno.ENOSYS),  # its operations pass no filter
    ]
    if not processes:
        program += _each((*numbers.programs, *numbers.tracing), _KILL_PROCESS)
        program += _each(numbers.fork, refused)
        program += _each((_CLONE3,), _ERRNO | errno.ENOSYS)  # its flags are in memory; libc then uses clone
    if not network:
        program += _each(numbers.network, refused)
    if not names:
        program += _each((*numbers.names, _FCHMODAT2, _SETXATTRAT, _REMOVEXATTRAT), refused)
        # By a name, not by a descriptor: both halves of the pointer are compared.
        program += _where(numbers.utimensat, 1, (_EQUAL, 1, 0, 0), refused)
        program += _where(numbers.utimensat, 1, (_EQUAL, 1, 0, 0), refused, high=True)
    if not processes:
        program += _where(numbers.clone, 0, (_ANY_BIT, 1, 0, _CLONE_THREAD), refused)
        for number in numbers.signals:
            program += _where(number, 0, (_EQUAL, 1, 0, os.getpid()), refused)
    for request in (_FAKE_INPUT, _LINUX_CONSOLE):
        program += _where(numbers.ioctl, 1, (_EQUAL, 0, 1, request), refused)
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def install(program: bytes) -> None:
    """Put all threads of this process, and all that it starts, behind a filter, for good."""
    instructions = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions))
    number = _ARCHITECTURES[platform.machine()].seccomp
    if system_call(number, _SET_MODE_FILTER, _ALL_THREADS, header):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


_Instruction = tuple[int, int, int, int]


def _unless(word: int, test: int, value: int, action: int) -> list[_Instruction]:
    return [(_LOAD, 0, 0, word), (test, 1, 0, value), (_RETURN, 0, 0, action)]


def _each(numbers: tuple[int, ...], action: int) -> list[_Instruction]:
    """Return `action` for any of the numbers; the number is loaded."""
    return [step for number in numbers for step in ((_EQUAL, 0, 1, number), (_RETURN, 0, 0, action))]


def _where(number: int, argument: int, allowed: _Instruction, action: int, *, high: bool = False) -> list[_Instruction]:
    """Return `action` for a system call, unless a test of the low (or high) word of an argument jumps over that."""
    little_endian = bool(struct.pack("=H", 1)[0])
    return [
        (_LOAD, 0, 0, _NUMBER),
        (_EQUAL, 0, 3, number),
        (_LOAD, 0, 0, _ARGUMENTS + 8 * argument + 4 * (high == little_endian)),
        allowed,
        (_RETURN, 0, 0, action),
    ]
