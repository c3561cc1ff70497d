"""The user's own libvirt, for tests alone: its daemon, its folders, and none of the machines that the user has.

A user who came by `su` or in a container has no XDG_RUNTIME_DIR, and has to set it to a folder that is short (it holds
Unix sockets) and private; here it is done for everybody.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support import oracle

_FOLDERS = ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")


def virsh(*words: str | Path) -> str:
    """What virsh answers. In another process: one that has embedded a libvirt cannot reach the daemon."""
    command = [oracle.find("virsh"), "--connect", "qemu:///session", *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def own_session() -> Iterator[dict[str, str]]:
    """This process's environment, and what it holds for libvirt; the daemon goes with the block."""
    root = Path(tempfile.mkdtemp(prefix="ik-", dir="/tmp"))
    before = {name: os.environ.get(name) for name in _FOLDERS}
    settings = {name: str(root / name.split("_")[1].lower()) for name in _FOLDERS}
    for folder in settings.values():
        Path(folder).mkdir(mode=0o700)
    os.environ.update(settings)
    try:
        yield settings
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        _end_daemon(root / "runtime" / "libvirt" / "libvirtd.pid")
        shutil.rmtree(root, ignore_errors=True)


def _end_daemon(file: Path) -> None:
    """End the daemon that libvirt has started; it would end by itself two minutes after its last client left."""
    with suppress(FileNotFoundError, ProcessLookupError):
        pid = int(file.read_text())
        os.kill(pid, signal.SIGTERM)
        for _ in range(100):
            os.kill(pid, 0)
            time.sleep(0.1)
