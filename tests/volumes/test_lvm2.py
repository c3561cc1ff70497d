"""LVM2 as LVM itself makes it: where every byte of a logical volume lies, and what is refused by name."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from imgkit.errors import FormatError, UnsupportedError
from imgkit.volumes.model import Assembly, LogicalVolume, Member
from imgkit.volumes.registry import assemble
from tests.support.lvm import Lvm
from tests.support.memorydevice import MemoryDevice


def members(*paths: Path) -> list[Member]:
    return [
        Member(f"/dev/sda{number}", "LVM2_member", MemoryDevice(path.read_bytes()))
        for number, path in enumerate(paths, 5)
    ]


def assembled(*paths: Path) -> Assembly:
    return assemble(members(*paths))


def by_name(assembly: Assembly) -> dict[str, LogicalVolume]:
    return {volume.name: volume for volume in assembly.volumes}


def fill(*paths: Path) -> None:
    """Noise in place of the extents, so that no two places hold the same."""
    noise = random.Random(7)
    for path in paths:
        with path.open("r+b") as file:
            file.seek(1 << 20)
            file.write(noise.randbytes(path.stat().st_size - (2 << 20)))


@pytest.fixture
def lvm(tmp_path: Path) -> Lvm:
    return Lvm(tmp_path)


def test_linear_and_striped_volumes_lie_where_lvm_says(lvm: Lvm) -> None:
    paths = [lvm.file("pv1", 40), lvm.file("pv2", 24), lvm.file("pv3", 24)]
    lvm.create("vg", *paths, options=("--physicalextentsize", "1m"))
    lvm.volume("vg", "root", "-l", "9", on=(paths[0],))
    lvm.volume("vg", "striped", "-i3", "-I64k", "-l", "12")
    lvm.volume("vg", "small-chunks", "-i2", "-I4k", "-l", "4")
    lvm.run("lvextend", "-l", "+20", "vg/root", paths[0], paths[2])
    lvm.run("lvextend", "-i2", "-I32k", "-l", "+6", "vg/striped")
    fill(*paths)
    found = assembled(*paths)
    assert found.problems == {}
    assert found.groups == dict.fromkeys(("/dev/sda5", "/dev/sda6", "/dev/sda7"), "vg")
    volumes = by_name(found)
    assert sorted(volumes) == ["/dev/vg/root", "/dev/vg/small-chunks", "/dev/vg/striped"]
    for name, volume in volumes.items():
        expected = lvm.read(name.removeprefix("/dev/"))
        assert volume.device is not None
        assert volume.size == volume.device.size == len(expected)
        assert volume.device.read_at(0, volume.size) == expected
        assert sum(extent.where.size for extent in volume.extents) == volume.size


def test_what_is_written_lands_where_lvm_says(lvm: Lvm) -> None:
    paths = [lvm.file("pv1", 16), lvm.file("pv2", 16)]
    lvm.create("vg", *paths, options=("--physicalextentsize", "1m"))
    lvm.volume("vg", "a", "-i2", "-I16k", "-l", "8")
    lvm.run("lvextend", "-i1", "-l", "+9", "vg/a")
    fill(*paths)
    expected = bytearray(lvm.read("vg/a"))
    devices = members(*paths)
    volume = by_name(assemble(devices))["/dev/vg/a"].device
    assert volume is not None
    noise = random.Random(3)
    for _ in range(60):
        offset = noise.randrange(volume.size)
        data = noise.randbytes(min(noise.randrange(1, 200_000), volume.size - offset))
        volume.write_at(offset, data)
        expected[offset : offset + len(data)] = data
        start = noise.randrange(volume.size)
        length = noise.randrange(volume.size - start)
        assert volume.read_at(start, length) == expected[start : start + length]
    for member, path in zip(devices, paths, strict=True):
        path.write_bytes(member.device.read_at(0, member.device.size))
    assert lvm.read("vg/a") == expected
    with pytest.raises(FormatError):
        volume.read_at(volume.size - 1, 2)
    with pytest.raises(FormatError):
        volume.write_at(-1, b"x")


def test_names_hyphens_tags_and_many_changes(lvm: Lvm) -> None:
    path = lvm.file("pv1", 24)
    lvm.create("de-bi.an+vg_1", path, options=("--physicalextentsize", "512k", "--addtag", "a&b=c"))
    for number in range(30):  # the text goes round its ring several times
        lvm.volume("de-bi.an+vg_1", f"lv-{number}_x.y+z", "-l", "1", "--addtag", f"tag{number}")
    found = assembled(path)
    assert found.problems == {}
    assert set(by_name(found)) == {f"/dev/de-bi.an+vg_1/lv-{number}_x.y+z" for number in range(30)}


def test_the_text_in_its_ring_is_read_round_the_end(lvm: Lvm) -> None:
    path = lvm.file("pv1", 24)
    lvm.run("pvcreate", "--metadatasize", "32k", path)
    lvm.create("vg", path, options=("--physicalextentsize", "512k"))
    lvm.volume("vg", "root", "-l", "1")
    starts = set()
    for number in range(40):
        lvm.run("lvchange", "--addtag", f"a-long-tag-that-makes-the-text-grow-{number}", "vg/root")
        assert set(by_name(assembled(path))) == {"/dev/vg/root"}
        starts.add(path.read_bytes()[4096 + 40 : 4096 + 48])
    assert len(starts) > 10


def test_two_copies_on_one_volume_and_none_on_another(lvm: Lvm) -> None:
    first, second = lvm.file("pv1", 16), lvm.file("pv2", 16)
    lvm.run("pvcreate", "--pvmetadatacopies", "2", first)
    lvm.run("pvcreate", "--pvmetadatacopies", "0", second)
    lvm.create("vg", first, second, options=("--physicalextentsize", "1m"))
    lvm.volume("vg", "root", "-l", "20")
    fill(second)
    found = assembled(first, second)
    assert found.problems == {}
    assert found.notices == ()
    assert set(by_name(found)) == {"/dev/vg/root"}
    # The first copy is damaged, the second one, at the end, counts.
    data = bytearray(first.read_bytes())
    data[4096 + 20] ^= 1
    first.write_bytes(data)
    found = assembled(first, second)
    assert found.problems == {}
    assert "/dev/sda5" in found.notices[0]
    volume = by_name(found)["/dev/vg/root"].device
    assert volume is not None
    assert volume.read_at(0, volume.size) == lvm.read("vg/root")


def test_the_highest_sequence_number_counts(lvm: Lvm) -> None:
    first, second = lvm.file("pv1", 16), lvm.file("pv2", 16)
    lvm.create("vg", first, second, options=("--physicalextentsize", "1m"))
    old = second.read_bytes()[: 1 << 20]
    lvm.volume("vg", "root", "-l", "20")
    with second.open("r+b") as file:
        file.write(old)
    for paths in ((first, second), (second, first)):
        found = assembled(*paths)
        assert found.problems == {}
        assert set(by_name(found)) == {"/dev/vg/root"}


def test_copies_that_contradict_each_other_are_refused(lvm: Lvm) -> None:
    first, second = lvm.file("pv1", 16), lvm.file("pv2", 16)
    lvm.create("vg", first, second, options=("--physicalextentsize", "1m"))
    saved = second.read_bytes()[: 1 << 20], first.read_bytes()[: 1 << 20]
    lvm.volume("vg", "root", "-l", "5")
    kept = second.read_bytes()[: 1 << 20]
    second.write_bytes(saved[0] + second.read_bytes()[1 << 20 :])
    first.write_bytes(saved[1] + first.read_bytes()[1 << 20 :])
    lvm.volume("vg", "other", "-l", "6")
    second.write_bytes(kept + second.read_bytes()[1 << 20 :])
    found = assembled(first, second)
    assert found.volumes == ()
    assert set(found.problems) == {"/dev/sda5", "/dev/sda6"}
    error = found.problems["/dev/sda5"]
    assert isinstance(error, FormatError)
    assert "differ" in error.message


def test_a_missing_physical_volume_takes_its_volumes_along_and_no_others(lvm: Lvm) -> None:
    first, second = lvm.file("pv1", 16), lvm.file("pv2", 16)
    lvm.create("vg", first, second, options=("--physicalextentsize", "1m"))
    lvm.volume("vg", "here", "-l", "5", on=(first,))
    lvm.volume("vg", "gone", "-l", "5", on=(second,))
    found = by_name(assembled(first))
    assert found["/dev/vg/here"].device is not None
    uuid = next(row["pv_uuid"] for row in lvm.report("pvs", "pv_name,pv_uuid") if row["pv_name"] == str(second))
    problem = found["/dev/vg/gone"].problem
    assert isinstance(problem, UnsupportedError)
    assert uuid in problem.message
    assert "vgreduce" in (problem.hint or "")


def test_copies_of_a_physical_volume_are_refused(lvm: Lvm) -> None:
    path = lvm.file("pv1", 16)
    lvm.create("vg", path)
    found = assembled(path, path)
    assert found.volumes == ()
    assert all("copies of one" in error.message for error in found.problems.values())
    assert set(found.problems) == {"/dev/sda5", "/dev/sda6"}


def test_two_groups_of_one_name_are_refused(lvm: Lvm, tmp_path: Path) -> None:
    path = lvm.file("pv1", 16)
    lvm.create("vg", path)
    lvm.volume("vg", "root", "-l", "1")
    (tmp_path / "second").mkdir()
    other = Lvm(tmp_path / "second")
    second = other.file("pv1", 16)
    other.create("vg", second)
    other.volume("vg", "root", "-l", "1")
    problems = [volume.problem for volume in assembled(path, second).volumes]
    assert len(problems) == 2
    assert all(problem and "two volume groups" in problem.message for problem in problems)


def test_several_groups_and_a_physical_volume_of_none(lvm: Lvm) -> None:
    first, second, third = lvm.file("pv1", 16), lvm.file("pv2", 16), lvm.file("pv3", 16)
    lvm.create("one", first)
    lvm.create("two", second)
    lvm.run("pvcreate", third)
    for group in ("one", "two"):
        lvm.volume(group, "root", "-l", "1")
    found = assembled(first, second, third)
    assert set(by_name(found)) == {"/dev/one/root", "/dev/two/root"}
    assert "belongs to no volume group" in found.problems["/dev/sda7"].message


def test_an_exported_group_and_a_read_only_volume(lvm: Lvm) -> None:
    first, second = lvm.file("pv1", 16), lvm.file("pv2", 16)
    lvm.create("vg", first)
    lvm.create("away", second)
    lvm.volume("vg", "sealed", "-l", "1", "-pr")
    lvm.volume("away", "root", "-l", "1")
    lvm.run("vgexport", "away")
    volumes = by_name(assembled(first, second))
    assert not volumes["/dev/vg/sealed"].writable
    problem = volumes["/dev/away/root"].problem
    assert problem is not None
    assert "is exported" in problem.message


@pytest.mark.parametrize("sector", [0, 1, 2, 3])
def test_the_label_may_lie_in_any_of_four_sectors(lvm: Lvm, sector: int) -> None:
    path = lvm.file("pv1", 16)
    lvm.run("pvcreate", "--labelsector", str(sector), path)
    lvm.create("vg", path)
    lvm.volume("vg", "root", "-l", "1")
    assert set(by_name(assembled(path))) == {"/dev/vg/root"}
