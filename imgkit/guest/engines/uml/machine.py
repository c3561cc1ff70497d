"""One kernel: started, talked to, and ended with everything that belongs to it.

While a verb waits for its answer, what the kernel asks of its disk is served; between verbs nothing is, so that nobody
else touches the image meanwhile. A kernel that does nothing at all for half a minute is given up.
"""

from __future__ import annotations

import os
import resource
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from imgkit.confinement import confined_child, seccomp
from imgkit.confinement.gate import Gate
from imgkit.errors import EngineError
from imgkit.guest.engines.uml import floatingpoint
from imgkit.guest.engines.uml.inside import wire
from imgkit.guest.engines.uml.vhostuser import BlockServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgkit.guest.engines.uml.shelf import Shelf

KERNEL = "linux.uml"
PACKAGES = "apt install user-mode-linux"
_HERE = Path(__file__).parent
_SILENCE = 30.0  # seconds
_BLOCK_DEVICE = 2  # virtio's number of block devices
_CHUNK = 1 << 16
_LOG_LINES, _MOST_LOG = 3, 1 << 20  # lines that are shown, bytes that are read
_MEMORY, _SPARE = 192, 16  # MiB: of the kernel, and left free beside it
_CPU_SECONDS = 1800  # more than any image needs; one that keeps the kernel busy for ever ends there
_SOCKET = "disk"


class Refused(Exception):  # noqa: N818 - whoever asked makes an error of it
    """The agent could not do what requested: errno (0: it would not), and its words."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def find_kernel() -> str | None:
    """The kernel's path, or None where it is not installed."""
    return shutil.which(KERNEL)


class Machine:
    """A running kernel whose only disk is `shelf`.

    Raises EngineError where the kernel is missing or does not start, and from every verb when it is gone.
    """

    def __init__(self, shelf: Shelf, *, memory: int = _MEMORY) -> None:
        kernel = find_kernel()
        if kernel is None:
            raise EngineError(
                f"the uml engine needs User-Mode Linux ({KERNEL} is not on the PATH)",
                hint=f"Install it (Debian: {PACKAGES}); `imgkit doctor` says what is missing.",
            )
        self._server: BlockServer | None = None
        self._is_open = True
        self.shelf = shelf
        self.memory = memory
        with ExitStack() as stack:
            self.folder = _base_folder(memory) / f"imgkit-uml-{secrets.token_hex(8)}"
            warden = stack.enter_context(_warden(self.folder))
            self.folder.mkdir(mode=0o700)
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self._log = stack.enter_context((self.folder / "log").open("w+b"))
            listener = stack.enter_context(_listening(self.folder / _SOCKET))
            self._gate = Gate()
            stack.callback(self._gate.shut)
            to_agent, from_agent = self._start(stack, kernel, memory)
            warden(self._process.pid)
            self._to_agent, self._from_agent = to_agent, from_agent
            self._listener = listener
            stack.callback(self._close_server)
            self.release = self._wait()[0].decode()
            self._cleanup = stack.pop_all()

    def call(self, verb: str, *arguments: bytes | str | int) -> list[bytes]:
        """Have the agent do something; its answer's fields. Raises Refused, EngineError, and what the disk raises."""
        if not self._is_open:
            raise EngineError("the uml engine's kernel has ended")
        fields = [argument if isinstance(argument, bytes) else str(argument).encode() for argument in arguments]
        body = wire.pack(verb.encode(), *fields)
        head = wire.LENGTH.pack(len(body))
        if len(body) > wire.INLINE:
            self.shelf.mailbox.write_at(0, body)
            self._send(head)
        else:
            self._send(head + body)
        return self._wait()

    def close(self) -> None:
        """Kill the kernel and remove its files."""
        if self._is_open:
            self._is_open = False
            self._cleanup.close()

    def _start(self, stack: ExitStack, kernel: str, memory: int) -> tuple[int, int]:
        """Start the kernel; the ends of its serial line that are ours: to write, and to read."""
        its_input, to_agent = os.pipe()
        from_agent, its_output = os.pipe()
        stack.callback(os.close, to_agent)
        stack.callback(os.close, from_agent)
        gate = self._gate
        with _closing(its_input, its_output), _confined(self.folder, kernel, gate) as prepare:
            command = [kernel, *self._arguments(memory, its_input, its_output)]
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env={"HOME": str(self.folder), "TMPDIR": str(self.folder), "PATH": os.defpath},
                pass_fds=(its_input, its_output),
                start_new_session=True,
                preexec_fn=prepare,  # noqa: PLW1509 - system calls alone
            )
            stack.callback(self._kill)
            gate.open()
        os.set_blocking(to_agent, False)
        return to_agent, from_agent

    def _arguments(self, memory: int, its_input: int, its_output: int) -> list[str]:
        python = os.path.realpath(sys.executable)
        return [
            f"mem={memory}M",
            f"virtio_uml.device={_SOCKET}:{_BLOCK_DEVICE}",
            f"uml_dir={self.folder}",
            "root=/dev/root",
            "rootfstype=hostfs",
            "rootflags=/",
            "ro",
            "con=null",
            "con0=fd:0,fd:1",
            f"ssl0=fd:{its_input},fd:{its_output}",
            "quiet",
            "selinux=0",
            "noreboot",
            "panic=-1",
            f'init="{python}"',
            *(floatingpoint.ENVIRONMENT if floatingpoint.state_is_larger() else ()),
            "--",
            *("-I", "-S", "-B", str(_HERE / "inside" / "agent.py")),
        ]

    # Talking

    def _send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._to_agent, rest) :]
            except BlockingIOError:
                self._serve(writing=True)
            except BrokenPipeError as error:
                raise self._gone() from error

    def _wait(self) -> list[bytes]:
        """The fields of the next answer."""
        answer = b""
        length: int | None = None
        while length is None or len(answer) < length:
            if not self._serve(writing=False):
                continue
            piece = os.read(self._from_agent, _CHUNK)
            if not piece:
                raise self._gone()
            answer += piece
            if length is None and len(answer) >= wire.LENGTH.size:
                (length,) = wire.LENGTH.unpack_from(answer)
                if length > wire.MAILBOX_SIZE:
                    raise self._failed(f"sent {length:,} bytes at once")
                answer = answer[wire.LENGTH.size :]
                if length > wire.INLINE:
                    answer = self.shelf.mailbox.read_at(0, length)
        if self._server is not None:
            self._server.raise_failure()
        try:
            code, *fields = wire.unpack(answer)
            if code:
                raise Refused(int(code), fields[0].decode(errors="replace"))
        except (ValueError, IndexError) as error:
            raise self._failed("sent an answer that cannot be parsed") from error
        return fields

    def _serve(self, *, writing: bool) -> bool:
        """Serve the kernel until the line is ready to be read, or written; False when something else was done."""
        line = self._to_agent if writing else self._from_agent
        poll = select.poll()
        poll.register(line, select.POLLOUT if writing else select.POLLIN)
        jobs = self._jobs()
        for fd in jobs:
            poll.register(fd, select.POLLIN)
        events = poll.poll(_SILENCE * 1000)
        if not events:
            raise self._failed(f"did not respond for {_SILENCE:.0f} seconds")
        for fd, _ in events:
            if fd in jobs:
                jobs[fd]()
        return any(fd == line for fd, _ in events)

    def _jobs(self) -> dict[int, Callable[[], None]]:
        """What the kernel may want, by the descriptor that tells."""
        jobs: dict[int, Callable[[], None]] = {}
        server = self._server
        if server is not None:
            jobs[server.connection.fileno()] = self._answer
            if server.kick is not None:
                jobs[server.kick] = server.serve_queue
        elif self._gate.fd is not None:
            jobs[self._gate.fd] = self._gate.let_one_in
        else:
            jobs[self._listener.fileno()] = self._connect
        return jobs

    def _connect(self) -> None:
        connection, _ = self._listener.accept()
        self._server = BlockServer(self.shelf, connection)

    def _answer(self) -> None:
        if self._server is not None and not self._server.answer_message():
            raise self._gone()

    # Ending

    def _gone(self) -> EngineError:
        return self._failed("has ended unexpectedly")

    def _failed(self, what: str) -> EngineError:
        lines = self._last_words()
        said = f"; it said: {' / '.join(lines)}" if lines else ""
        return EngineError(
            f"the uml engine's kernel {what}{said}",
            hint="`imgkit doctor` shows which engines work here; try --engine guestfs.",
        )

    def _last_words(self) -> list[str]:
        """The last lines of the kernel's log, without the registers and addresses behind a panic."""
        self._log.seek(0)
        text = self._log.read(_MOST_LOG).decode(errors="replace")
        lines = ["".join(filter(str.isprintable, line)).strip() for line in text.splitlines()]
        panic = next((number for number, line in enumerate(lines) if "Kernel panic" in line), len(lines))
        return [line for line in lines[: panic + 1] if line][-_LOG_LINES:]

    def _close_server(self) -> None:
        if self._server is not None:
            self._server.close()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextmanager
def _closing(*fds: int) -> Iterator[None]:
    try:
        yield
    finally:
        for fd in fds:
            os.close(fd)


@contextmanager
def _warden(folder: Path) -> Iterator[Callable[[int], None]]:
    """A process that clears away when this one is gone; to be told of the kernel. See `warden`.

    It knows the folder before there is one, so that there is no instant in which nobody would remove it.
    """
    command = [sys.executable, "-I", "-S", str(_HERE / "warden.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0, start_new_session=True) as warden:
        assert warden.stdin is not None
        warden.stdin.write(os.fsencode(folder) + b"\0")
        stdin = warden.stdin
        try:
            yield lambda kernel: (stdin.write(b"%d" % kernel), None)[1]
        finally:
            stdin.close()  # it finds nothing to do


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """A socket at a path, however long that is: the kernel has 108 bytes for the name."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
            listener.listen(1)
            yield listener
    finally:
        os.close(folder)


def _base_folder(memory: int) -> Path:
    """Where the kernel's files are, its memory among them: in memory, where there is enough and it may be mapped."""
    shared = Path("/dev/shm")  # noqa: S108
    with suppress(OSError):
        found = os.statvfs(shared)
        has_room = found.f_bavail * found.f_frsize > (memory + _SPARE) << 20
        if has_room and not found.f_flag & os.ST_NOEXEC and os.access(shared, os.W_OK):
            return shared
    return Path(tempfile.gettempdir())


@contextmanager
def _confined(folder: Path, kernel: str, gate: Gate) -> Iterator[Callable[[], None]]:
    """What has to be done between fork and exec: the kernel reaches its folder, and of the host what it runs.

    It would hand on what it can read to whoever takes it over by an image; so nothing of a user's is among that. Where
    the processor has more registers than it knows, it is told otherwise (`floatingpoint`).
    """
    system = [Path(path) for path in ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", kernel, sys.executable)]
    python = Path(sys.base_exec_prefix)
    read = [_HERE / "inside", Path("/proc/cpuinfo"), *([] if python == Path("/") else [python])]
    devices = [Path("/dev/ptmx"), Path("/dev/pts"), Path("/dev/random"), Path("/dev/urandom")]
    registers = floatingpoint.refuse_whole_state() if floatingpoint.state_is_larger() else None
    with confined_child(read=read, write=[folder, *devices], execute=[*system, python], network=True) as confine:

        def prepare() -> None:
            resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
            confine()
            if registers is not None:
                seccomp.install(registers)
            gate.enter()

        yield prepare
