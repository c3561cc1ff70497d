"""Several real users on one machine, for whoever runs the tests: root has them, and others have subordinate ids.

An unprivileged user maps the ids that /etc/subuid gives (`useradd` writes it) into a user namespace (newuidmap, of
Debian's `uidmap`) and is root there. Files keep their owners from one namespace to the next. The checkout may lie in a
closed home, so that it is mounted where all of them may read it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import oracle

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT, ALICE, BOB, POOL = 0, 1001, 1002, 1010
"""Users, and a group that ALICE and BOB are in; ids inside the namespace."""

_CHECKOUT = Path(__file__).parents[2]
_MOUNT = """
mount -t tmpfs -o mode=755 tmpfs /mnt && mkdir /mnt/code /mnt/site && mkdir -m 1777 /mnt/home &&
mount --bind "$1" /mnt/code && mount --bind "$2" /mnt/site && shift 2 && cd / && exec "$@"
"""


def run_as(user: int, *words: str | Path, check: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a command as a user. What begins with `imgkit` or `python` is this checkout's."""
    space = ["unshare", "--mount"]
    if os.geteuid() != 0:
        space += ["--user", "--map-root-user", "--map-auto"]
    python = os.path.realpath(sys.executable)
    first, *rest = map(str, words)
    program = {"imgkit": [python, "-m", "imgkit"], "python": [python]}.get(first, [first])
    identity = ["setpriv", f"--reuid={user}", f"--regid={user}", f"--groups={POOL}" if user else "--keep-groups"]
    environment = [
        "env",
        "-u",
        "XDG_RUNTIME_DIR",
        "HOME=/mnt/home",
        "PYTHONPATH=/mnt/code:/mnt/site",
        "PYTHONDONTWRITEBYTECODE=1",
        "SOURCE_DATE_EPOCH=1700000000",
    ]
    script = ["sh", "-c", _MOUNT, "sh", str(_CHECKOUT), sysconfig.get_path("purelib")]
    done = subprocess.run(
        [oracle.find(space[0]), *space[1:], *script, *identity, *environment, *program, *rest],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PATH": oracle.search_path()},
    )
    assert not check or done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


@contextmanager
def shared_folder(mode: int, group: int = 0) -> Iterator[Path]:
    """A folder of root's with these permissions, where everybody can reach it."""
    folder = Path(tempfile.mkdtemp(prefix="imgkit-users-"))
    try:
        run_as(ROOT, "chown", f"0:{group}", folder, check=True)
        run_as(ROOT, "chmod", f"{mode:o}", folder, check=True)
        yield folder
    finally:
        run_as(ROOT, "find", folder, "-mindepth", "1", "-delete", check=True)
        run_as(ROOT, "chown", "0:0", folder, check=True)
        shutil.rmtree(folder)
