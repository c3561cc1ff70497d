"""One form for what every tool says about a partition table, so that answers can be compared."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support import oracle

if TYPE_CHECKING:
    from pathlib import Path

    from imgkit.partition.model import PartitionTable


class Row(NamedTuple):
    """One partition: start and size in sectors, type as "83" or a GUID in lower case, UUID in lower case."""

    number: int
    start: int
    size: int
    type: str
    partuuid: str = ""
    name: str = ""
    active: bool = False


def rows(table: PartitionTable) -> list[Row]:
    """What imgkit says."""
    return [
        Row(
            partition.number,
            partition.where.start // table.sector_size,
            partition.where.size // table.sector_size,
            partition.type_id.lower().removeprefix("0x").zfill(2),
            partition.partuuid,
            partition.name,
            partition.active,
        )
        for partition in table.partitions
    ]


def positions(listed: list[Row]) -> list[tuple[int, int, int, str]]:
    """Number, start, size and type alone, for tools that say no more."""
    return [row[:4] for row in listed]


def sfdisk_table(output: str) -> dict[str, Any]:
    """The JSON in the output of `sfdisk --json`, warnings around it or not; {} where there is no table."""
    begin, end = output.find("{\n"), output.rfind("}")
    table: dict[str, Any] = json.loads(output[begin : end + 1])["partitiontable"] if begin >= 0 else {}
    return table


def sfdisk_rows(table: dict[str, Any]) -> list[Row]:
    """What sfdisk says. It knows no PARTUUID for an MBR; the kernel makes it of disk signature and number."""
    gpt = table.get("label") == "gpt"
    disk_id = table.get("id", "").removeprefix("0x")
    listed = []
    for item in table.get("partitions", ()):
        number = int(item["node"].removeprefix(table["device"]).removeprefix("p"))
        derived = f"{disk_id}-{number:02x}" if disk_id.strip("0") else ""
        attributes = item.get("attrs", "").split()
        active = "LegacyBIOSBootable" in attributes if gpt else item.get("bootable", False)
        uuid = item["uuid"].lower() if gpt else derived
        kind = item["type"].lower().zfill(2)
        listed.append(Row(number, item["start"], item["size"], kind, uuid, item.get("name", ""), active))
    return sorted(listed)


def sfdisk(image: Path) -> dict[str, Any]:
    """What sfdisk says about an image now; {} where it finds no table."""
    return sfdisk_table(oracle.run("sfdisk", "--json", image, check=False).stdout)


def partx(image: Path, sector_size: int = 512) -> list[Row]:
    """What libblkid says, through partx, which counts in sectors of 512 bytes whatever the disk's are."""
    columns = "NR,START,SECTORS,TYPE,UUID,NAME,FLAGS"
    done = oracle.run("partx", "--sector-size", str(sector_size), "--pairs", "--output", columns, image, check=False)
    listed = []
    for line in done.stdout.splitlines():
        value = dict(re.findall(r'(\w+)="(.*?)"', line))
        name = re.sub(rb"\\x(..)", lambda found: bytes.fromhex(found[1].decode()), value["NAME"].encode()).decode()
        flags = int(value["FLAGS"], 16)
        gpt = "-" in value["TYPE"]
        factor = sector_size // 512
        listed.append(
            Row(
                int(value["NR"]),
                int(value["START"]) // factor,
                int(value["SECTORS"]) // factor,
                value["TYPE"].removeprefix("0x").zfill(2),
                value["UUID"],
                name,
                bool(flags & 4) if gpt else flags == 0x80,
            )
        )
    return listed


def sgdisk_rows(output: str) -> list[tuple[int, int, int, str]]:
    """Number, first and last sector, and label, as `sgdisk --print` lists them."""
    line = re.compile(r"^ +(\d+) +(\d+) +(\d+) +[\d.]+ \w+ +[0-9A-F]{4}  (.*)$", re.MULTILINE)
    return [(int(found[1]), int(found[2]), int(found[3]), found[4]) for found in line.finditer(output)]


def mmls_rows(output: str) -> list[tuple[int, int]]:
    """Start and size of every allocated slot that `mmls` lists, in disk order, tables and gaps left out."""
    line = re.compile(r"^\d+:  \d+(?::\d+)? +(\d+) +\d+ +(\d+) ", re.MULTILINE)
    return [(int(found[1]), int(found[2])) for found in line.finditer(output)]
