"""Large images: a path is found without reading the rest, and edits stay within the memory and time of small ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from imgkit.iso.directory import Namespace
from imgkit.iso.tree import IsoTree
from imgkit.iso.volume import IsoVolume
from imgkit.storage.host import HostFile
from imgkit.storage.overlay import Overlay
from imgkit.tree import list_entries
from tests.iso import images
from tests.support import oracle

FILES = 50_000
_MEMORY_MB = 120

# Says how long it took, in seconds of the processor, and the most memory that it had, in KiB.
_PLAN = """
import re, sys, time
from pathlib import Path
from imgkit.storage.host import HostFile
from imgkit.storage.overlay import Overlay
from imgkit.iso.tree import IsoTree
from imgkit.iso.volume import IsoVolume
began = time.process_time()
with HostFile(Path(sys.argv[1])) as host:
    overlay = Overlay(host)
    tree = IsoTree(IsoVolume.open(overlay, "image.iso"), now=0)
    for size in (100, 3000, 600_000):
        tree.write("/boot/grub/grub.cfg", b"x" * size)
    tree.finish()
    assert overlay.plan().patches
# Of this program alone: what getrusage says begins with the process that started it.
print(time.process_time() - began, re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("large")
    source = folder / "source"
    (source / "boot/grub").mkdir(parents=True)
    (source / "boot/grub/grub.cfg").write_bytes(images.MENU)
    for number in range(FILES):
        if number % 5000 == 0:
            (source / f"pool/{number // 5000}").mkdir(parents=True)
        (source / f"pool/{number // 5000}/package-{number:06}_1.0-1_amd64.deb").write_bytes(b"%d" % number)
    lines = (f"{number:032x}  ./pool/{number // 5000}/package-{number:06}_1.0-1_amd64.deb\n" for number in range(FILES))
    (source / "md5sum.txt").write_text("".join(lines))
    image = folder / "large.iso"
    oracle.run("xorriso", "-as", "mkisofs", "-quiet", "-r", "-J", "-joliet-long", "-o", image, source)
    oracle.run("rm", "-r", source)
    yield image
    image.unlink()


class Counted(Overlay):
    """An overlay that counts what is read."""

    def __init__(self, base: HostFile) -> None:
        super().__init__(base)
        self.read = 0

    def read_at(self, offset: int, length: int, /) -> bytes:
        self.read += length
        return super().read_at(offset, length)


def test_one_path_reads_only_what_leads_to_it(large: Path) -> None:
    with HostFile(large) as host:
        device = Counted(host)
        tree = IsoTree(IsoVolume.open(device, "large.iso"), now=0)
        assert tree.read("/boot/grub/grub.cfg") == images.MENU
        assert not tree.exists("/isolinux/isolinux.cfg")
        assert device.read < 64 << 10


def test_a_directory_of_thousands(large: Path) -> None:
    with HostFile(large) as host:
        tree = IsoTree(IsoVolume.open(Overlay(host), "large.iso"), now=0)
        assert tree.read("/pool/3/package-019999_1.0-1_amd64.deb") == b"19999"
        assert len(tree.listdir("/pool/3")) == 5000
        assert tree.stat("/pool/3/package-015000_1.0-1_amd64.deb").size == 5


def test_listing_compares_each_name_a_few_times(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0
    key = Namespace.key

    def counting(namespace: Namespace, name: str) -> str:
        nonlocal compared
        compared += 1
        return key(namespace, name)

    monkeypatch.setattr(Namespace, "key", counting)
    with HostFile(large) as host:
        tree = IsoTree(IsoVolume.open(Overlay(host), "large.iso"), now=0)
        assert len(list_entries(tree, "/pool/3")) == 5000
    assert compared < 6 * 5000


def test_detection_imports_nothing_heavy() -> None:
    said = "import sys, imgkit.iso.detection; print({'construct', 'pycdlib', 'fatfs'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_reading_imports_no_pycdlib(large: Path) -> None:
    said = (
        _PLAN.split("    for size", maxsplit=1)[0]
        + "    tree.read('/boot/grub/grub.cfg'); print('pycdlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", said, large], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_planning_takes_little_memory_and_time(large: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _PLAN, large], capture_output=True, text=True, check=True)
    seconds, memory = map(float, done.stdout.split())
    assert memory / 1024 < _MEMORY_MB
    # It takes half a second; what is quadratic takes minutes.
    assert seconds < 5
