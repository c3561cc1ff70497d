"""A machine that lives as long as a `with` block, its serial line open from the first byte.

It is transient: nothing of it is left in libvirt. Where a daemon holds it, it goes with the connection even if this
process is killed; an embedded libvirt (9.0) has no such service, and a SIGKILL leaves its machine running. Machines
that stay are not here.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from imgkit.vm.connection import binding, host_of, translated
from imgkit.vm.domain import domain_xml
from imgkit.vm.line import open_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from imgkit.vm.line import Line
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
    xml = domain_xml(replace(spec, log=log or spec.log), host_of(connection))
    flags = libvirt.VIR_DOMAIN_START_PAUSED
    with translated(f"the machine {spec.name} cannot be started"):
        if "/embed" not in connection.getURI():
            flags |= libvirt.VIR_DOMAIN_START_AUTODESTROY
        domain = connection.createXML(xml, flags)
    try:
        with open_line(domain, on_output=on_output, force=True) as line:
            with translated(f"the machine {spec.name} cannot be started"):
                domain.resume()
            yield Machine(domain, line)
    finally:
        _destroy(domain)


def _destroy(domain: Any) -> None:
    libvirt = binding()
    try:
        domain.destroy()
    except libvirt.libvirtError:
        return  # it went off by itself
