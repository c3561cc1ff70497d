"""Real and damaged tables against what sfdisk, sgdisk, mmls and blkid were recorded to say about them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from imgkit.errors import FormatError
from imgkit.partition.model import PartitionTable, Scheme
from imgkit.partition.table import read_table
from tests.partition import listing
from tests.support import corpus
from tests.support.memorydevice import MemoryDevice

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.corpus

FOLDERS = {
    "derived": ("partitions/derived", ".img.xz"),
    "util-linux": ("partitions/util-linux", ".img.xz"),
    "coreos": ("partitions/coreos-installer", ".img.xz"),
    "libguestfs": ("partitions/libguestfs", ".img.gz"),
    "u-root": ("partitions/u-root", ".img"),
}

DERIVED = (
    *("all-ff", "all-zero", "short-511", "short-512", "pmbr-only", "hybrid", "hybrid-ee-first"),
    *("ebr-back-loop", "ebr-link-past-end", "ebr-self-loop", "ebr-third-no-55aa", "mbr-no-55aa", "mbr-two-extended"),
    *("gpt-256-entries", "gpt-8parts", "gpt-both-headers-zeroed", "gpt-duplicate-guid", "gpt-entries-4G"),
    *("gpt-entry-size-0", "gpt-entry-size-256", "gpt-grown-disk", "gpt-header-size-4096", "gpt-mylba-wrong"),
    *("gpt-no-55aa", "gpt-primary-entries-crc-bad", "gpt-primary-header-crc-bad", "gpt-start-after-end"),
)
COREOS = ("gpt-4096", "gpt-512", "gpt-512-duplicate-partition-guids")
UTIL_LINUX = ("bsd", "dasd-cdl", "dasd-ldl", "gpt", "sgi")
IMAGES = (
    *(f"derived-{name}" for name in DERIVED),
    *(f"coreos-{name}" for name in COREOS),
    *(f"util-linux-{name}" for name in UTIL_LINUX),
    "libguestfs-mbr-ext2-empty",
    "u-root-1MB.ext4_vfat",
)

LOOP = "we refuse a chain that runs in a loop; sfdisk lists its partitions again and again up to number 60"
PMBR_ONLY = "we refuse a protective MBR without a GPT, as Linux shows no partition there; sfdisk lists its 0xee entry"
SFDISK_DIFFERS = {
    "derived-ebr-back-loop": LOOP,
    "derived-ebr-self-loop": LOOP,
    "derived-ebr-third-no-55aa": "we end the chain at an EBR without 55AA, as Linux and sgdisk do",
    "derived-mbr-two-extended": "we read every extended partition, as Linux does; sfdisk reads only the first",
    "derived-gpt-both-headers-zeroed": PMBR_ONLY,
    "derived-pmbr-only": PMBR_ONLY,
    "coreos-gpt-4096": "we find the sector size; sfdisk was told nothing and read it with 512",
    "util-linux-bsd": "BSD labels are not read",
    "util-linux-sgi": "SGI labels are not read",
}
BLKID_DIFFERS = {
    "derived-ebr-back-loop": LOOP,
    "derived-ebr-self-loop": LOOP,
    "derived-gpt-both-headers-zeroed": "blkid has a type of its own for it, PMBR; we refuse",
    "derived-pmbr-only": "blkid has a type of its own for it, PMBR; we refuse",
    "derived-gpt-entry-size-256": "legal, and sfdisk reads it; the kernel and blkid know only entries of 128 bytes",
    "derived-short-512": "blkid does not look at anything up to 1,024 bytes; sfdisk finds the MBR",
}
SGDISK_DIFFERS = {
    "derived-ebr-back-loop": LOOP,
    "derived-ebr-self-loop": LOOP,
    "derived-gpt-entries-4G": "sgdisk crashes (std::bad_alloc)",
    "derived-gpt-entry-size-256": "sgdisk knows only entries of 128 bytes",
    "derived-gpt-no-55aa": "sgdisk offers to make the missing protective MBR; for Linux there is no table",
    "derived-mbr-two-extended": "sgdisk gives the empty extended partition the number 5",
    "derived-short-512": "sgdisk ends: too small for a GPT",
    "coreos-gpt-4096": "sgdisk reads images with sectors of 512 bytes only",
}
NO_BACKUP = "mmls does not fall back to the backup GPT"
MMLS_DIFFERS = {
    "derived-ebr-back-loop": LOOP,
    "derived-ebr-self-loop": LOOP,
    "derived-gpt-both-headers-zeroed": PMBR_ONLY,
    "derived-pmbr-only": PMBR_ONLY,
    "derived-gpt-entries-4G": NO_BACKUP,
    "derived-gpt-entry-size-0": NO_BACKUP,
    "derived-gpt-no-55aa": "mmls reads a GPT without a protective MBR; Linux, sfdisk and sgdisk do not",
    "derived-gpt-start-after-end": "mmls lists a length of 2**64 - 807 sectors for partition 3",
    "derived-hybrid-ee-first": "mmls reads the MBR of this hybrid",
    "derived-short-512": "mmls ends: partitions past the end",
    "util-linux-bsd": "BSD labels are not read",
}


def content(image: str) -> bytes:
    prefix = next(prefix for prefix in FOLDERS if image.startswith(prefix))
    folder, suffix = FOLDERS[prefix]
    return corpus.content(f"{folder}/{image.removeprefix(prefix + '-')}{suffix}")


def truth(image: str, tool: str) -> str:
    return corpus.path(f"partitions/truth/{image}.{tool}.txt").read_text()


def ours(image: str) -> PartitionTable:
    """Our table; a refused one gives the impossible sector size 0 and no partitions."""
    try:
        return read_table(MemoryDevice(content(image)))
    except FormatError:
        return PartitionTable(Scheme.NONE, 0, "refused")


@pytest.mark.parametrize("image", IMAGES)
def test_sfdisk(image: str) -> None:
    table = ours(image)
    said = listing.sfdisk_table(truth(image, "sfdisk"))
    label = {"gpt": "gpt", "dos": "mbr"}.get(said.get("label", ""), "none")
    their_id = said.get("id", "").lower().removeprefix("0x")
    same = (table.scheme, table.disk_id or "00000000" * bool(said), table.sector_size, listing.rows(table)) == (
        label,
        their_id,
        said.get("sectorsize", 512),
        listing.sfdisk_rows(said),
    )
    assert same is (image not in SFDISK_DIFFERS), (listing.rows(table), said)


@pytest.mark.parametrize("image", [image for image in IMAGES if image.startswith("derived-")])
def test_blkid(image: str) -> None:
    said = dict(re.findall(r"^(PT\w+)=(.*)$", truth(image, "blkid"), re.MULTILINE))
    table = ours(image)
    label = {"gpt": "gpt", "mbr": "dos", "none": None}[table.scheme]
    same = (label, table.disk_id) == (said.get("PTTYPE"), said.get("PTUUID", ""))
    assert same is (image not in BLKID_DIFFERS), (table, said)


@pytest.mark.parametrize("image", IMAGES)
def test_sgdisk(image: str) -> None:
    table = ours(image)
    gpt = table.scheme == "gpt"
    mine = [
        # sgdisk converts an MBR in memory: no extended partition, and names of its own.
        (row.number, row.start, row.start + row.size - 1, row.name if gpt else "Linux filesystem")
        for row, partition in zip(listing.rows(table), table.partitions, strict=True)
        if not partition.extended
    ]
    said = listing.sgdisk_rows(truth(image, "sgdisk"))
    if image == "derived-gpt-start-after-end":  # it shows the end before the start, 9000 to 8192; our range is empty
        mine[2] = (3, 9000, 8192, "")
    assert (mine == said) is (image not in SGDISK_DIFFERS), (mine, said)


@pytest.mark.parametrize("image", [image for image in IMAGES if not image.startswith("coreos-")])
def test_mmls(image: str) -> None:
    table = ours(image)
    listed = zip(listing.rows(table), table.partitions, strict=True)
    mine = sorted((row.start, row.size) for row, partition in listed if not partition.extended)
    said = sorted(listing.mmls_rows(truth(image, "mmls")))
    assert (mine == said) is (image not in MMLS_DIFFERS), (mine, said)


@pytest.mark.parametrize("image", ["derived-ebr-back-loop", "derived-ebr-self-loop"])
def test_loop_is_refused(image: str) -> None:
    assert "infinite loop detected" in truth(image, "sgdisk")
    with pytest.raises(FormatError, match="extended partition 4 runs in a loop") as caught:
        read_table(MemoryDevice(content(image)))
    assert caught.value.structure == "extended boot record"
    assert caught.value.offset % 512 == 0


@pytest.mark.parametrize("image", ["derived-gpt-both-headers-zeroed", "derived-pmbr-only"])
def test_protective_mbr_without_gpt_is_refused(image: str) -> None:
    assert "PTTYPE=PMBR" in truth(image, "blkid")
    with pytest.raises(FormatError, match="announces a GPT"):
        read_table(MemoryDevice(content(image)))


def test_libblkid_agrees_where_sfdisk_differs(tmp_path: Path) -> None:
    """Linux's own view, live, of the two MBR images that sfdisk reads differently."""
    for image in ("derived-ebr-third-no-55aa", "derived-mbr-two-extended"):
        file = tmp_path / image
        file.write_bytes(content(image))
        table = ours(image)
        assert listing.rows(table) == listing.partx(file)
        assert [notice for notice in table.notices if "breaks off" in notice]


def test_4096_byte_sectors_are_found(tmp_path: Path) -> None:
    data = content("coreos-gpt-4096")
    file = tmp_path / "gpt-4096"
    file.write_bytes(data)
    table = read_table(MemoryDevice(data))
    assert table.sector_size == 4096
    assert listing.rows(table) == listing.partx(file, 4096)
    with pytest.raises(FormatError) as caught:
        read_table(MemoryDevice(data), sector_size=512)
    assert "4096" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("gpt-entries-4G", "4,294,967,295 entries"),
        ("gpt-entry-size-0", "entries of 0 bytes"),
        ("gpt-header-size-4096", "claims to be 4,096 bytes long"),
        ("gpt-mylba-wrong", "says that it is at 5"),
        ("gpt-primary-entries-crc-bad", "entries that do not match their checksum"),
        ("gpt-primary-header-crc-bad", "header's checksum is wrong"),
    ],
)
def test_recovery_from_the_backup_is_visible(image: str, reason: str) -> None:
    table = ours(f"derived-{image}")
    assert table.recovered_from_backup
    assert reason in table.notices[0]
    assert listing.rows(table) == listing.rows(ours("derived-gpt-8parts"))


@pytest.mark.parametrize(
    ("image", "notice"),
    [
        ("derived-gpt-duplicate-guid", "Partitions 1, 5 share the PARTUUID 216aee77-8e33-4747-8d40-97d39a458aa4"),
        ("coreos-gpt-512-duplicate-partition-guids", "Partitions 1, 2 share the PARTUUID"),
        ("derived-gpt-start-after-end", "Partition 3 ends before it begins"),
        ("derived-gpt-grown-disk", "not at the end of the disk"),
        ("derived-gpt-entry-size-256", "only those of 128 bytes"),
        ("derived-gpt-no-55aa", "no protective MBR announces it"),
        ("derived-ebr-link-past-end", "past the end of the image; logical partitions may be missing"),
        ("derived-short-512", "Partition 1 reaches 3.0 MiB past the end of the image"),
        ("util-linux-bsd", "BSD disk label"),
        ("util-linux-sgi", "SGI disk label"),
        ("util-linux-dasd-cdl", "DASD volume label"),
        ("util-linux-dasd-ldl", "DASD volume label"),
    ],
)
def test_notices(image: str, notice: str) -> None:
    assert [said for said in ours(image).notices if notice in said]


def test_hybrid_is_visible() -> None:
    assert ours("derived-hybrid").hybrid
    assert ours("derived-hybrid-ee-first").hybrid
    assert not ours("derived-gpt-8parts").hybrid


def test_bsd_nested_in_an_mbr_is_one_partition() -> None:
    """libblkid goes on into the BSD label; the MBR's own lines agree."""
    expected = corpus.path("partitions/util-linux/dos+bsd.blkid-expected").read_text()
    table = read_table(MemoryDevice(corpus.content("partitions/util-linux/dos+bsd.img.xz")))
    lines = re.findall(r"^#(\d+): +(\d+) +(\d+) +0x(\w+) uuid='(.*)'$", expected, re.MULTILINE)
    assert [(str(r.number), str(r.start), str(r.size), r.type, r.partuuid) for r in listing.rows(table)] == lines
    assert len(lines) == 2


def test_mbrman_disks(tmp_path: Path) -> None:
    """Tables of one-sector partitions, from another project's tests, against two tools live."""
    for name in ("disk1", "disk2"):
        data = corpus.content(f"partitions/mbrman/{name}.img")
        file = tmp_path / name
        file.write_bytes(data)
        mine = listing.rows(read_table(MemoryDevice(data)))
        assert mine == listing.sfdisk_rows(listing.sfdisk(file)) == listing.partx(file)
        assert len(mine) == {"disk1": 2, "disk2": 7}[name]


def test_u_root_gpt(tmp_path: Path) -> None:
    data = corpus.content("partitions/u-root/gptdisk2.img")
    file = tmp_path / "gptdisk2"
    file.write_bytes(data)
    mine = listing.rows(read_table(MemoryDevice(data)))
    assert mine == listing.sfdisk_rows(listing.sfdisk(file)) == listing.partx(file)
    assert len(mine) == 2


def test_isohybrid_images(tmp_path: Path) -> None:
    """Tables of real hybrid ISOs: partitions that overlap, start at 0, have type 0; and a GPT that does not count."""
    for name in ("real/ipxe-karolyczovek.iso", "coreos-installer/iso/embed-areas-2022-02.iso.xz"):
        data = corpus.content(f"iso/{name}")
        file = tmp_path / "iso"
        file.write_bytes(data)
        table = read_table(MemoryDevice(data))
        assert listing.rows(table) == listing.sfdisk_rows(listing.sfdisk(file)) == listing.partx(file)
        assert table.partitions[0].where.start == 0


FUZZED = tuple(
    """071b278a9b47b6bcb57ff39379a0740a168fae72 18b6d88aa5a0ead7849a2abcddfb2d1f21d02f25
    1a1c69f7db02d23d8d56a048c7a9d78fddb140b0 26d2edeeaa8c170c536b769aa1385f6d634aaa94
    2b4d43118a56ccfc6cb536f3e4ac7188585e7509 2e31258d3def8b5a7ca0e7e3aaebf5c528f986fc
    496bebbff2c484a4ae926702ed41b60d1f4c019c 4a15cd91ea3d2ce1bf72f99a2569637b6dbefe06
    6f50b3832c752d71f8c95ad86682b40c2d0a7e6b 7ece2b098654771b71a5cfc98716b9367a6dc6e3
    866090e59f6ef11b84e9b4fbe48fffac5d9abf61 98e6572d0367461873bf9412763e4d8d05ddb18b
    99f01a3ee79c7f8f321c54c8673e59b48a1ec71c 9a31c5faf5da210884077164b4bf40b0ea21093c
    9b9b4838a1696b7beb32e2904be69b757da1592a 9e61c3c3c88612c988ffff8a9991099c9eee8f68
    9f58642fb8f8bdf772095f2857711e7d2d7f8757 a040776945c3d2443745e61b646265f517227437
    a3895778a8c1b8356b167fcd18bb2d32ef82b237 aa5a3417a9569399d09cec26ef807545a46d3d47
    b17256e28af469d591192c96b24bfe86a92708f3 bb54374bbedf43ccdaa5d65828da42925674dc64
    c64051950bb6e0509573087e8493e9dda4dd06a1 e34fc5d6db78c93728da70833d34e4e08d88fce2
    e6d885c79293a862076768c44626816bfa577576 ffaa21b21de153057befc95864a4823211758c3c""".split()
)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("name", FUZZED)
def test_fuzzed_boot_records(name: str, tmp_path: Path) -> None:
    """The number of partitions that sfdisk found, less what Linux, and so imgkit, does not take for one."""
    data = corpus.content(f"partitions/barebox-fuzz/{name}")
    recorded = corpus.path("partitions/truth/barebox-fuzz.sfdisk-summary.txt").read_text()
    found = re.search(rf"^{name} .*n=(\d+)$", recorded, re.MULTILINE)
    assert found is not None
    expected = int(found[1])
    entries = [data[offset : offset + 16] for offset in range(446, 510, 16)]
    if any(entry[4:5] == b"\xee" for entry in entries) and data[510:512] == b"\x55\xaa":
        with pytest.raises(FormatError, match=r"announces a GPT|no valid backup"):  # sfdisk lists the entry
            read_table(MemoryDevice(data))
        return
    if any(entry[:1] not in {b"\0", b"\x80"} for entry in entries if entry):
        expected = 0  # sfdisk does not mind a boot indicator that is neither 0x00 nor 0x80
    else:
        expected -= sum(any(entry) and not any(entry[12:]) for entry in entries)  # sfdisk lists entries of no sectors
    mine = listing.rows(read_table(MemoryDevice(data)))
    assert len(mine) == expected
    file = tmp_path / "fuzzed"
    file.write_bytes(data)
    assert listing.positions(mine) == listing.positions(listing.partx(file))
