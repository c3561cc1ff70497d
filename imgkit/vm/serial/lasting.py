"""The serial line of a machine by name, over its reboots.

A guest that reboots keeps its line as long as libvirt keeps its process. Where the machine goes off and is started
again, the line ends, and there is a new one, to be opened as soon as it is there. What a guest says before that is
lost; who starts a machine paused, and lets it go when its line is open, loses nothing.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from enum import Enum
from typing import TYPE_CHECKING, Any, Self

from imgkit.errors import InUseError, MachineError
from imgkit.vm.connection import binding, translated
from imgkit.vm.launcher import find
from imgkit.vm.serial.line import open_line
from imgkit.vm.serial.transcript import KEEP

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgkit.vm.serial.line import Line

_SETTLING = 3.0  # seconds in which a machine whose line ended has to be off, or somebody took its console


class Now(Enum):
    """How a line stands."""

    OPEN = "open"
    ENDED = "it ended; why, will be seen"
    OFF = "the machine is off"
    ANEW = "it is running again, and its console is open"


class LastingLine:
    """The line of a machine, `line`; a context manager that opens it and closes it.

    `on_output` and `on_close` are those of `Line`, for each line that there is. Raises MachineError where there is no
    such machine, or it is off, InUseError where its console is another's and `force` does not take it.
    """

    def __init__(
        self,
        connection: Any,
        name: str,
        *,
        on_output: Callable[[bytes], None] | None = None,
        on_close: Callable[[], None] | None = None,
        force: bool = False,
        keep: int = KEEP,
    ) -> None:
        self.name = name
        self._connection = connection
        self._settings: dict[str, Any] = {"on_output": on_output, "on_close": on_close, "keep": keep}
        self._force = force
        self._opened = ExitStack()
        self._number: int | None = None  # of the machine's start, as libvirt counts
        self._ended: float | None = None  # when the line was first seen to have ended

    def __enter__(self) -> Self:
        domain = find(self._connection, self.name)
        if not _is_on(domain):
            raise MachineError(f"the machine {self.name} is off", hint=f"Start it: imgkit vm start {self.name}")
        self._open(domain, force=self._force)
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def look(self) -> Now:
        """How the line stands; opened anew where that is possible. Does not wait.

        Raises InUseError when another took the console, MachineError when libvirt is gone.
        """
        with translated(f"the state of the machine {self.name} cannot be read"):
            if not self._connection.isAlive():
                raise MachineError(
                    "the connection to libvirt was lost", hint="The machine may still be running: connect to it again."
                )
        self.line.receive()  # on a busy machine libvirt did not call, once, when another had taken the line
        if not self.line.is_closed:
            return Now.OPEN
        self._ended = self._ended or time.monotonic()
        domain = self._domain()
        if domain is None or not _is_on(domain):
            self._number = None
            return Now.OFF
        if domain.ID() == self._number:
            if time.monotonic() - self._ended < _SETTLING:
                return Now.ENDED
            raise InUseError(f"another client took over the console of {self.name}", hint="Take it back with --force.")
        try:
            self._open(domain, force=False)
        except InUseError:
            raise
        except MachineError:  # off again
            return Now.OFF
        return Now.ANEW

    def _open(self, domain: Any, *, force: bool) -> None:
        self._opened.close()
        with translated(f"the state of the machine {self.name} cannot be read"):
            number = domain.ID()  # another one after each start
        self.line: Line = self._opened.enter_context(open_line(domain, force=force, **self._settings))
        self._number = number
        self._ended = None

    def _domain(self) -> Any:
        try:
            return find(self._connection, self.name)
        except MachineError:
            return None  # a transient machine that is off does not exist


def _is_on(domain: Any) -> bool:
    libvirt = binding()
    try:
        return bool(domain.isActive())
    except libvirt.libvirtError:
        return False
