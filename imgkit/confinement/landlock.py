"""Landlock: this process, and what it starts, reaches only the files that it is given. No privileges are needed.

The kernel's answer decides what is asked for: rights that its ABI does not know are left out. What Landlock does not
govern whatever the ABI (modes, owners, times and attributes of files that can be named) `seccomp` denies.

Reference: https://docs.kernel.org/userspace-api/landlock.html, include/uapi/linux/landlock.h
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import TYPE_CHECKING

from imgkit.confinement.kernel import system_call

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# The same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1  # flag of landlock_create_ruleset
_PATH_BENEATH = 1  # rule type

_EXECUTE = 1 << 0
_WRITE_FILE = 1 << 1
_READ_FILE = 1 << 2
_READ_DIRECTORY = 1 << 3
_TRUNCATE = 1 << 14
_DEVICE_IOCTL = 1 << 15
_READ = _READ_FILE | _READ_DIRECTORY
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _DEVICE_IOCTL  # the rest concerns directories alone

# ABI: number of file system rights that it knows. Version 2 has REFER, 3 TRUNCATE, 5 IOCTL_DEV.
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_NEWEST_RIGHTS = 16
_NETWORK_ABI, _SCOPE_ABI = 4, 6
_BIND_AND_CONNECT = 0b11
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11


def abi() -> int:
    """The version of the kernel's interface; 0 where Landlock is missing or switched off."""
    return max(0, system_call(_CREATE_RULESET, None, 0, _VERSION))


class Ruleset:
    """What may be reached, as a descriptor of the kernel's. `restrict` can be called after a fork."""

    def __init__(self, *, read: Iterable[Path], write: Iterable[Path], execute: Iterable[Path], network: bool) -> None:
        version = abi()
        self._rights = (1 << _RIGHTS.get(version, _NEWEST_RIGHTS)) - 1
        fields = [self._rights]
        if version >= _NETWORK_ABI:
            fields.append(0 if network else _BIND_AND_CONNECT)
        if version >= _SCOPE_ABI:
            fields.append(_ABSTRACT_SOCKETS_AND_SIGNALS)
        attributes = struct.pack(f"={len(fields)}Q", *fields)
        self._fd = _checked(_CREATE_RULESET, attributes, len(attributes), 0)
        try:
            for paths, rights in (
                (read, _READ),
                (write, self._rights & ~_EXECUTE),
                (execute, _EXECUTE | _READ),
            ):
                for path in paths:
                    self._allow(path, rights)
        except BaseException:
            self.close()
            raise

    def _allow(self, path: Path, rights: int) -> None:
        """Allow `rights` at and below a path; one that does not exist needs no rule."""
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        try:
            rights &= self._rights
            if not path.is_dir():
                rights &= _ON_FILES
            rule = struct.pack("=Qi", rights, fd)
            _checked(_ADD_RULE, self._fd, _PATH_BENEATH, rule, 0)
        finally:
            os.close(fd)

    def restrict(self) -> None:
        """Put this thread, and all that it starts, behind the rules, for good. It may gain no privileges before."""
        _checked(_RESTRICT_SELF, self._fd, 0)

    def close(self) -> None:
        """Let go of the descriptor; what was restricted stays so."""
        os.close(self._fd)


def _checked(number: int, *arguments: int | bytes | None) -> int:
    result = system_call(number, *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
