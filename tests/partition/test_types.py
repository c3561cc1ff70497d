"""Type names against the lists that sfdisk prints."""

from __future__ import annotations

import pytest

from imgkit.partition import types
from imgkit.partition.types import gpt_type_name, mbr_type_name
from tests.support import oracle

# Of the Discoverable Partitions Specification, not in sfdisk's list before util-linux 2.41.
NOT_IN_SFDISK = {
    "CA7D7CCB-63ED-4C53-861C-1742536059CC": "Linux LUKS",
    "7FFEC5C9-2D00-49B7-8941-3EA10A5586B7": "Linux dm-crypt",
}


def sfdisk_types(label: str) -> dict[str, str]:
    lines = oracle.run("sfdisk", "--label", label, "--list-types").stdout.splitlines()[1:]
    return {number.upper(): name.strip() for number, name in (line.split(maxsplit=1) for line in lines if line)}


def test_gpt_names() -> None:
    known = sfdisk_types("gpt") | NOT_IN_SFDISK
    for guid, name in types._GPT_NAMES.items():
        assert known[guid] == name


def test_mbr_names() -> None:
    known = sfdisk_types("dos")
    for number, name in types._MBR_NAMES.items():
        assert known[f"{number:X}"] == name


@pytest.mark.parametrize(
    "name", ["EFI System", "BIOS boot", "Linux filesystem", "Linux LVM", "Linux RAID", "Linux root (x86-64)"]
)
def test_types_that_matter_have_names(name: str) -> None:
    assert name in types._GPT_NAMES.values()


def test_unknown_types_have_none() -> None:
    assert gpt_type_name("DEADBEEF-0000-0000-0000-000000000000") == ""
    assert mbr_type_name(0x42) == ""
