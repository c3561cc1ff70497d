"""Machines that stay: defined, listed, started, stopped, removed. libvirt keeps them; nothing is remembered here.

Not here: disks. They are made before a machine and outlive it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from imgkit.errors import MachineError
from imgkit.vm.connection import binding, translated
from imgkit.vm.ptylocks import locked_ones_taken

_POLL = 0.2  # seconds between looks at a machine that is going off


@dataclass(frozen=True, slots=True)
class Listed:
    """A machine as libvirt tells it; memory in MiB."""

    name: str
    running: bool
    persistent: bool
    memory: int
    vcpus: int


def machines(connection: Any) -> list[Listed]:
    """All machines of a connection, by name. Raises MachineError where libvirt does not tell."""
    with translated("the machines cannot be listed"):
        return sorted(map(_listed, connection.listAllDomains()), key=lambda machine: machine.name)


def check_name(connection: Any, name: str) -> None:
    """Raise MachineError if a machine has this name."""
    if any(machine.name == name for machine in machines(connection)):
        raise MachineError(
            f"a machine called {name} already exists",
            hint=f"Choose another name, or remove that one: imgkit vm remove {name}.",
        )


def start(connection: Any, name: str, *, paused: bool = False) -> bool:
    """Start a machine, or have it ready to start, paused; False if it was running.

    Raises MachineError if there is none or libvirt refuses, InUseError where a disk of it is in use.
    """
    libvirt = binding()
    domain = find(connection, name)
    with translated(f"the machine {name} cannot be started"), locked_ones_taken():
        if domain.isActive():
            return False
        domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED if paused else 0)
    return True


def resume(connection: Any, name: str) -> None:
    """Let a machine go if it is paused. Raises MachineError if there is none or libvirt refuses."""
    libvirt = binding()
    domain = find(connection, name)
    with translated(f"the machine {name} cannot be started"):
        if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
            domain.resume()


def stop(connection: Any, name: str, *, timeout: float = 60, force: bool = False) -> bool:
    """Ask a machine to shut down and wait up to `timeout` seconds; `force` turns it off at once.

    False if it was off. Raises MachineError if there is none, or it is still on in the end.
    """
    domain = find(connection, name)
    with translated(f"the machine {name} cannot be stopped"):
        if not domain.isActive():
            return False
        if force:
            domain.destroy()
            return True
        domain.shutdown()
    if not _goes_off(connection, name, timeout):
        raise MachineError(
            f"the machine {name} did not shut down in {timeout:g} seconds",
            hint="The guest may ignore the power button; turn it off with --force.",
        )
    return True


def remove(connection: Any, name: str) -> None:
    """Forget a machine that is off, its UEFI variables with it; its disks stay.

    Raises MachineError if there is none, or it is running.
    """
    libvirt = binding()
    domain = find(connection, name)
    with translated(f"the machine {name} cannot be removed"):
        if domain.isActive():
            raise MachineError(f"the machine {name} is running", hint="Stop it first.")
        flags = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
        xml = domain.XMLDesc()
        if "<nvram" in xml or "firmware='efi'" in xml:  # not every driver knows the flag; those with UEFI want it
            flags |= libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
        domain.undefineFlags(flags)


def find(connection: Any, name: str) -> Any:
    """Libvirt's `virDomain` of a name. Raises MachineError where there is none."""
    with translated("the machines cannot be listed"):
        found = [domain for domain in connection.listAllDomains() if domain.name() == name]
    if not found:
        raise MachineError(
            f"there is no machine called {name}", hint="`imgkit vm list` shows the machines of this connection."
        )
    return found[0]


def _listed(domain: Any) -> Listed:
    _, kibibytes, _, vcpus, _ = domain.info()
    return Listed(domain.name(), bool(domain.isActive()), bool(domain.isPersistent()), kibibytes >> 10, vcpus)


def _goes_off(connection: Any, name: str, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while any(machine.name == name and machine.running for machine in machines(connection)):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL)
    return True
