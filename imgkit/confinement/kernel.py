"""System calls and prctl(2) that Python has no functions for."""

from __future__ import annotations

import ctypes
import functools
import os
from typing import Any

_SET_NO_NEW_PRIVILEGES = 38
_SET_PARENT_DEATH_SIGNAL = 1


@functools.cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def system_call(number: int, *arguments: int | bytes | None) -> int:
    """Do a system call; -1 with ctypes's errno set where it fails."""
    return int(_libc().syscall(ctypes.c_long(number), *map(_argument, arguments)))


def _argument(value: int | bytes | None) -> object:
    return ctypes.c_long(value) if isinstance(value, int) else ctypes.c_char_p(value)


def forbid_new_privileges() -> None:
    """From now on no program that is executed gains privileges; Landlock and seccomp ask for this."""
    _prctl(_SET_NO_NEW_PRIVILEGES, 1)


def end_with_parent(signal_number: int) -> None:
    """Have the kernel send us a signal when the process that forked us ends."""
    _prctl(_SET_PARENT_DEATH_SIGNAL, signal_number)


def _prctl(option: int, value: int) -> None:
    if _libc().prctl(ctypes.c_int(option), ctypes.c_ulong(value), *[ctypes.c_ulong(0)] * 3):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
