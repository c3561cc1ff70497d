"""Fetching kernel and initial RAM disk: what is checked, what the cache holds, and what a broken attempt leaves."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from imgkit.errors import ChecksumError, LocationError, OutputError
from imgkit.location.fetch import fetch, fetch_files
from imgkit.location.tree import find_tree
from tests.location import servers, trees
from tests.location.conftest import INITRD, KERNEL
from tests.support import oracle
from tests.support.images import fixture

VMLINUZ = "/images/pxeboot/vmlinuz"
INITRD_IMG = "/images/pxeboot/initrd.img"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("kind", ["folder", "file", "http", "ftp"])
def test_the_real_tree_comes_by_every_road(mirror, tmp_path, kind):
    with servers.http(mirror) as http, servers.ftp(mirror) as ftp:
        base = {"folder": str(mirror), "file": mirror.as_uri(), "http": http.address, "ftp": ftp.address}[kind]
        tree = find_tree(f"{base}/dists/stable/main/installer-amd64/")
        files = fetch(tree, tmp_path / "cache")
    assert files.verified
    images = mirror / trees.IMAGES
    oracle.run("cmp", files.kernel, images / trees.KERNEL)
    oracle.run("cmp", files.initrd, images / trees.INITRD)
    assert names(tmp_path / "cache") == sorted(f"sha256-{sum_}" for sum_ in (files.kernel_sha256, files.initrd_sha256))


def test_the_installers_of_an_iso_come_out_of_it(tmp_path):
    iso = fixture("iso-debian")
    files = fetch(find_tree(str(iso)), tmp_path)
    extracted = oracle.run("xorriso", "-osirrox", "on", "-indev", iso, "-extract", "/install.amd", tmp_path / "out")
    assert extracted.returncode == 0
    oracle.run("cmp", files.kernel, tmp_path / "out/vmlinuz")
    oracle.run("cmp", files.initrd, tmp_path / "out/initrd.gz")


def test_what_is_cached_is_not_fetched_again(http, tmp_path):
    tree = find_tree(http.address)
    first = fetch(tree, tmp_path / "cache")
    http.requests.clear()
    assert fetch(tree, tmp_path / "cache") == first
    assert http.requests == []


def test_a_damaged_file_of_the_cache_is_fetched_again(http, tmp_path):
    tree = find_tree(http.address)
    files = fetch(tree, tmp_path / "cache")
    files.kernel.write_bytes(b"damaged")
    assert fetch(tree, tmp_path / "cache") == files
    assert files.kernel.read_bytes() == KERNEL


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
def test_every_kind_of_checksum_is_checked(tmp_path, algorithm):
    folder = trees.write(tmp_path / "tree", trees.fedora(KERNEL, INITRD, sums=algorithm))
    tree = find_tree(str(folder))
    files = fetch(tree, tmp_path / "cache")
    assert (files.verified, files.kernel_sha256, files.initrd_sha256) == (True, sha256(KERNEL), sha256(INITRD))
    assert fetch(tree, tmp_path / "cache") == files
    trees.write(folder, {"images/pxeboot/initrd.img": INITRD[:-1] + b"!"})
    with pytest.raises(ChecksumError, match="checksum mismatch"):
        fetch(tree, tmp_path / "other")


def test_a_file_that_does_not_agree_is_refused_and_not_kept(http, tree, tmp_path):
    trees.write(tree, {"images/pxeboot/initrd.img": b"x" * len(INITRD)})
    found = find_tree(http.address)
    with pytest.raises(ChecksumError, match=r"initrd\.img: checksum mismatch: .* instead of sha256:") as caught:
        fetch(found, tmp_path / "cache")
    assert "insecure" in caught.value.hint
    assert names(tmp_path / "cache") == [f"sha256-{sha256(KERNEL)}"]
    files = fetch(found, tmp_path / "cache", insecure=True)
    assert not files.verified
    assert files.initrd.read_bytes() == b"x" * len(INITRD)
    assert files.initrd.name == f"sha256-{files.initrd_sha256}"
    with pytest.raises(ChecksumError):
        fetch(found, tmp_path / "cache")


def test_without_checksums_files_come_unverified(tmp_path):
    folder = trees.write(tmp_path / "tree", trees.fedora(KERNEL, INITRD, sums=""))
    files = fetch(find_tree(str(folder)), tmp_path / "cache")
    assert (files.verified, files.kernel.read_bytes(), files.initrd.read_bytes()) == (False, KERNEL, INITRD)
    assert len(names(tmp_path / "cache")) == 2


def test_two_files_of_ones_own(http, tree, tmp_path):
    address = http.address + VMLINUZ
    files = fetch_files(address, str(tree / INITRD_IMG[1:]), tmp_path / "c", kernel_checksum=f"SHA256:{sha256(KERNEL)}")
    assert (files.verified, files.kernel.read_bytes(), files.initrd.read_bytes()) == (False, KERNEL, INITRD)
    both = {"kernel_checksum": f"sha256:{sha256(KERNEL)}", "initrd_checksum": f"sha256:{sha256(INITRD)}"}
    assert fetch_files(address, http.address + INITRD_IMG, tmp_path / "c", **both).verified
    with pytest.raises(LocationError, match="not a checksum that imgkit knows"):
        fetch_files(address, address, tmp_path / "c", kernel_checksum="crc32:1234")
    with pytest.raises(LocationError, match="there is no such file"):
        fetch_files(http.address + "/nothing", address, tmp_path / "c")


def test_progress_goes_from_nothing_to_all(http, tmp_path):
    seen = []
    fetch(find_tree(http.address), tmp_path, progress=lambda done, total: seen.append((done, total)))
    size = len(KERNEL) + len(INITRD)
    assert seen == sorted(seen)
    assert seen[-1] == (size, size)
    assert {total for _, total in seen} == {size}


def test_two_at_a_time_fetch_once(http, tmp_path):
    tree = find_tree(http.address)
    results = []
    threads = [threading.Thread(target=lambda: results.append(fetch(tree, tmp_path / "cache"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert len(set(map(repr, results))) == 1
    assert http.asked("GET", VMLINUZ) == [""]
    assert http.asked("GET", INITRD_IMG) == [""]
    assert all(not name.endswith(".part") for name in names(tmp_path / "cache"))


def test_a_killed_fetch_is_gone_on_with(tree, tmp_path):
    """Half of the file comes, the process is killed; the next one asks for the other half alone."""
    half = len(KERNEL) // 2
    stalled = threading.Event()

    def answer(connection, path, wanted):
        if path == VMLINUZ and not wanted:
            servers.reply(connection, "200 OK", KERNEL[:half], Content_Length=str(len(KERNEL)))
            stalled.set()
            connection.recv(1)
        elif path == VMLINUZ:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            last = len(KERNEL) - 1
            servers.reply(
                connection, "206 Partial Content", KERNEL[start:], Content_Range=f"bytes {start}-{last}/{last + 1}"
            )
        else:
            found = tree / path[1:]
            servers.reply(connection, *(("200 OK", found.read_bytes()) if found.is_file() else ("404 Not Found",)))

    program = (
        "import sys; from pathlib import Path\n"
        "from imgkit.location.tree import find_tree; from imgkit.location.fetch import fetch\n"
        "fetch(find_tree(sys.argv[1]), Path(sys.argv[2]))"
    )
    cache = tmp_path / "cache"
    with servers.scripted(answer) as server:
        with subprocess.Popen([sys.executable, "-c", program, server.address, str(cache)]) as process:
            assert stalled.wait(60)
            part = cache / f"sha256-{sha256(KERNEL)}.part"
            while not (part.exists() and part.stat().st_size == half):
                time.sleep(0.01)
                assert process.poll() is None
            process.send_signal(signal.SIGKILL)
        assert names(cache) == [part.name]
        files = fetch(find_tree(server.address), cache)
        assert server.asked("GET", VMLINUZ) == ["", f"bytes={half}-"]
    assert files.verified
    assert names(cache) == sorted((files.kernel.name, files.initrd.name))


def test_a_wrong_half_of_a_killed_fetch_does_no_harm(http, tmp_path):
    """What is there does not belong to the file: it is refused once, and then fetched anew."""
    cache = tmp_path / "cache"
    trees.write(cache, {f"sha256-{sha256(KERNEL)}.part": b"of something else"})
    tree = find_tree(http.address)
    assert fetch(tree, cache).kernel.read_bytes() == KERNEL


def test_a_part_that_is_longer_than_the_file_does_no_harm(http, tmp_path):
    cache = tmp_path / "cache"
    trees.write(cache, {f"sha256-{sha256(KERNEL)}.part": bytes(len(KERNEL) + 5)})
    assert fetch(find_tree(http.address), cache).kernel.read_bytes() == KERNEL


def test_a_cache_that_cannot_be_written_is_named(http, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="the cache cannot be used"):
        fetch(find_tree(http.address), tmp_path / "file" / "cache")


def test_too_large_files_are_refused(http, tmp_path, impatient):
    with pytest.raises(LocationError, match=r"is larger than 1,000,000 bytes"):
        fetch(find_tree(http.address), tmp_path / "cache", limits=replace(impatient, size=1_000_000))
    assert all(not name.startswith("sha256") or name.endswith(".part") for name in names(tmp_path / "cache"))
