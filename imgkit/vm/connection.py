"""libvirt: connected to, or embedded in this process, its errors in our words.

libvirt wants its event loop registered before the first connection and turning while one is open; a thread of this
process turns it. The loop is the process's: libvirt has room for one, and no way to take it back.

API: https://libvirt.org/html/index.html, https://libvirt.org/drvqemu.html#embedded-driver
"""

from __future__ import annotations

import atexit
import functools
import os
import platform
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from imgkit.errors import EngineError, InUseError, MachineError, OutputError, UsageError
from imgkit.guest.kvm import kvm_works
from imgkit.vm.domain import Host, Hypervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

SESSION = "qemu:///session"

_LESS_MEMORY = "Give the machine less with --memory."
_USER_NETWORK = "Use --network user, which needs no privileges. Your session may use what /etc/qemu/bridge.conf allows."
# libvirt's words in an error, and what to do then.
_WAYS_OUT = (
    ("Cannot allocate memory", _LESS_MEMORY),
    ("cannot set up guest memory", _LESS_MEMORY),
    ("bridge helper", _USER_NETWORK),
    ("Network not found", _USER_NETWORK),
    ("No emulator found", "Install QEMU for that architecture, as qemu-system-arm for aarch64."),
    ("Unable to find any firmware", "Install UEFI firmware: ovmf, or qemu-efi-aarch64."),
    ("Permission denied", "The machine's libvirt runs as another user, who has to be able to read the files."),
)
_SETTINGS = 'stdio_handler = "file"\n'  # else libvirt starts a virtlogd, which outlives us
# As root, which builds in containers often are, libvirt would give its machines to a user of its own, and their files
# and labels too. A machine of one command is its user's, and gets no privilege from that.
_SETTINGS_OF_ROOT = 'user = "+0"\ngroup = "+0"\ndynamic_ownership = 0\nsecurity_driver = "none"\n'
_PAUSE = 0.1  # seconds until the loop is tried again when it failed
_LAST_WORDS = 2.0  # seconds that a callback may take while this process ends
_STARTING = threading.Lock()


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
        with suppress(libvirt.libvirtError):  # it is closed if the daemon has gone
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
    swept_if_killed(Path(root.name))
    settings = Path(root.name, "etc", "qemu.conf")
    settings.parent.mkdir()
    settings.write_text(_SETTINGS + (_SETTINGS_OF_ROOT if os.geteuid() == 0 else ""))
    # libvirt makes a folder there even so. Without one it goes below the home, which in a container may be read-only.
    os.environ.setdefault("XDG_RUNTIME_DIR", root.name)
    # What QEMU can do takes libvirt a second to find out. It keeps that, and asks anew when QEMU, it or KVM changed.
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imgkit" / "libvirt"
    with suppress(OSError):  # a home that is none costs the second
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        Path(root.name, "cache").symlink_to(cache)
    return root


def swept_if_killed(folder: Path) -> None:
    """Have a folder removed, with the embedded machines that libvirt notes in it, should a SIGKILL end this process."""
    sweeper = _sweeper()
    assert sweeper.stdin is not None
    with suppress(BrokenPipeError):  # it was killed itself
        sweeper.stdin.write(os.fsencode(folder.absolute()) + b"\0")
        sweeper.stdin.flush()


@functools.cache
def _sweeper() -> subprocess.Popen[bytes]:
    """Start the process that sweeps; its standard input ends with this process, however it ends."""
    command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("sweeper.py"))]
    nothing = subprocess.DEVNULL
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=nothing, stderr=nothing, start_new_session=True, cwd="/"
    )

    def end() -> None:
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.wait()

    atexit.register(end)
    return process


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
        if "No space left" in text:
            raise OutputError(message, hint="Free some space, or choose a smaller disk.") from error
        hint = next((hint for words, hint in _WAYS_OUT if words in text), None)
        raise MachineError(message, hint=hint) from error


def host_of(connection: Any) -> Host:
    """What runs machines behind a connection. Raises MachineError where it does not say."""
    with translated("libvirt does not report the host's capabilities"):
        if connection.getType() == "TEST":
            return Host("x86_64", Hypervisor.TEST)
        architecture = connection.getInfo()[0]
        if is_local(connection) and not kvm_works():
            return Host(architecture, Hypervisor.QEMU)
        offers_kvm = "<domain type='kvm'" in connection.getCapabilities()
    return Host(architecture, Hypervisor.KVM if offers_kvm else Hypervisor.QEMU)


def is_local(connection: Any) -> bool:
    """Whether machines behind a connection run on this host. Raises MachineError where libvirt does not say."""
    with translated("libvirt does not report the host's capabilities"):
        if connection.getType() == "TEST" or urlsplit(connection.getURI()).hostname is None:
            return True
        return connection.getHostname() in _own_names()


def _own_names() -> set[str]:
    """What libvirt may call this host: its name, and, as virGetHostname(3) has it, the one with a domain."""
    name = platform.node()
    try:
        found = socket.getaddrinfo(name, None, flags=socket.AI_CANONNAME)
    except OSError:
        return {name}
    return {name, *(canonical for *_, canonical, _ in found if canonical)}


def _turn_events() -> None:
    with _STARTING:  # a cache alone lets two threads in
        _events_turning()


@functools.cache
def _events_turning() -> None:
    libvirt = binding()
    libvirt.virEventRegisterDefaultImpl()
    is_ending = threading.Event()

    def turn() -> None:
        while not is_ending.is_set():
            try:
                libvirt.virEventRunDefaultImpl()
            except libvirt.libvirtError:  # one descriptor went bad; without this thread, all lines would stand still
                time.sleep(_PAUSE)

    def end() -> None:
        """Let no callback run while Python ends: its modules are half gone by then."""
        is_ending.set()
        libvirt.virEventUpdateTimeout(timer, 0)
        thread.join(_LAST_WORDS)

    # A timer, as the loop would otherwise sleep until the first handle, of which it is told by waking up.
    timer = libvirt.virEventAddTimeout(1000, lambda _timer, _nothing: None, None)
    thread = threading.Thread(target=turn, name="libvirt events", daemon=True)
    thread.start()
    atexit.register(end)


def _refused(libvirt: Any, uri: str, error: Any) -> Exception:
    message = f"no connection to {uri}: {_words(error)}"
    if _embedded_root.cache_info().currsize and "/embed" not in uri:
        return UsageError(
            message, hint="A process with an embedded libvirt cannot connect to a daemon: use another process."
        )
    if "libvirt-qemu" in message:
        return EngineError(
            message, hint="As root, libvirt needs its own user: install libvirt-daemon-system, or run as another user."
        )
    code = error.get_error_code()
    if code in {libvirt.VIR_ERR_NO_CONNECT, libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_CONFIG_UNSUPPORTED}:
        return UsageError(message, hint="Use a URI that libvirt knows, such as qemu:///session.")
    if code in {libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_ERR_NO_SUPPORT}:
        return EngineError(message, hint=_way_in(uri, message))
    return MachineError(message, hint="Try qemu:///session, which needs no privileges.")


def _way_in(uri: str, message: str) -> str:
    """What to do where a daemon does not answer."""
    if "runtime directory" in message:
        return "Set XDG_RUNTIME_DIR to a directory that you own, with a short path, or unset it."
    if urlsplit(uri).hostname or "+ssh" in uri:
        return "Check that the host name is right, and that the host can be reached and runs libvirt."
    hint = "Install libvirt-daemon and libvirt-daemon-driver-qemu."
    if uri.endswith(":///system"):
        return f"{hint} Or use your own session, qemu:///session, which needs no privileges."
    if os.environ.get("XDG_RUNTIME_DIR") is None:
        hint += " If its daemon does not start, set XDG_RUNTIME_DIR to a folder of yours."
    return hint


def _words(error: Any) -> str:
    return str(error.get_error_message() or error).strip()
