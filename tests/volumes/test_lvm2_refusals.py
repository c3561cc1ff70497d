"""What LVM can do and is not done here is refused by name. `vgcfgrestore` vouches for the metadata."""

from __future__ import annotations

from pathlib import Path

import pytest

from imgkit.errors import UnsupportedError
from imgkit.volumes.model import Member
from imgkit.volumes.registry import assemble
from tests.support.lvm import Lvm
from tests.support.memorydevice import MemoryDevice


def volume(name: str, segment: str, *, visible: bool = True, extents: int = 4) -> str:
    uuid = f"{len(name):06}-0000-0000-0000-0000-0000-{sum(name.encode()):06}"
    status = '"READ", "WRITE"' + (', "VISIBLE"' if visible else "")
    return f"""
        {name} {{
            id = "{uuid}"
            status = [{status}]
            flags = []
            segment_count = 1
            segment1 {{
                start_extent = 0
                extent_count = {extents}
                {segment}
            }}
        }}"""


def linear(name: str, first: int, *, visible: bool = False, extents: int = 4) -> str:
    segment = f'type = "striped"\nstripe_count = 1\nstripes = ["pv0", {first}]'
    return volume(name, segment, visible=visible, extents=extents)


THIN_POOL = 'type = "thin-pool"\nmetadata = "pool_tmeta"\npool = "pool_tdata"\ntransaction_id = 1\nchunk_size = 128'
THIN = (
    volume("pool", THIN_POOL)
    + linear("pool_tmeta", 0)
    + linear("pool_tdata", 4)
    + volume("root", 'type = "thin"\nthin_pool = "pool"\ntransaction_id = 0\ndevice_id = 1')
)
RAID1 = (
    volume(
        "root",
        'type = "raid1"\ndevice_count = 2\nregion_size = 1024\nraids = ['
        + ", ".join(f'"root_rmeta_{n}", "root_rimage_{n}"' for n in range(2))
        + "]",
    )
    + linear("root_rmeta_0", 0, extents=1)
    + linear("root_rimage_0", 1)
    + linear("root_rmeta_1", 5, extents=1)
    + linear("root_rimage_1", 6)
)
MIRROR = (
    volume(
        "root",
        'type = "mirror"\nmirror_count = 2\nregion_size = 1024\nmirrors = ["root_mimage_0", 0, "root_mimage_1", 0]',
    )
    + linear("root_mimage_0", 0)
    + linear("root_mimage_1", 4)
)
SNAPSHOT = (
    linear("root", 0, visible=True)
    + linear("before", 4, visible=True)
    + volume("snapshot0", 'type = "snapshot"\nchunk_size = 8\norigin = "root"\ncow_store = "before"')
)
CACHE = (
    volume("root", 'type = "cache"\ncache_pool = "fast"\norigin = "root_corig"')
    + linear("root_corig", 0)
    + volume(
        "fast",
        'type = "cache-pool"\ndata = "fast_cdata"\nmetadata = "fast_cmeta"\nmetadata_format = 2\nchunk_size = 128\n'
        'cache_mode = "writethrough"\npolicy = "smq"\npolicy_settings {\n}',
        visible=False,
    )
    + linear("fast_cdata", 4)
    + linear("fast_cmeta", 8)
)


def restored(tmp_path: Path, volumes: str) -> Path:
    """A physical volume whose group has these volumes."""
    lvm = Lvm(tmp_path)
    path = lvm.file("pv1", 32)
    lvm.create("vg", path, options=("--physicalextentsize", "1m"))
    backup = tmp_path / "backup"
    lvm.run("vgcfgbackup", "-f", backup, "vg")
    head, _, tail = backup.read_text().rpartition("}")
    backup.write_text(f"{head}\n    logical_volumes {{{volumes}\n    }}\n}}{tail}")
    lvm.run("vgcfgrestore", "--force", "-f", backup, "vg")
    return path


@pytest.mark.parametrize(
    ("volumes", "told"),
    [
        (THIN, {"pool": "is a thin pool", "root": "is a thin volume"}),
        (RAID1, {"root": "is a RAID"}),
        (MIRROR, {"root": "is a mirror"}),
        (
            SNAPSHOT,
            {"root": "has a snapshot", "before": "is a snapshot"},
        ),
        (CACHE, {"root": "is cached"}),
    ],
    ids=["thin", "raid1", "mirror", "snapshot", "cache"],
)
def test_refused_by_name(tmp_path: Path, volumes: str, told: dict[str, str]) -> None:
    path = restored(tmp_path, volumes + linear("beside", 20, visible=True))
    found = assemble([Member("/dev/sda5", "LVM2_member", MemoryDevice(path.read_bytes()))])
    assert found.problems == {}
    problems = {each.name: each.problem for each in found.volumes}
    assert problems.pop("/dev/vg/beside") is None
    assert problems.keys() == {f"/dev/vg/{name}" for name in told}
    for name, words in told.items():
        problem = problems[f"/dev/vg/{name}"]
        assert isinstance(problem, UnsupportedError)
        assert words in problem.message
        assert "--engine" in (problem.hint or "")
        assert next(each for each in found.volumes if each.name == f"/dev/vg/{name}").device is None
