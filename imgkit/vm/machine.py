"""A machine that lives as long as a `with` block, its serial line open from the first byte.

It is transient: nothing of it is left in libvirt, even if this process is killed. Where a daemon holds it, it goes with
the connection; an embedded libvirt (9.0) has no such service, and `sweeper` does it. Machines that stay are not here.
"""

from __future__ import annotations

import threading
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from imgkit.vm.connection import binding, host_of, translated
from imgkit.vm.domain import domain_xml
from imgkit.vm.ptylocks import locked_ones_taken
from imgkit.vm.serial.line import open_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from imgkit.vm.serial.line import Line
    from imgkit.vm.spec import VmSpec


@dataclass(frozen=True, slots=True)
class Machine:
    """A running machine: libvirt's `virDomain`, and its serial line."""

    domain: Any
    line: Line

    @property
    def is_running(self) -> bool:
        """Whether the machine is on."""
        libvirt = binding()
        try:
            return bool(self.domain.isActive())
        except libvirt.libvirtError:  # a transient machine that is off does not exist
            return False


@contextmanager
def powered_on(
    connection: Any, spec: VmSpec, *, log: Path | None = None, on_output: Callable[[bytes], None] | None = None
) -> Iterator[Machine]:
    """A transient machine, on as long as the block; `log` takes what comes over its serial line.

    It is made paused, its line opened, and then let go, so that no output is lost. Raises MachineError where libvirt
    refuses it, InUseError where another process has its disk.
    """
    libvirt = binding()
    identity = str(uuid.uuid4())
    xml = domain_xml(replace(spec, log=log or spec.log), host_of(connection), identity=identity)
    flags = libvirt.VIR_DOMAIN_START_PAUSED
    try:
        with translated(f"the machine {spec.name} cannot be started"):
            if "/embed" not in connection.getURI():
                flags |= libvirt.VIR_DOMAIN_START_AUTODESTROY
            with locked_ones_taken():
                domain = connection.createXML(xml, flags)
        with open_line(domain, on_output=on_output, force=True) as line:
            with translated(f"the machine {spec.name} cannot be started"):
                domain.resume()
            yield Machine(domain, line)
    finally:
        _destroy(connection, identity)


def _destroy(connection: Any, identity: str) -> None:
    """Turn the machine off, if there is one: a signal that came while it was made left us no object of it.

    In a thread of its own, which a second signal does not interrupt: Python raises in the main one.
    """
    ending = threading.Thread(target=_turn_off, args=(connection, identity))
    ending.start()
    ending.join()


def _turn_off(connection: Any, identity: str) -> None:
    libvirt = binding()
    try:
        connection.lookupByUUIDString(identity).destroy()
    except libvirt.libvirtError:
        return  # it went off by itself, or was never made
