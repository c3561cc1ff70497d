"""ISOs through the same commands as disks: looked at, edited, taken back, refused."""

import fcntl
import os
import shutil
import subprocess

import pytest

from tests.cli.command import assert_refused, imgkit
from tests.cli.test_json import check
from tests.filesystem.images import host_tree
from tests.support import oracle
from tests.support.disks import sha256
from tests.support.images import fixture, private_copy

ENABLE = ("console", "enable")
INSTALLERS = ("iso-debian", "iso-grub", "iso-isolinux")
MENU = "/boot/grub/grub.cfg"


def report(image):
    """What xorriso says of boot images and partition tables."""
    words = ["-report_el_torito", "plain", "-report_system_area", "plain"]
    return oracle.run("xorriso", "-indev", image, *words).stdout


def files(image, folder):
    """Every file as xorriso extracts it."""
    folder.mkdir()
    oracle.run("xorriso", "-osirrox", "on", "-indev", image, "-extract", "/", folder)
    oracle.run("chmod", "-R", "u+rwX", folder)
    return host_tree(folder)


@pytest.fixture(scope="module", params=INSTALLERS)
def enabled(request, tmp_path_factory):
    """A fixture, its edited copy, and what the command said."""
    source = fixture(request.param)
    target = tmp_path_factory.mktemp("enabled") / "serial.iso"
    done = imgkit(*ENABLE, source, "-o", target, "--undo", target.with_name("u"), "--json")
    assert done.status == 0, done.stderr
    check(dict(done.json), "console-enable/1", whole=False)
    return source, target, done.json


def test_only_the_edited_files_differ(enabled, tmp_path):
    source, target, told = enabled
    before, after = files(source, tmp_path / "before"), files(target, tmp_path / "after")
    changed = {change["path"] for change in told["changes"]} | {"/md5sum.txt"}
    assert {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)} == changed
    done = subprocess.run(
        ["md5sum", "--check", "--quiet", "md5sum.txt"],
        cwd=tmp_path / "after",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_boot_images_and_tables_stay(enabled):
    source, target, _ = enabled
    assert report(source) == report(target)
    assert source.stat().st_size == target.stat().st_size


def test_status_and_undo(enabled, tmp_path):
    source, target, _ = enabled
    assert imgkit("console", "status", source).status == 1
    assert imgkit("console", "status", target).status == 0
    again = shutil.copy2(target, tmp_path / "again.iso")
    again.chmod(0o644)  # a new file has its source's mode, and a fixture is read-only
    done = imgkit(*ENABLE, again, "--in-place")
    assert done.status == 0
    assert "enabled already" in done.stderr
    assert sha256(again) == sha256(target)
    assert imgkit("undo", again, target.with_name("u")).status == 7, "it is a copy, of another name"
    assert imgkit("undo", again, target.with_name("u"), "--force").status == 0
    assert sha256(again) == sha256(source)


def test_every_way_out_gives_the_same_bytes(tmp_path):
    image = private_copy("iso-grub-rescue", tmp_path)
    original = image.read_bytes()
    env = {"SOURCE_DATE_EPOCH": "1700000000"}
    assert imgkit(*ENABLE, image, "-o", tmp_path / "new.iso", env=env).status == 0
    streamed = imgkit(*ENABLE, image, "-o", "-", env=env).stdout
    assert image.read_bytes() == original
    dry = imgkit(*ENABLE, image, "--dry-run")
    assert "+++ b/boot/grub/grub.cfg" in dry.text
    assert image.read_bytes() == original
    assert imgkit(*ENABLE, image, "--in-place", env=env).status == 0
    assert image.read_bytes() == streamed == (tmp_path / "new.iso").read_bytes() != original


@pytest.mark.parametrize("name", ["iso-debian", "iso-grub", "iso-ipxe", "iso-memtest", "iso-grub-rescue"])
def test_inspect(name):
    done = imgkit("inspect", fixture(name), "--json")
    assert done.status == 0, done.stderr
    found = done.json
    check(dict(found), "inspect-iso/1", whole=name == "iso-debian")
    assert found["enabled"] is False
    platforms = [image["platform"] for image in found["volume"]["boot_images"]]
    assert platforms == {"iso-grub-rescue": ["BIOS"]}.get(name, ["BIOS", "UEFI"])
    text = imgkit("inspect", fixture(name)).text
    assert "ISO 9660" in text
    if name == "iso-debian":
        assert "installer: Debian GNU/Linux 12" in text
        assert "checksums: /md5sum.txt" in text
        assert "/boot/grub/efi.img/EFI/debian/grub.cfg" in text


def test_files_are_listed_shown_and_written(tmp_path):
    image = private_copy("iso-debian", tmp_path)
    assert imgkit("ls", image).text.split() == sorted(
        [".disk", "EFI", "boot", "install.amd", "isolinux", "md5sum.txt", "pool"]
    )
    assert imgkit("cat", image, "/.disk/info").text.startswith("Debian GNU/Linux 12")
    inside = "/boot/grub/efi.img/EFI/debian/grub.cfg"
    assert "search --file" in imgkit("cat", image, inside).text
    tables = report(image)
    assert imgkit("write", image, inside, "--in-place", stdin=b"configfile /boot/grub/grub.cfg\n").status == 0
    assert imgkit("write", image, MENU, "--in-place", stdin=b"# " + b"x" * 30_000 + b"\n").status == 0
    assert imgkit("cat", image, inside).text == "configfile /boot/grub/grub.cfg\n"
    assert len(imgkit("cat", image, MENU).stdout) == 30_003
    assert report(image) == tables
    after = files(image, tmp_path / "after")
    assert len(after[MENU]) == 30_003
    done = subprocess.run(["md5sum", "--check", "--quiet", "md5sum.txt"], cwd=tmp_path / "after", check=False)
    assert done.returncode == 0


def test_what_cannot_be_done(tmp_path):
    ipxe = private_copy("iso-ipxe", tmp_path)
    words = [*ENABLE, ipxe, "--in-place"]
    assert_refused(tmp_path, *words, status=5, says="no Linux boot entry found", hint="imgkit inspect")
    words = ["iso", "rm", ipxe, "/isolinux.bin", "--in-place"]
    assert_refused(tmp_path, *words, status=5, says="needed to boot", hint="xorriso")
    for option in (["--engine", "guestfs"], ["--root", "1"]):
        assert_refused(tmp_path, *ENABLE, ipxe, "--in-place", *option, status=2, says="is an ISO", hint="Omit")
    with ipxe.open("r+b") as file:
        file.truncate(1 << 20)
    words = ["write", ipxe, "/isolinux.cfg", "--in-place"]
    assert_refused(tmp_path, *words, status=4, says=str(ipxe), hint="truncated", stdin=b"x" * 5000)


def test_extract(tmp_path):
    image = fixture("iso-debian")
    done = imgkit("iso", "extract", image, tmp_path / "ours", "--json")
    assert done.status == 0, done.stderr
    found = done.json
    check(dict(found), "iso-extract/1")
    theirs = files(image, tmp_path / "theirs")
    assert host_tree(tmp_path / "ours") == theirs
    assert found["files"] == sum(isinstance(data, bytes) for data in theirs.values())
    assert imgkit("iso", "extract", image, tmp_path / "efi", "/boot/grub/efi.img/EFI").status == 0
    assert sorted(path.name for path in (tmp_path / "efi").iterdir()) == ["boot", "debian"]
    assert imgkit("iso", "extract", image, tmp_path / "one", "/.disk/info").status == 0
    assert (tmp_path / "one" / "info").read_text().startswith("Debian GNU/Linux 12")
    assert not list(tmp_path.glob(".*"))


def test_extract_clears_what_a_killed_run_left_and_lets_a_running_one_be(tmp_path):
    image = fixture("iso-debian")
    for name in ("killed", "running"):
        (tmp_path / f".{name}.imgkit-new-1").mkdir()
        (tmp_path / f".{name}.imgkit-new-1/part").write_bytes(b"x")
    held = os.open(tmp_path / ".running.imgkit-new-1", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    for name in ("killed", "running"):
        assert imgkit("iso", "extract", image, tmp_path / name, "/.disk/info").status == 0
    os.close(held)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".running.imgkit-new-1", "killed", "running"]
    assert (tmp_path / ".running.imgkit-new-1/part").exists()


def test_extract_refuses_a_link_that_no_system_takes(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link").symlink_to("QQQQQQ")
    image = tmp_path / "links.iso"
    oracle.run("xorriso", "-as", "mkisofs", "-quiet", "-r", "-o", image, tree)
    image.write_bytes(image.read_bytes().replace(b"QQQQQQ", b"QQ\0\x1bQQ"))
    done = imgkit("iso", "extract", image, tmp_path / "out")
    assert (done.status, done.stderr.count("\n")) == (11, 1)
    assert r"/link: has the target 'QQ\x00\x1bQQ', which is not possible" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["links.iso", "tree"]


def test_extract_stays_in_its_folder(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "up").symlink_to("../../outside")
    (tree / "file").write_text("x")
    image = tmp_path / "links.iso"
    oracle.run("xorriso", "-as", "mkisofs", "-quiet", "-r", "-o", image, tree)
    outside = tmp_path / "outside"
    outside.mkdir()
    out = tmp_path / "out"
    words = ["iso", "extract", image, out]
    assert imgkit(*words).status == 0
    assert (out / "up").readlink().as_posix() == "../../outside"
    assert list(outside.iterdir()) == []
    assert_refused(tmp_path, *words, status=8, says="exists", hint="Name a directory")
    # "file" becomes a name that would lead out; the volume has it once in plain and once in Rock Ridge form.
    image.write_bytes(image.read_bytes().replace(b"NM\x09\x01\x00file", b"NM\x09\x01\x00../a"))
    words = ["iso", "extract", image, tmp_path / "other"]
    assert_refused(tmp_path, *words, status=4, says=str(image), hint="download it again")
    assert_refused(tmp_path, *words, "/nothing", status=11, says="/nothing", hint="imgkit ls")


def test_add_and_rm(tmp_path):
    """A file, a program and a directory come and go; the ISO's own check passes; the undo file takes it back."""
    image, tables = private_copy("iso-debian", tmp_path), report(fixture("iso-debian"))
    original = sha256(image)
    (tmp_path / "preseed.cfg").write_text("d-i debian-installer/locale string C\n")
    (tmp_path / "custom/empty").mkdir(parents=True)
    (tmp_path / "custom/late.sh").write_text("#!/bin/sh\n")
    (tmp_path / "custom/start").symlink_to("late.sh")
    sources = [tmp_path / "preseed.cfg", tmp_path / "custom"]
    done = imgkit("iso", "add", image, *sources, "/", "--in-place", "--undo", tmp_path / "u", "--json")
    assert done.status == 0, done.stderr
    check(dict(done.json), "iso-add/1")
    added = {"/preseed.cfg", "/custom", "/custom/empty", "/custom/late.sh", "/custom/start"}
    assert {change["path"] for change in done.json["changes"]} == added
    assert report(image) == tables
    before, after = files(fixture("iso-debian"), tmp_path / "before"), files(image, tmp_path / "after")
    assert {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)} == {
        *(added - {"/custom", "/custom/empty"}),
        "/md5sum.txt",
    }
    listed = imgkit("ls", image, "/custom", "--json").json["entries"]
    assert [entry["name"] for entry in listed] == ["empty", "late.sh", "start"]
    checked = subprocess.run(["md5sum", "--check", "--quiet", "md5sum.txt"], cwd=tmp_path / "after", check=False)
    assert checked.returncode == 0
    assert b"./custom/late.sh" in after["/md5sum.txt"]
    assert imgkit("iso", "rm", image, "-r", "/custom", "/preseed.cfg", "-o", tmp_path / "small.iso").status == 0
    assert files(tmp_path / "small.iso", tmp_path / "small") == before
    assert imgkit("undo", image, tmp_path / "u").status == 0
    assert sha256(image) == original


def test_add_and_rm_refuse(tmp_path):
    image = private_copy("iso-debian", tmp_path)
    disk = private_copy("small", tmp_path)
    preseed = tmp_path / "preseed.cfg"
    preseed.write_text("x")
    fifo = tmp_path / "custom"
    fifo.mkdir()
    (fifo / "fifo").symlink_to("nowhere")
    oracle.run("mkfifo", fifo / "pipe")
    for words, status, says, hint in (
        (["add", image, preseed], 2, "no files to add were given", "iso add ISO FILE /"),
        (["add", image, preseed, tmp_path / "none", "/"], 2, "none: no such file", "lists what exists"),
        (["add", image, preseed, preseed, "/name"], 2, "not a directory to put several", "/name/"),
        (["add", image, preseed, MENU], 11, "exists", "--replace"),
        (["add", image, fifo, "/"], 2, "neither a file nor a directory", "Leave it out"),
        (["add", disk, preseed, "/"], 5, "a disk, not an ISO", "imgkit write"),
        (["rm", image, "/none"], 11, "no such file", "imgkit ls"),
        (["rm", image, "/boot"], 11, "is a directory", "-r"),
        (["rm", image, "-r", "/"], 5, "needed to boot", "xorriso"),
        (["rm", image, "-r", "/boot"], 5, "needed to boot", "xorriso"),
    ):
        assert_refused(tmp_path, "iso", *words, "--in-place", status=status, says=says, hint=hint)
    assert imgkit("iso", "add", image, preseed, MENU, "--replace", "--in-place").status == 0
    assert imgkit("cat", image, MENU).text == "x"
