"""LVM's own commands on ordinary files: no root, no loop device, no device-mapper.

A preloaded library (`lvmfiles.c`) has `lvm` take the files of a folder for block devices. Nothing is activated: where a
logical volume lies is what `lvs` reports, and `read` and `write` follow that report, independently of imgkit's reading.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support import oracle

_SOURCE = Path(__file__).with_name("lvmfiles.c")
_CONFIG = """
devices {{ dir="{folder}" scan=["{folder}"] use_devicesfile=0 external_device_info_source="none" sysfs_scan=0
obtain_device_list_from_udev=0 multipath_component_detection=0 md_component_detection=0 }}
activation {{ udev_rules=0 udev_sync=0 monitoring=0 }}
global {{ locking_dir="{folder}/.lock" activation=0 use_lvmpolld=0 use_lvmlockd=0 event_activation=0 }}
backup {{ backup=0 archive=0 }}
"""


@functools.cache
def _library() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="imgkit-lvm-"))
    atexit.register(shutil.rmtree, folder)
    oracle.run("gcc", "-O1", "-shared", "-fPIC", "-o", folder / "lvmfiles.so", _SOURCE, "-ldl")
    return folder / "lvmfiles.so"


class Lvm:
    """Physical volumes that are files of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "devices"
        (self.folder / ".lock").mkdir(parents=True)

    def file(self, name: str, mib: int) -> Path:
        """A new, empty file that LVM takes for a block device."""
        path = self.folder / name
        with path.open("wb") as file:
            file.truncate(mib << 20)
        return path

    def run(self, *arguments: str | Path) -> str:
        """Standard output of an lvm command, such as "vgcreate", "vg", path."""
        environment = {
            **os.environ,
            "LVM_FILES": str(self.folder),
            "LVM_SYSTEM_DIR": str(self.folder / ".lock"),
            "LVM_SUPPRESS_FD_WARNINGS": "1",
            "LD_PRELOAD": str(_library()),
        }
        command = [oracle.find("lvm"), *map(str, arguments), "--config", _CONFIG.format(folder=self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def create(self, group: str, *paths: Path, options: tuple[str, ...] = ()) -> None:
        """Make a volume group of new physical volumes."""
        self.run("vgcreate", "-y", *options, group, *paths)

    def volume(self, group: str, name: str, *options: str, on: tuple[Path, ...] = ()) -> None:
        """Make a logical volume; `options` say how large and how, `on` where."""
        self.run("lvcreate", "-y", "-an", "-Zn", "-Wn", "-n", name, *options, group, *on)

    def report(self, command: str, fields: str, *options: str) -> list[dict[str, str]]:
        """Rows of a report, sizes in bytes."""
        text = self.run(command, "--reportformat", "json", "--units", "b", "--nosuffix", "-o", fields, *options)
        (rows,) = json.loads(text)["report"][0].values()
        return list(rows)

    def pieces(self, volume: str) -> list[tuple[Path, int, int]]:
        """File, offset and length of each piece of a logical volume ("vg/root"), in order, as LVM reports it."""
        extent = int(self.report("vgs", "vg_extent_size", volume.split("/", maxsplit=1)[0])[0]["vg_extent_size"])
        starts = {row["pv_name"]: int(row["pe_start"]) for row in self.report("pvs", "pv_name,pe_start")}
        found = []
        for row in self.report("lvs", "seg_start,seg_size,stripes,stripe_size,devices", "--segments", volume):
            columns = []
            for device in row["devices"].split(","):
                path, _, number = device.rstrip(")").partition("(")
                columns.append((Path(path), starts[path] + int(number) * extent))
            size, chunk = int(row["seg_size"]) // len(columns), int(row["stripe_size"]) or int(row["seg_size"])
            for at in range(0, size, chunk):
                found += [(path, start + at, min(chunk, size - at)) for path, start in columns]
        return found

    def write(self, volume: str, data: bytes) -> None:
        """Put bytes at the start of a logical volume."""
        for path, offset, length in self.pieces(volume):
            with path.open("r+b") as file:
                file.seek(offset)
                file.write(data[:length])
            data = data[length:]

    def read(self, volume: str) -> bytes:
        """All bytes of a logical volume."""
        parts = []
        for path, offset, length in self.pieces(volume):
            with path.open("rb") as file:
                file.seek(offset)
                parts.append(file.read(length))
        return b"".join(parts)
