"""What `console enable` promises of every image: status agrees with it, twice is once, undo brings every byte back.

It is held to that on all constructed images (`tests.support.cases`), fixtures, and files of the corpus.
"""

from __future__ import annotations

import os
import re
from types import SimpleNamespace

import pytest

import imgkit
from fixtures.catalog import GROUPS
from imgkit.cli.main import EXIT_STATUS, status_of_verdict
from imgkit.configtext.options import EnableOptions
from imgkit.console import contents as consoles
from imgkit.console.judge import Verdict, judge
from imgkit.iso.medium import IsoImage
from imgkit.tree import apply_changes
from tests.cli.command import imgkit as command
from tests.support import cases, corpus
from tests.support.disks import fingerprint
from tests.support.images import private_copy
from tests.support.memoryguest import MemoryGuest
from tests.support.memorytree import MemoryTree

NATIVE = imgkit.EngineChoice.NATIVE


def hold(image, engine=NATIVE):
    """Hold an image to the promises; whether it could be enabled at all. It is edited in place."""
    source = imgkit.ImageSource(image, engine=engine if image.suffix != ".iso" else imgkit.EngineChoice.AUTO)
    before, undo = fingerprint(image), image.with_name(f"{image.name}.undo")
    try:
        first = imgkit.enable_console(source, imgkit.InPlace(), undo=undo)
    except imgkit.ImgkitError as error:
        refused = error
    else:
        refused = None
    if refused is not None:
        assert refused.hint or not isinstance(refused, imgkit.UnsupportedError), f"{refused} says nothing of what to do"
        assert fingerprint(image) == before
        assert not undo.exists()
        assert not says_enabled(source)
        return False
    assert says_enabled(source) == (first.verdict is Verdict.ENABLED)
    assert imgkit.console_status(source, first.console).enabled == (first.verdict is Verdict.ENABLED)
    assert bool(first.failing) == (first.verdict is Verdict.PARTLY)
    after = fingerprint(image)
    again = imgkit.enable_console(source, imgkit.InPlace())
    assert (again.verdict, again.changes, again.announcements) == (first.verdict, (), ())
    assert fingerprint(image) == after
    if first.changes:
        imgkit.undo(image, undo)
        undo.unlink()
    assert fingerprint(image) == before
    return True


def says_enabled(source):
    try:
        return imgkit.console_status(source).enabled
    except imgkit.ImgkitError:
        return False


@pytest.mark.parametrize("name", cases.DISKS)
def test_constructed_disks(name, tmp_path):
    hold(cases.make_disk(name, tmp_path))


@pytest.mark.parametrize("name", cases.ISOS)
def test_constructed_isos(name, tmp_path):
    hold(cases.make_iso(name, tmp_path))


@pytest.mark.parametrize("name", GROUPS["all"])
def test_fixtures(name, tmp_path):
    hold(private_copy(name, tmp_path))


def test_a_fixture_that_takes_a_kernel(tmp_path):
    assert hold(private_copy("d", tmp_path), imgkit.EngineChoice.UML)


@pytest.mark.corpus
@pytest.mark.parametrize("folder", ["ext4", "iso", "partitions", "qcow2"])
def test_images_of_the_corpus(folder, tmp_path):
    image = tmp_path / "image"
    names = [name for name in corpus.manifest(folder) if corpus.path(name).is_file()]
    for name in names:
        image.write_bytes(corpus.content(name))
        try:
            hold(image)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
    assert len(names) > 50


PLACES = ["/boot/grub/grub.cfg", "/boot/extlinux/extlinux.conf", "/boot/grub/menu.lst", "/boot/loader/entries/a.conf"]


@pytest.mark.corpus
@pytest.mark.parametrize("place", PLACES)
def test_menus_of_the_corpus_on_a_disk(place):
    for name in menus():
        files = cases.BASE | cases.SYSTEMD | {place: corpus.content(name)}
        hold_tree(name, SimpleNamespace(tree=MemoryGuest(files)))


@pytest.mark.corpus
@pytest.mark.parametrize("place", ["/boot/grub/grub.cfg", "/isolinux/isolinux.cfg", "/EFI/BOOT/grub.cfg"])
def test_menus_of_the_corpus_on_an_iso(place):
    for name in menus():
        tree = MemoryTree({place: corpus.content(name)})
        tree.boot_roots = tuple
        hold_tree(name, IsoImage(tree, lambda: None))


def menus():
    """Files that may be boot menus; what they are is found out by reading them as each kind of menu."""
    return [name for name in corpus.manifest("bootcfg") if corpus.path(name).is_file()]


def hold_tree(name, contents):
    """Hold what an image contains to the same, in memory."""
    announced = []
    try:
        console = consoles.console_to_enable(contents, None)
        changes = consoles.enable(contents, console, EnableOptions(), announce=announced.append)
    except imgkit.ImgkitError:
        return
    apply_changes(contents.tree, changes)
    judgement = judge(consoles.status(contents, console), announced)
    agrees = consoles.status(contents, None).enabled == (judgement.verdict is Verdict.ENABLED)
    assert agrees or judgement.verdict is Verdict.NOT, f"{name}: {judgement}"
    again = consoles.enable(contents, console, EnableOptions(), announce=announced.append)
    assert again == [], f"{name}: {[change.diff() for change in again]}"


@pytest.mark.parametrize(
    ("name", "status"),
    [("debian", 0), ("a sealed half", 15), ("Windows only", 5), ("no system", 10)],
)
def test_the_commands_statuses_agree(name, status, tmp_path):
    image = cases.make_disk(name, tmp_path)
    enabled = command("console", "enable", image, "--in-place")
    assert enabled.status == status, enabled.stderr
    assert (command("console", "status", image).status == 0) == (status == 0)
    again = command("console", "enable", image, "--in-place", "--json")
    assert again.status == status
    if status in (0, 15):
        assert again.json["verdict"] == ("partly" if status else "enabled")
        assert again.json["changed"] is False
        assert status_of_verdict(again.json["verdict"]) == status
        assert "nothing to change" in command("console", "enable", image, "--in-place").stderr
    strict = command("console", "enable", image, "--in-place", "--strict")
    assert strict.status == status
    assert EXIT_STATUS[imgkit.PartlyEnabledError] == 15
    assert ("error:" in strict.stderr) == (status != 0)


def test_status_says_what_to_do_where_enabling_does_not_mend_it(tmp_path):
    lines = command("console", "status", cases.make_disk("LILO", tmp_path)).text.splitlines()
    (at,) = [number for number, line in enumerate(lines) if "is read by LILO" in line]
    assert lines[at + 1] == "        Add the console to the kernel arguments in /etc/lilo.conf with `imgkit edit`."
    assert not [line for line in lines if line.startswith("        ")][1:]


def test_what_is_enabled_in_part_is_told_with_what_to_do(tmp_path):
    image = cases.make_disk("a sealed half", tmp_path)
    done = command("console", "enable", image, "--dry-run", env={"COLUMNS": "80"})
    assert done.status == 15
    assert "serial console ttyS0 enabled in part" in done.stderr
    assert re.search(r"enabled: boot loader \(.*/boot/grub/grub\.cfg.*\), kernel \(/boot/grub/grub\.cfg\)", done.stderr)
    (told,) = [line for line in done.stderr.splitlines() if "NOT enabled: " in line]
    assert "kernel under UEFI: " in told
    assert "/boot/efi/EFI/Linux/a.efi" in told
    assert ". Fix: " in told
    assert os.fspath(image) in done.stderr
