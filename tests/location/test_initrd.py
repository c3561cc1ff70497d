"""Files for initial RAM disks: cpio reads them, and a kernel does."""

from __future__ import annotations

import gzip
import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgkit.errors import MissingFileError, OutputError, UnsupportedError, UsageError
from imgkit.location.initrd import archive, inject
from tests.location import trees
from tests.location.trees import IMAGES, INITRD, KERNEL
from tests.support import oracle

INIT = r"""
#include <stdio.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>
int main(void) {
    char line[99] = "";
    struct stat first, second;
    FILE *file = fopen("/etc/deep/answers", "r");
    if (file) fgets(line, sizeof line, file);
    stat("/etc/deep/answers", &first);
    stat("/first", &second);
    printf("\nread %s mode %o uid %d first %d\n", line, first.st_mode, first.st_uid, (int)second.st_size);
    fflush(stdout);
    reboot(RB_POWER_OFF);
}
"""


def cpio(folder, data: bytes, *words: str) -> str:
    done = subprocess.run(
        [oracle.find("cpio"), *words], input=data, capture_output=True, check=True, cwd=folder, timeout=60
    )
    return done.stdout.decode()


def test_cpio_lists_what_was_put_in(tmp_path):
    trees.write(tmp_path, {"a": "answers\n", "b": "#!/bin/sh\n", "initrd": b"\x1f\x8b" + b"x" * 11})
    (tmp_path / "b").chmod(0o700)
    files = {"/preseed.cfg": tmp_path / "a", "/usr/lib/late.sh": tmp_path / "b"}
    inject(tmp_path / "initrd", files, tmp_path / "new")
    new = (tmp_path / "new").read_bytes()
    assert new[:16] == (tmp_path / "initrd").read_bytes() + bytes(3)
    lines = [line.split() for line in cpio(tmp_path, new[16:], "-itv", "--numeric-uid-gid").splitlines()]
    assert [(line[0], line[2], line[3], line[4], line[-1]) for line in lines] == [
        ("drwxr-xr-x", "0", "0", "0", "usr"),
        ("drwxr-xr-x", "0", "0", "0", "usr/lib"),
        ("-rw-r--r--", "0", "0", "8", "preseed.cfg"),
        ("-rwxr-xr-x", "0", "0", "10", "usr/lib/late.sh"),
    ]


def test_what_was_there_stays_behind_debians_compression(mirror, tmp_path):
    """Debian's initial RAM disk, more files after it: the first archive is the same bytes, the second has the file."""
    initrd = mirror / IMAGES / INITRD
    trees.write(tmp_path, {"preseed.cfg": "d-i debconf/priority string critical\n"})
    inject(initrd, {"/preseed.cfg": tmp_path / "preseed.cfg"}, tmp_path / "new")
    size = initrd.stat().st_size
    with (tmp_path / "new").open("rb") as file:
        assert file.read(size) == initrd.read_bytes()
        rest = file.read()
    assert rest.lstrip(b"\0").startswith(b"070701")
    assert (size + len(rest) - len(rest.lstrip(b"\0"))) % 4 == 0
    cpio(tmp_path, rest.lstrip(b"\0"), "-idu", "--quiet")
    assert (tmp_path / "preseed.cfg").read_text() == "d-i debconf/priority string critical\n"


names = st.text("abcäöü-._0", min_size=1, max_size=12).filter(lambda name: name not in (".", ".."))
paths = st.lists(names, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


@settings(max_examples=25, deadline=None)
@given(files=st.dictionaries(paths, st.binary(max_size=70), min_size=1, max_size=6))
def test_cpio_unpacks_any_files(tmp_path_factory, files):
    folder = tmp_path_factory.mktemp("out")
    try:
        made = archive(files)
    except UsageError:
        parents = {path.rpartition("/")[0] for path in files} | {p.split("/", 2)[1] for p in files}
        assert any(other.startswith(f"{path}/") for path in files for other in files) or parents
        return
    cpio(folder, made, "-id", "--quiet")
    assert {f"/{p.relative_to(folder)}": p.read_bytes() for p in folder.rglob("*") if p.is_file()} == files


@pytest.mark.boot
def test_a_kernel_unpacks_both_archives(mirror, tmp_path):
    """Debian's kernel, a compressed archive of odd length, and after it ours, which brings /init and a deep file."""
    trees.write(
        tmp_path, {"init.c": INIT, "answers": "it works", "initrd": gzip.compress(archive({"/first": b"12345"}))}
    )
    oracle.run("gcc", "-static", "-Os", "-o", tmp_path / "init", tmp_path / "init.c")
    with (tmp_path / "initrd").open("ab") as file:
        file.write(bytes(1 + -file.tell() % 4))  # so that there is something to align
    inject(
        tmp_path / "initrd",
        {"/init": tmp_path / "init", "/etc/deep/answers": tmp_path / "answers"},
        tmp_path / "new",
    )
    machine = ["-machine", "pc", "-accel", "tcg", "-m", "512", "-nodefaults", "-display", "none", "-no-reboot"]
    boot = ["-kernel", mirror / IMAGES / KERNEL, "-initrd", tmp_path / "new", "-append", "console=ttyS0 panic=-1"]
    done = oracle.run("timeout", "300", "qemu-system-x86_64", *machine, "-serial", "stdio", *boot)
    assert "read it works mode 100644 uid 0 first 5" in done.stdout


@pytest.mark.parametrize("path", ["preseed.cfg", "/", "/a/", "/a/../../b", "", "/a\0b", "/" + "x" * 2000])
def test_places_that_are_none(path):
    with pytest.raises(UsageError, match="is not an absolute path"):
        archive({path: b""})


@pytest.mark.parametrize("paths", [("/a", "/a/b"), ("/a/b/c", "/a/b"), ("/a", "//a"), ("/a/b", "/a//b")])
def test_two_files_in_one_place(paths):
    with pytest.raises(UsageError, match="the same path"):
        archive(dict.fromkeys(paths, b""))


def test_nothing_is_written_where_it_cannot_be_whole(tmp_path):
    trees.write(tmp_path, {"initrd": b"1234", "answers": "x", "new": "mine", "taken": b"1234#BOOTCONFIG\n"})
    before = sorted(path.name for path in tmp_path.iterdir())
    answers = {"/answers": tmp_path / "answers"}
    with pytest.raises(OutputError, match="new: exists"):
        inject(tmp_path / "initrd", answers, tmp_path / "new")
    with pytest.raises(UnsupportedError, match="ends with a boot configuration"):
        inject(tmp_path / "taken", answers, tmp_path / "other")
    with pytest.raises(MissingFileError, match="nothing: no such file"):
        inject(tmp_path / "initrd", {"/answers": tmp_path / "nothing"}, tmp_path / "other")
    with pytest.raises(MissingFileError, match="nothing: no such file"):
        inject(tmp_path / "nothing", answers, tmp_path / "other")
    with pytest.raises(UsageError, match="is not a regular file"):
        inject(tmp_path / "initrd", {"/answers": tmp_path}, tmp_path / "other")
    with pytest.raises(OutputError, match="cannot be written"):
        inject(tmp_path / "initrd", answers, tmp_path / "no" / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "new").read_text() == "mine"


def test_a_full_disk_leaves_nothing(tmp_path):
    """/dev/full stands for one: a copy into it fails with no space left."""
    trees.write(tmp_path, {"initrd": b"1234", "answers": "x"})
    limited = (
        "import resource, signal, sys; from pathlib import Path; from imgkit.location.initrd import inject\n"
        "from imgkit.errors import OutputError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "here = Path(sys.argv[1])\n"
        "try: inject(here / 'initrd', {'/answers': here / 'answers'}, here / 'new')\n"
        "except OutputError as error: print(error)"
    )
    python = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [os.sys.executable, "-c", limited, str(tmp_path)], capture_output=True, text=True, check=True, env=python
    )
    assert "cannot be written" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers", "initrd"]
