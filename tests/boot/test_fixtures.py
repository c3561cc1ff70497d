"""The fixtures are what their README says; nothing of imgkit takes part."""

import json
import re

import pytest

from fixtures.catalog import GROUPS, RECIPES
from fixtures.derived import BITMAP, PASSPHRASE, SNAPSHOT
from tests.support import oracle
from tests.support.boot import boot
from tests.support.images import fixture

ROOT = {"a": "ext4", "b": "ext3", "c": "ext4", "d": "xfs", "e": "ext4"}
INIT = {"a": "systemd", "b": "init", "c": "systemd", "d": "systemd", "e": "systemd"}


@pytest.mark.boot
@pytest.mark.parametrize("name", GROUPS["debian"])
def test_works_and_is_silent(name):
    with boot(fixture(name)) as guest:
        guest.wait_until_up()
        assert guest.transcript == b""
        assert guest.ask("cat /proc/1/comm").stdout.strip() == INIT[name]
        assert f" / {ROOT[name]} " in guest.ask("cat /proc/mounts").stdout


EXPECTED_PARTITIONS = {
    "a": {1: 2048, 2: 526336, 3: 3932160},
    "b": {1: 2048, 2: 526336, 5: 528384, 6: 792576},
    "c": {14: 2048, 15: 8192, 1: 262144},
    "d": {1: 2048, 2: 526336},
    "e": {1: 2048},
}


@pytest.mark.parametrize("name", GROUPS["debian"])
def test_partitions(name, tmp_path):
    raw = tmp_path / "disk.raw"
    oracle.run("qemu-img", "convert", "-O", "raw", fixture(name), raw)
    table = json.loads(oracle.run("sfdisk", "--json", raw).stdout)["partitiontable"]
    starts = {int(re.search(r"raw(\d+)$", p["node"])[1]): p["start"] for p in table["partitions"]}
    assert starts == EXPECTED_PARTITIONS[name]
    assert table["label"] == ("gpt" if name == "c" else "dos")


QCOW2 = [name for name, recipe in RECIPES.items() if recipe.image.endswith(".qcow2")]


@pytest.mark.parametrize("name", sorted(set(QCOW2) - {"small-dirty", "small-corrupt", "small-luks", "small-data-file"}))
def test_qcow2_is_clean(name):
    oracle.run("qemu-img", "check", "-f", "qcow2", fixture(name))


FORMATS = {
    "small-qcow2": {"compat": "1.1", "compression-type": "zlib", "refcount-bits": 16, "extended-l2": False},
    "small-v2": {"compat": "0.10"},
    "a-zstd": {"compression-type": "zstd"},
    "small-zstd": {"compression-type": "zstd"},
    "small-extended-l2": {"extended-l2": True},
    "small-refcount-1": {"refcount-bits": 1},
    "small-refcount-64": {"refcount-bits": 64},
    "small-data-file": {"data-file": "small-data-file.data"},
    "small-corrupt": {"corrupt": True},
    "small-cluster-512": {},
    "small-cluster-4k": {},
    "small-cluster-2m": {},
}
CLUSTER_SIZES = {"small-cluster-512": 512, "small-cluster-4k": 4096, "small-cluster-2m": 2 << 20, "small-qcow2": 65536}


def info(image, *options):
    return json.loads(oracle.run("qemu-img", "info", "--output=json", *options, image).stdout)


@pytest.mark.parametrize("name", FORMATS)
def test_format_is_as_named(name):
    described = info(fixture(name))
    assert FORMATS[name].items() <= described["format-specific"]["data"].items()
    assert described["cluster-size"] == CLUSTER_SIZES.get(name, described["cluster-size"])


@pytest.mark.parametrize("name", ["small-deflate", "small-zstd"])
def test_compressed(name):
    extents = json.loads(oracle.run("qemu-img", "map", "--output=json", fixture(name)).stdout)
    assert all("offset" not in extent for extent in extents if extent["data"])


def test_marks_that_qemu_left():
    assert info(fixture("small-dirty"))["dirty-flag"] is True
    bitmaps = info(fixture("small-bitmap"))["format-specific"]["data"]["bitmaps"]
    assert [bitmap["name"] for bitmap in bitmaps] == [BITMAP]
    for name in ("small-snapshot", "a-snapshot"):
        assert [snapshot["name"] for snapshot in info(fixture(name))["snapshots"]] == [SNAPSHOT]
    chain = info(fixture("small-backing"), "--backing-chain")
    assert [(link["format"], link.get("backing-filename")) for link in chain] == [
        ("qcow2", "middle.qcow2"),
        ("qcow2", "base.raw"),
        ("raw", None),
    ]


# The rest of the small ones were written to in the gap before the first partition, to give them their state.
SAME_BYTES = [
    *("small-qcow2", "small-v2", "small-deflate", "small-zstd", "small-extended-l2", "small-bitmap"),
    *("small-cluster-512", "small-cluster-4k", "small-cluster-2m", "small-refcount-1", "small-refcount-64"),
    "small-preallocated",
]


@pytest.mark.parametrize("name", SAME_BYTES)
def test_same_bytes_as_the_small_disk(name):
    oracle.run("qemu-img", "compare", fixture("small"), fixture(name))


def test_data_file_holds_the_bytes_of_the_small_disk():
    """QEMU looks for a data file in its own working directory, not in the image's, so it is named."""
    image = fixture("small-data-file")
    left = f"driver=raw,file.filename={fixture('small')}"
    right = f"driver=qcow2,file.filename={image},data-file.driver=file,data-file.filename={image.with_suffix('.data')}"
    oracle.run("qemu-img", "compare", "--image-opts", left, right)


def test_luks_opens_with_its_passphrase():
    secret = f"secret,id=key,data={PASSPHRASE}"
    left = f"driver=raw,file.filename={fixture('small')}"
    right = f"driver=qcow2,file.filename={fixture('small-luks')},encrypt.key-secret=key"
    oracle.run("qemu-img", "compare", "--object", secret, "--image-opts", left, right)


SMALL_PARTITIONS = {"boot": (2048, 8), "root": (18432, 48), "home": (116736, 6)}


@pytest.mark.parametrize("partition", SMALL_PARTITIONS)
def test_small_disk_holds_clean_file_systems(partition, tmp_path):
    start, mebibytes = SMALL_PARTITIONS[partition]
    extracted = extract(fixture("small"), tmp_path, start * 512, mebibytes)
    oracle.run("e2fsck", "-fn", extracted)


def test_disk_with_4k_sectors_holds_a_clean_file_system(tmp_path):
    listing = oracle.run("fdisk", "--sector-size", "4096", "--list", fixture("small-4k")).stdout
    assert re.search(r"small-4k\.raw1 +256 +12543 ", listing)
    extracted = extract(fixture("small-4k"), tmp_path, 256 * 4096, 48)
    oracle.run("e2fsck", "-fn", extracted)
    assert re.search(r"Block size: +4096", oracle.run("dumpe2fs", "-h", extracted).stdout)


def test_small_disk_has_the_boot_configuration_of_a(tmp_path):
    boot_partition = extract(fixture("small"), tmp_path, 2048 * 512, 8)
    menu = oracle.run("debugfs", "-R", "cat /grub/grub.cfg", boot_partition).stdout
    assert "root=UUID=a0000000-0000-4000-8000-000000000002 ro  quiet" in menu
    root = extract(fixture("small"), tmp_path, 18432 * 512, 48)
    assert "errors=remount-ro" in oracle.run("debugfs", "-R", "cat /etc/fstab", root).stdout
    shadow = oracle.run("debugfs", "-R", "stat /etc/shadow", root).stdout
    assert re.search(r"Mode: +0640\b", shadow)
    assert re.search(r"User: +0 +Group: +42\b", shadow)


def extract(image, folder, start, mebibytes):
    part = folder / f"part-{start}"
    with image.open("rb") as disk:
        disk.seek(start)
        part.write_bytes(disk.read(mebibytes << 20))
    return part
