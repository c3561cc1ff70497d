"""Files that are none, places that cannot be written, disks that are full: nothing changes, nothing is left behind."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.cli.command import assert_refused, environment, imgkit, script, snapshot
from tests.support import oracle
from tests.support.disks import sha256

ENABLE = ("console", "enable")

# Root may do everything; without its capabilities it obeys permissions as everybody does.
UNPRIVILEGED = [oracle.find("setpriv"), "--bounding-set=-all", "--inh-caps=-all", "--"] if os.getuid() == 0 else []


@pytest.fixture
def sealed(small):
    """A folder that may not be written to, with an image that may; writable again afterwards."""
    folder = small.parent / "sealed"
    folder.mkdir()
    image = small.rename(folder / small.name)
    folder.chmod(0o555)
    yield image
    folder.chmod(0o755)


def test_a_directory_that_is_read_only(sealed, tmp_path):
    folder = sealed.parent
    says = f"{folder}: directory is read-only"
    words = [*ENABLE, sealed, "--in-place"]
    assert_refused(folder, *words, status=8, says=says, hint="another directory with -o OUT", through=UNPRIVILEGED)
    out = folder / "new.qcow2"
    assert_refused(folder, *ENABLE, sealed, "-o", out, status=8, says=says, hint="", through=UNPRIVILEGED)
    done = imgkit(*ENABLE, sealed, "-o", tmp_path / "new.qcow2", through=UNPRIVILEGED)
    assert done.status == 0, "the hint is right"
    assert imgkit("inspect", sealed, through=UNPRIVILEGED).status == 0, "looking needs no writing"
    assert imgkit(*ENABLE, sealed, "--dry-run", through=UNPRIVILEGED).status == 0


def test_an_image_that_may_not_be_written(small, tmp_path):
    small.chmod(0o444)
    words = [*ENABLE, small, "--in-place"]
    says = "cannot be written (Permission denied)"
    assert_refused(tmp_path, *words, status=8, says=says, hint="-o OUT", through=UNPRIVILEGED)
    assert imgkit(*ENABLE, small, "-o", tmp_path / "new", through=UNPRIVILEGED).status == 0


def test_an_image_that_may_not_be_read(small, tmp_path):
    small.chmod(0)
    for words in (["inspect", small], [*ENABLE, small, "-o", tmp_path / "new"]):
        done = imgkit(*words, through=UNPRIVILEGED)
        assert done.status == 3
        assert f"imgkit: error: {small}: cannot be read (Permission denied)\n" in done.stderr
        assert f"`ls -l {small}`" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [small.name]


def test_an_undo_file_in_a_directory_that_is_read_only(sealed, small, tmp_path):
    image = tmp_path / "image.qcow2"
    oracle.run("cp", sealed, image)
    undo = sealed.parent / "u"
    words = [*ENABLE, image, "--in-place", "--undo", undo]
    done = imgkit(*words, through=UNPRIVILEGED)
    assert done.status == 8
    assert f"{undo}: cannot be written (Permission denied)" in done.stderr
    assert sha256(image) == sha256(sealed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.qcow2", "sealed"]


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "device", "loop"])
def test_what_is_no_file(tmp_path, kind):
    image = tmp_path / kind
    says, hint = f"{image}: not a regular file", "Give the file that holds the image"
    match kind:
        case "missing":
            says, hint = f"{image}: no such file", f"`ls {tmp_path}`"
        case "directory":
            image.mkdir()
            says = f"{image}: "
        case "fifo":
            os.mkfifo(image)
        case "device":
            image = Path("/dev/null")
            says = "/dev/null: not a regular file"
        case "loop":
            image.symlink_to(image)
            says, hint = f"{image}: cannot be found", f"`ls -l {image}`"
    for words in (["ls", image], ["inspect", image], [*ENABLE, image, "--in-place"], ["recover", image]):
        done = imgkit(*words)
        if words[0] == "console" and kind == "device" and not os.access("/dev", os.W_OK):
            assert (done.status, "directory is read-only" in done.stderr) == (8, True), "which is told first"
            continue
        assert done.status == (2 if kind == "missing" else 3), (words, done)
        assert says in done.stderr
        assert hint in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ([kind] if kind not in ("missing", "device") else [])


def test_a_link_to_an_image_stays_a_link(small, tmp_path):
    folder = tmp_path / "links"
    folder.mkdir()
    link = folder / "disk.qcow2"
    link.symlink_to(os.path.relpath(small, folder))
    undo = tmp_path / "u"
    before = sha256(small)
    assert imgkit(*ENABLE, link, "--in-place", "--undo", undo).status == 0
    assert link.is_symlink()
    assert sha256(small) != before
    assert imgkit("console", "status", small).status == 0
    assert imgkit("undo", link, undo).status == 0
    assert link.is_symlink()
    assert sha256(small) == before
    assert sorted(snapshot(tmp_path)) == sorted(["links", "links/disk.qcow2", small.name, undo.name])


@pytest.mark.parametrize("spelling", ["itself", "link", "hard link", "dots"])
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_output_that_is_the_input(small, tmp_path, spelling, force):
    out = tmp_path / "other.qcow2"
    match spelling:
        case "itself":
            out = small
        case "link":
            out.symlink_to(small)
        case "hard link":
            out.hardlink_to(small)
        case "dots":
            out = tmp_path / ".." / tmp_path.name / small.name
    words = [*ENABLE, small, "-o", out, *force]
    assert_refused(tmp_path, *words, status=8, says="output is the input", hint="Use --in-place")


def test_output_in_a_directory_that_does_not_exist(small, tmp_path):
    out = tmp_path / "no" / "such" / "new.qcow2"
    says = f"{out.parent}: no such directory"
    assert_refused(tmp_path, *ENABLE, small, "-o", out, status=8, says=says, hint="Create it first")


@pytest.mark.parametrize("kind", ["directory", "fifo", "device", "dangling link"])
def test_output_that_is_something_else(small, tmp_path, kind):
    out = tmp_path / "out"
    match kind:
        case "directory":
            out.mkdir()
        case "fifo":
            os.mkfifo(out)
        case "device":
            out = Path("/dev/null")
        case "dangling link":
            out.symlink_to(tmp_path / "nothing")
    hint = "-o -"
    assert_refused(tmp_path, *ENABLE, small, "-o", out, status=8, says=f"{out}: exists", hint="--force")
    says = f"{out}: is not a regular file"
    assert_refused(tmp_path, *ENABLE, small, "-o", out, "--force", status=8, says=says, hint=hint)
    assert kind != "device" or stat.S_ISCHR(out.stat().st_mode)


def limited(size):
    """No file may grow beyond `size` bytes: what a quota or a small file system says, said by the kernel."""
    return [oracle.find("prlimit"), f"--fsize={size}", "--"]


@pytest.mark.parametrize("place", ["new", "journal", "undo"])
def test_a_file_that_may_not_grow(small, tmp_path, place):
    size = 1 << 20 if place == "new" else 1000
    where = ["-o", tmp_path / "new"] if place == "new" else ["--in-place"]
    where += ["--undo", tmp_path / "u"] if place == "undo" else []
    words = [*ENABLE, small, *where]
    hint = "Raise the limit (`ulimit -f`)"
    done = assert_refused(tmp_path, *words, status=8, says="File too large", hint=hint, through=limited(size))
    assert place == "new" or "nothing was changed" in done.stderr


# A file system of the test's own, in a user's own mount namespace.
FULL = """
mount -t tmpfs -o size=4m tmpfs "$1" && cd "$1" && cp "$2" disk.qcow2 && before=$(sha256sum disk.qcow2)
head -c 100m /dev/zero > filler 2>/dev/null; truncate -s "-$3" filler; shift 3
"$@"; status=$?
test "$before" = "$(sha256sum disk.qcow2)" && ls -A > /dev/stdout || echo changed
exit $status
"""


@pytest.mark.parametrize("place", [["--in-place"], ["--in-place", "--undo", "u"], ["-o", "new.qcow2"]])
@pytest.mark.parametrize("free", [0, 4096, 16384])
def test_a_disk_that_is_full(small, tmp_path, place, free):
    folder = tmp_path / "full"
    folder.mkdir()
    words = [
        oracle.find("unshare"),
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        FULL,
        "sh",
        folder,
        small,
        free,
    ]
    words += [script(), *ENABLE, "disk.qcow2", *place]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 8, done.stderr
    assert "no space left" in done.stderr
    assert "Free some space there" in done.stderr
    assert "-o OUT" in done.stderr or "on another disk" in done.stderr
    assert done.stdout.split() == ["disk.qcow2", "filler"]
