"""libvirt: connected to, or embedded in this process, its errors in our words.

libvirt wants its event loop registered before the first connection and turning while one is open; a thread of this
process turns it. The loop is the process's: libvirt has room for one, and no way to take it back.

API: https://libvirt.org/html/index.html, https://libvirt.org/drvqemu.html#embedded-driver
"""

from __future__ import annotations

import functools
import os
import platform
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgkit.errors import EngineError, InUseError, MachineError, OutputError, UsageError
from imgkit.guest.kvm import kvm_works
from imgkit.vm.domain import Host, Hypervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

SESSION = "qemu:///session"


@contextmanager
def connect(uri: str = SESSION) -> Iterator[Any]:
    """A connection to libvirt (its `virConnect`), open as long as the block.

    Raises EngineError where libvirt's binding or daemon is missing, UsageError for a URI that it does not take,
    MachineError for any other refusal.
    """
    libvirt = binding()
    _turn_events()
    try:
        connection = libvirt.open(uri)
    except libvirt.libvirtError as error:
        raise _refused(libvirt, uri, error) from error
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def embedded() -> Iterator[str]:
    """The URI of a libvirt in this process, which needs no daemon; what it writes goes away with the process.

    libvirt embeds one driver a process, in the folder that it was first given, so that all blocks share it.
    """
    yield f"qemu:///embed?root={_embedded_root().name}"


@functools.cache
def _embedded_root() -> tempfile.TemporaryDirectory[str]:
    """Make the folder of the embedded driver; short, as it holds Unix sockets, whose paths end at 108 bytes."""
    root = tempfile.TemporaryDirectory(prefix="imgkit-vm-", dir="/tmp")  # its finalizer runs when Python ends
    settings = Path(root.name, "etc", "qemu.conf")
    settings.parent.mkdir()
    settings.write_text('stdio_handler = "file"\n')  # else libvirt starts a virtlogd, which outlives us
    return root


@functools.cache
def binding() -> Any:
    """The module libvirt, silent. EngineError where it is missing."""
    try:
        import libvirt  # noqa: PLC0415  -- heavy, and an extra
    except ImportError as error:
        raise EngineError(
            f"libvirt's Python binding is missing ({error})",
            hint="Install Debian's python3-libvirt, or the extra: pip install 'imgkit-vm[vm]'.",
        ) from error
    libvirt.registerErrorHandler(lambda _context, _error: None, None)  # else it prints to standard error
    return libvirt


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn libvirt's errors within the block into MachineError and its like; `what` begins the sentence."""
    libvirt = binding()
    try:
        yield
    except libvirt.libvirtError as error:
        message = f"{what}: {_words(error)}"
        text = _words(error)
        if "Failed to get" in text and "lock" in text:
            raise InUseError(message, hint="Stop the machine or the process that has the image open.") from error
        if "Cannot allocate memory" in text or "cannot set up guest memory" in text:
            raise MachineError(message, hint="Give the machine less with --memory.") from error
        if "No space left" in text:
            raise OutputError(message, hint="Make room, or choose a smaller disk.") from error
        raise MachineError(message) from error


def host_of(connection: Any) -> Host:
    """What runs machines behind a connection. Raises MachineError where it does not say."""
    with translated("libvirt does not tell what it runs on"):
        if connection.getType() == "TEST":
            return Host("x86_64", Hypervisor.TEST)
        architecture = connection.getInfo()[0]
        is_local = connection.getHostname() == platform.node()
        if is_local and not kvm_works():
            return Host(architecture, Hypervisor.QEMU)
        offers_kvm = "<domain type='kvm'" in connection.getCapabilities()
    return Host(architecture, Hypervisor.KVM if offers_kvm else Hypervisor.QEMU)


@functools.cache
def _turn_events() -> None:
    libvirt = binding()
    libvirt.virEventRegisterDefaultImpl()

    def turn() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    # A timer, as the loop would otherwise sleep until the first handle, of which it is told by waking up.
    libvirt.virEventAddTimeout(1000, lambda _timer, _nothing: None, None)
    threading.Thread(target=turn, name="libvirt events", daemon=True).start()


def _refused(libvirt: Any, uri: str, error: Any) -> Exception:
    message = f"no connection to {uri}: {_words(error)}"
    code = error.get_error_code()
    if code in {libvirt.VIR_ERR_NO_CONNECT, libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_CONFIG_UNSUPPORTED}:
        return UsageError(message, hint="Name one that libvirt knows, as qemu:///session.")
    if code in {libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_ERR_NO_SUPPORT}:
        hint = "Install libvirt-daemon and libvirt-daemon-driver-qemu."
        if os.environ.get("XDG_RUNTIME_DIR") is None:
            hint += " If its daemon does not start, set XDG_RUNTIME_DIR to a folder of yours."
        return EngineError(message, hint=hint)
    return MachineError(message, hint="Try qemu:///session, which needs no privilege.")


def _words(error: Any) -> str:
    return str(error.get_error_message() or error).strip()
