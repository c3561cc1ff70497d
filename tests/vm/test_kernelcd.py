"""The CD that starts a kernel: its machine code by the assembler, its volume by isoinfo, and what it refuses."""

import re
import struct
from dataclasses import replace

import pytest

from imgkit.errors import MachineError, MissingFileError, OutputError, UnsupportedError, UsageError
from imgkit.formats.image import open_image
from imgkit.iso.eltorito import read_catalog
from imgkit.vm.install.bootsector import LISTING, boot_sector
from imgkit.vm.install.kernelcd import write_kernel_cd
from imgkit.vm.spec import DirectKernel
from tests.support import oracle
from tests.vm.installer import KERNEL

INITRD = b"initial ram disk" * 1000


@pytest.fixture
def start(tmp_path):
    initrd = tmp_path / "initrd"
    initrd.write_bytes(INITRD)
    return DirectKernel(KERNEL, initrd, "console=ttyS0,115200 quiet")


def test_the_machine_code_is_what_its_listing_says(tmp_path):
    lines = [line.partition("|") for line in LISTING.splitlines() if line]
    source = tmp_path / "loader.s"
    head = ".code16\n.set PACKET, 0x7df0\n.set TABLE, 0x7e00\n.text\n"
    source.write_text(head + "".join(f"{words}\n" for _, _, words in lines))
    oracle.run("as", "--32", "-o", tmp_path / "loader.o", source)
    oracle.run("objcopy", "-O", "binary", "-j", ".text", tmp_path / "loader.o", tmp_path / "loader")
    assembled = (tmp_path / "loader").read_bytes()
    assert assembled.hex() == "".join(code.strip() for code, _, _ in lines)
    assert len(assembled) <= 0x1C0
    assert boot_sector([(24, 29, 0x10000)]).startswith(assembled)


def test_its_volume_is_one_and_boots_a_pc(start, tmp_path):
    cd = tmp_path / "cd.iso"
    write_kernel_cd(cd, start, 256)
    told = oracle.run("isoinfo", "-d", "-i", cd).stdout
    assert "Volume id: INSTALLER" in told
    assert (
        "Eltorito defaultboot header:\n        Bootid 88 (bootable)\n        Boot media 0 (No Emulation Boot)" in told
    )
    sectors = int(re.search(r"Volume size is: (\d+)", told)[1])
    assert cd.stat().st_size == sectors * 2048
    oracle.run("isoinfo", "-l", "-i", cd)
    oracle.run("xorriso", "-indev", cd, "-find", "/")
    with open_image(cd) as image:
        (entry,) = read_catalog(image.disk, 19 * 2048).images
    assert (entry.platform, entry.load_size) == ("BIOS", 2048)


def test_the_kernel_is_told_what_the_protocol_wants(start, tmp_path):
    cd = tmp_path / "cd.iso"
    write_kernel_cd(cd, start, 256)
    data, kernel = cd.read_bytes(), KERNEL.read_bytes()
    setup = data[24 * 2048 :]
    size = (kernel[0x1F1] + 1) * 512
    address, length = struct.unpack_from("<II", setup, 0x218)
    (arguments,) = struct.unpack_from("<I", setup, 0x228)
    assert setup[arguments - 0x10000 :].split(b"\0")[0] == start.arguments.encode()
    assert length == len(INITRD)
    assert address % 4096 == 0
    assert address + length < 256 << 20
    changed = {i for i in range(size) if setup[i] != kernel[i]}
    assert changed <= {0x210, 0x211, *range(0x218, 0x220), *range(0x224, 0x226), *range(0x228, 0x22C)}
    assert kernel[size:] in data
    assert INITRD in data


def test_the_same_files_make_the_same_bytes(start, tmp_path):
    for name in ("one", "two"):
        write_kernel_cd(tmp_path / name, start, 256)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize(
    ("kernel", "why"),
    [(b"MZ", "too short"), (bytes(4096), "boot protocol"), (KERNEL.read_bytes()[:4096], "size of its setup code")],
)
def test_what_is_no_kernel_is_refused(start, tmp_path, kernel, why):
    path = tmp_path / "kernel"
    path.write_bytes(kernel)
    with pytest.raises(UnsupportedError, match=why):
        write_kernel_cd(tmp_path / "cd.iso", replace(start, kernel=path), 256)
    assert not (tmp_path / "cd.iso").exists()


def test_refusals_leave_nothing(start, tmp_path):
    cd = tmp_path / "cd.iso"
    with pytest.raises(MachineError, match="no room") as raised:
        write_kernel_cd(cd, start, 64)
    needed = int(re.search(r"--memory (\d+)", raised.value.hint)[1])
    with pytest.raises(UsageError, match="longer than 2,047"):
        write_kernel_cd(cd, replace(start, arguments="x" * 2048), 256)
    with pytest.raises(MissingFileError):
        write_kernel_cd(cd, replace(start, initrd=tmp_path / "absent"), 256)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["initrd"]
    write_kernel_cd(cd, start, needed)
    with pytest.raises(OutputError, match="exists"):
        write_kernel_cd(cd, start, 256)


@pytest.mark.parametrize("at", [0x1F1, 0x206, 0x211, 0x22C, 0x238, 0x258, 0x260])
@pytest.mark.parametrize("value", [b"\0\0\0\0", b"\xff\xff\xff\xff"])
def test_damaged_headers_are_refused_or_written(start, tmp_path, at, value):
    path = tmp_path / "kernel"
    data = bytearray(KERNEL.read_bytes()[: 1 << 16])
    data[at : at + len(value)] = value
    path.write_bytes(data)
    try:
        write_kernel_cd(tmp_path / "cd.iso", replace(start, kernel=path), 256)
    except (MachineError, UnsupportedError, UsageError):
        assert not (tmp_path / "cd.iso").exists()
