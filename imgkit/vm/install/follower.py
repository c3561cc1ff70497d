"""A small process that starts a machine again when its installer has turned it off, and then ends.

It is for installations that the firmware's boot order cannot end. It has a session of its own, so that neither Ctrl-C
nor the end of imgkit reaches it. It does not outlive the host's power, nor a kill of its own: then the machine is off,
and the next start is from its disk.

    python -m imgkit.vm.install.follower URI UUID      says one line when it listens
"""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from imgkit.errors import MachineError
from imgkit.vm.connection import binding, connect
from imgkit.vm.ptylocks import locked_ones_taken

if TYPE_CHECKING:
    from collections.abc import Callable

_LISTENS = b"listens\n"


def follow(uri: str, uuid: str) -> Callable[[], None]:
    """Begin to follow a machine; the value ends that. Raises MachineError where it cannot be followed."""
    command = [sys.executable, "-m", "imgkit.vm.install.follower", uri, uuid]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )
    assert process.stdout is not None
    with process.stdout as stdout:
        listens = stdout.read(len(_LISTENS)) == _LISTENS
    if not listens:
        process.wait()
        raise MachineError(
            "no process could be started to restart the machine after its installation", hint="Use --cdrom."
        )

    def end() -> None:
        process.terminate()
        process.wait()

    return end


def _run(uri: str, uuid: str) -> None:
    libvirt = binding()
    over = threading.Event()
    detail: list[int] = []

    def happened(_connection: Any, _domain: Any, event: int, why: int, _nothing: None) -> None:
        if event == libvirt.VIR_DOMAIN_EVENT_STOPPED:
            detail.append(why)
        if event in {libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_UNDEFINED}:
            over.set()

    with connect(uri) as connection:
        domain = connection.lookupByUUIDString(uuid)
        connection.domainEventRegisterAny(domain, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, happened, None)
        connection.registerCloseCallback(lambda *_: over.set(), None)
        sys.stdout.buffer.write(_LISTENS)
        sys.stdout.buffer.flush()
        over.wait()
        # Whoever turns it off by force wants it off.
        if detail and detail[0] == libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN:
            with suppress(libvirt.libvirtError), locked_ones_taken():  # another was faster, or it is gone
                domain.create()


if __name__ == "__main__":
    _run(*sys.argv[1:])
