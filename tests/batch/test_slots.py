"""How many appliances run at a time: the memory of hosts and of control groups, and the slots that a kill frees."""

import subprocess
import sys
import time

import pytest

from imgkit.batch import slots
from imgkit.batch.slots import APPLIANCE, appliance_slot, fits, memory_available

GIB = 1 << 30


def host(folder, groups="", *, available=8 * GIB):
    """A /proc as Linux shows it, with so many bytes available."""
    (folder / "proc/self").mkdir(parents=True)
    meminfo = f"MemTotal:       16000000 kB\nMemFree: 5 kB\nMemAvailable:    {available >> 10} kB\n"
    (folder / "proc/meminfo").write_text(meminfo)
    (folder / "proc/self/cgroup").write_text(groups)
    return folder / "proc"


def group(folder, limit, current, stat="", *, version=2):
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{current}\n")
    (folder / "memory.stat").write_text(f"anon 1\n{stat}")


def test_without_groups_it_is_what_the_kernel_says(tmp_path):
    assert memory_available(host(tmp_path), tmp_path / "none") == 8 * GIB
    assert 0 < memory_available() < 1 << 50, "this host"


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        ({"": ("max", 0), "a": (4 * GIB, GIB), "a/b": ("max", GIB)}, 3 * GIB),
        ({"a": (4 * GIB, GIB), "a/b": (2 * GIB, GIB)}, GIB),
        ({"a/b": (2 * GIB, 3 * GIB)}, 0),
        ({"": (GIB, 0)}, GIB),  # a container that sees its own group at the top
        ({"a/b": (100 * GIB, 0)}, 8 * GIB),
    ],
)
def test_the_tightest_group_of_version_2_counts(tmp_path, limits, left):
    for path, (limit, current) in limits.items():
        group(tmp_path / "groups" / path, limit, current)
    assert memory_available(host(tmp_path, "0::/a/b\n"), tmp_path / "groups") == left


def test_version_1_and_what_could_be_dropped_from_the_cache(tmp_path):
    group(tmp_path / "groups/memory/a", 3 * GIB, 2 * GIB, f"total_inactive_file {GIB}", version=1)
    found = memory_available(host(tmp_path, "4:memory:/a/b\n3:cpuset:/x\n0::/\n"), tmp_path / "groups")
    assert found == 2 * GIB


def test_an_appliance_that_grows_is_counted_whole_and_a_grown_one_is_not():
    assert fits(0, []), "one may always start"
    assert fits(2 * APPLIANCE, [5])
    assert not fits(2 * APPLIANCE - 1, [5])
    assert fits(APPLIANCE, [1000, 1000, 1000])
    assert not fits(APPLIANCE - 1, [1000])
    assert not fits(3 * APPLIANCE, [1, 2, 3])


def test_slots_are_one_after_the_other_and_a_kill_frees_them(tmp_path, monkeypatch):
    monkeypatch.setattr(slots.tempfile, "tempdir", str(tmp_path))
    (folder,) = [slots._folder()]
    program = (
        f"import tempfile, sys; tempfile.tempdir = {str(tmp_path)!r}\n"
        "from imgkit.batch.slots import appliance_slot\n"
        "with appliance_slot(): print('in', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout.readline() == "in\n"
        monkeypatch.setattr(slots, "memory_available", lambda: APPLIANCE)
        assert slots._take(folder) is None, "no memory for a second one"
        monkeypatch.setattr(slots, "memory_available", lambda: 2 * APPLIANCE)
        with appliance_slot():
            assert slots._take(folder) is None
        monkeypatch.setattr(slots, "memory_available", lambda: 0)
        assert slots._take(folder) is None
        other.kill()
        other.wait()
        started = time.monotonic()
        with appliance_slot():
            assert time.monotonic() - started < 60
