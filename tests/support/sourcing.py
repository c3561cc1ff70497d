"""The shell that sources /etc/default/grub and its drop-ins, as grub-mkconfig does."""

import os
import subprocess

from imgkit.configtext.text import decode, encode
from tests.support import oracle

DROP_IN = "/etc/default/grub.d/zz-imgkit-serial.cfg"  # ours, as Debian's generator reads it
NAMES = ("A", "B", "GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT", "GRUB_TERMINAL", "GRUB_SERIAL_COMMAND")
NAMES += (
    "GRUB_TIMEOUT",
    "GRUB_TIMEOUT_STYLE",
    "GRUB_RECORDFAIL_TIMEOUT",
    "GRUB_TERMINAL_INPUT",
    "GRUB_TERMINAL_OUTPUT",
)

# What grub-mkconfig does with the files, and then the variables on standard output.
SOURCE = 'for file in "$@"; do . "$file"; done; for name in $NAMES; do eval "printf \'%s\\0\' \\"\\$$name\\""; done'


def sourced(folder, texts, shell="dash"):
    """The variables that the shell has after the files; None where it stops at an error."""
    paths = [folder / f"{number}.cfg" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(encode(text))
    done = subprocess.run(
        [oracle.find(shell), "-c", SOURCE, shell, *paths],
        capture_output=True,
        check=False,
        cwd=folder,
        env={"NAMES": " ".join(NAMES), "PATH": os.defpath, "LC_ALL": "C"},
    )
    values = decode(done.stdout.replace(b"\0", b"\1")).split("\1")
    return dict(zip(NAMES, values, strict=False)) if done.returncode == 0 and len(values) > len(NAMES) else None
