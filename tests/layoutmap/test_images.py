"""Maps of real, made and hostile images, against what other tools say of them: a map or an ImgkitError, no crash."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgkit.editing import ImageSource
from imgkit.errors import ImgkitError
from imgkit.guest.engines.choice import EngineChoice
from imgkit.guest.volume import disk_volumes
from imgkit.inspection import inspect
from imgkit.layoutmap.disk import disk_map
from imgkit.layoutmap.iso import iso_map
from imgkit.layoutmap.model import RangeKind
from imgkit.partition.model import Partition, PartitionTable, Scheme
from imgkit.units import ByteRange
from tests.iso import images
from tests.layoutmap.test_model import check_tiles
from tests.support import corpus, oracle
from tests.support.guests import Part, make_disk, make_file_system
from tests.support.images import fixture
from tests.support.memorydevice import MemoryDevice

SIZE = 1 << 20
PACKED = (".xz", ".gz", ".bz2", ".zst")
IMAGES = (".img", ".iso", ".raw", ".qcow2", ".bin", ".ext4_vfat")


def in_corpus():
    """All images of the corpus; none where it is not at hand."""
    for folder in ("iso", "partitions", "qcow2"):
        for name in corpus.manifest(folder):
            plain = name.removesuffix(next((end for end in PACKED if name.endswith(end)), ""))
            if plain.endswith(IMAGES):
                yield name


def map_of(path):
    found = inspect(ImageSource(path, engine=EngineChoice.NATIVE), with_map=True)
    check_tiles(found.map.areas, found.map.size)
    assert found.map.changed == ()
    return found.map


@pytest.mark.corpus
def test_whatever_is_in_the_corpus(tmp_path):
    drawn = refused = 0
    for name in in_corpus():
        image = tmp_path / "image"
        image.write_bytes(corpus.content(name))
        try:
            map_of(image)
            drawn += 1
        except ImgkitError:
            refused += 1
    assert (drawn > 40 and refused > 3) or not corpus.root()


def partitions():
    numbers = st.integers(0, 3 * SIZE)
    ranges = st.tuples(numbers, numbers).map(lambda pair: ByteRange(min(pair), max(pair)))
    names = st.sampled_from(["Linux", "BIOS boot", ""])
    one = st.builds(Partition, st.just(0), ranges, st.just("0x83"), names, extended=st.booleans())
    return st.lists(one, max_size=8).map(
        lambda found: tuple(
            Partition(number, each.where, each.type_id, each.type_name, extended=each.extended)
            for number, each in enumerate(found, 1)
        )
    )


@given(partitions(), st.sampled_from(Scheme), st.sampled_from([512, 4096]), st.none() | st.integers(0, 2 * SIZE))
def test_made_tables(found, scheme, sector, usable):
    where = None if usable is None else ByteRange(usable, 2 * SIZE)
    table = PartitionTable(scheme, sector, partitions=found, usable=where)
    disk = MemoryDevice(bytes(SIZE))
    volumes = [volume for volume, _ in disk_volumes(disk, table)]
    check_tiles(disk_map(disk, table, volumes).areas, SIZE)


@pytest.mark.parametrize("scheme", ["gpt", "dos"])
def test_partitions_lie_where_sfdisk_says(tmp_path, scheme):
    parts = [Part("vfat", {"/a": b"x" * 300_000}, label="ESP", size=40), Part("ext4", {"/b": b"y"}), Part("")]
    image = make_disk(tmp_path / "disk.img", parts, scheme=scheme, numbers=[3, 1, 2])
    table = json.loads(oracle.run("sfdisk", "--json", image).stdout)["partitiontable"]
    expected = sorted((part["start"] * 512, part["size"] * 512) for part in table["partitions"])
    drawn = map_of(image)
    found = [(area.start, area.length) for area in drawn.areas if area.label.startswith("/dev/sda")]
    assert found == expected
    kinds = [area.kind for area in drawn.areas if area.kind is not RangeKind.FREE]
    tables = [RangeKind.TABLE] if scheme == "dos" else [RangeKind.TABLE, RangeKind.TABLE]
    assert kinds == [tables[0], RangeKind.FILE_SYSTEM, RangeKind.FILE_SYSTEM, RangeKind.PARTITION, *tables[1:]]


@pytest.mark.parametrize("kind", ["ext4", "ext2", "vfat"])
def test_use_is_what_the_file_systems_own_tools_say(tmp_path, kind):
    image = make_file_system(tmp_path / "fs.img", Part(kind, {"/a": b"x" * 3_000_000}, size=48))
    (area,) = map_of(image).areas
    if kind == "vfat":
        told = oracle.run("fsck.vfat", "-nv", image).stdout
        size = int(re.search(r"(\d+) bytes per cluster", told)[1])
        used = int(re.search(r" (\d+)/\d+ clusters", told)[1]) * size
    else:
        told = oracle.run("dumpe2fs", "-h", image).stdout
        rows = re.findall(r"^(Block count|Free blocks|Block size): +(\d+)", told, re.MULTILINE)
        count = {key: int(value) for key, value in rows}
        used = (count["Block count"] - count["Free blocks"]) * count["Block size"]
    assert area.used == used
    assert area.label == f"/dev/sda {kind}"


@pytest.mark.parametrize("name", [*images.MADE, *images.THIRD_PARTY, "iso-debian"])
def test_what_an_iso_holds_lies_where_xorriso_says(tmp_path, name):
    path = fixture(name) if name == "iso-debian" else images.load(name, tmp_path)
    drawn = map_of(path)
    report = oracle.run("xorriso", "-indev", path, "-find", "/", "-type", "f", "-exec", "report_lba", "--").stdout
    files = re.findall(r"^File data lba: +\d+ , +(\d+) , +\d+ , +(\d+) , '(.*)'$", report, re.MULTILINE)
    assert files
    for lba, size, file in files:
        if int(size):
            first, last = int(lba) * 2048, int(lba) * 2048 + int(size) - 1
            for position in (first, last):
                area = next(area for area in drawn.areas if area.start <= position < area.stop)
                assert area.kind in (RangeKind.FILES, RangeKind.BOOT, RangeKind.MIXED), f"{file} lies in {area}"
    kinds = {area.kind for area in drawn.areas}
    assert {RangeKind.SYSTEM_AREA, RangeKind.DESCRIPTORS, RangeKind.FILES} <= kinds


def test_large_files_are_named_and_appended_partitions_told(tmp_path):
    labels = [area.label for area in map_of(images.load("ubuntu", tmp_path)).areas]
    assert any(label.startswith("/[partition 2] FAT") for label in labels)
    labels = [area.label for area in map_of(fixture("iso-debian")).areas]
    assert any(label.endswith("/initrd.gz") for label in labels)
    assert "/boot/grub/efi.img FAT" in labels
    assert "boot catalogue" in labels


def test_an_edit_shows_what_it_changed_where_it_is(tmp_path):
    path = images.load("debian", tmp_path)
    tree = images.open_tree(path.read_bytes())
    tree.write("/md5sum.txt", b"x" * 10)
    patches = tree.volume.device.plan().patches
    drawn = iso_map(tree, [ByteRange(patch.offset, patch.offset + len(patch.after)) for patch in patches])
    check_tiles(drawn.areas, drawn.size)
    for patch in patches:
        assert any(each.start <= patch.offset < each.stop for each in drawn.changed)
    assert sum(each.size for each in drawn.changed) < drawn.size // 2
