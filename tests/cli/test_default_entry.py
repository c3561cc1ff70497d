"""`imgkit console enable --default`: what an ISO boots by itself, in the message, in JSON and in a batch's report."""

from __future__ import annotations

import json

import pytest

from tests.cli.command import assert_refused, imgkit
from tests.support import oracle

ISOLINUX = """default vesamenu.c32
prompt 0
timeout 0
label gui
  menu label Graphical install
  menu default
  kernel /install/vmlinuz
  append vga=788 initrd=/install/gtk/initrd.gz --- quiet
label text
  menu label Install
  kernel /install/vmlinuz
  append vga=788 initrd=/install/initrd.gz --- quiet
menu begin advanced
  menu title Advanced options
label expert
  menu label Expert install
  kernel /install/vmlinuz
  append priority=low initrd=/install/initrd.gz ---
menu end
"""
TWIN = (
    "/isolinux/isolinux.cfg: now boots 'Install' by default, instead of 'Graphical install' "
    "(the same installer in text)"
)
TIMER = "/isolinux/isolinux.cfg: now boots after 10 s (before: waits for a key, with no timeout)"


@pytest.fixture
def image(tmp_path):
    """An ISO with one boot menu."""
    tree = tmp_path / "tree"
    (tree / "isolinux").mkdir(parents=True)
    (tree / "isolinux/isolinux.cfg").write_text(ISOLINUX)
    image = tmp_path / "small.iso"
    oracle.run("xorriso", "-as", "mkisofs", "-quiet", "-r", "-o", image, tree)
    return image


def menu(image):
    return imgkit("cat", image, "/isolinux/isolinux.cfg").text


def test_what_changes_is_reported_in_words_and_in_json(image, tmp_path):
    done = imgkit("console", "enable", image, "-o", tmp_path / "a.iso")
    assert done.status == 0
    assert TWIN in done.stderr
    assert TIMER in done.stderr
    told = json.loads(imgkit("console", "enable", image, "-o", tmp_path / "b.iso", "--json").stdout)
    assert told["announcements"] == [TWIN, TIMER]


def test_keep_changes_neither(image, tmp_path):
    told = json.loads(
        imgkit("console", "enable", image, "-o", tmp_path / "a.iso", "--default", "keep", "--json").stdout
    )
    assert told["announcements"] == []
    after = menu(tmp_path / "a.iso")
    assert "\ntimeout 0\n" in after
    assert after.index("menu default") < after.index("label text")


def test_a_title_names_an_entry_of_a_submenu(image, tmp_path):
    words = ("--default", "advanced options > Expert install")
    done = imgkit("console", "enable", image, "-o", tmp_path / "a.iso", *words)
    assert "now boots 'Advanced options>Expert install' by default" in done.stderr
    assert "\nontimeout expert\n" in menu(tmp_path / "a.iso")
    again = imgkit("console", "enable", tmp_path / "a.iso", "--in-place", *words)
    assert "nothing to change" in again.stderr


def test_a_title_that_no_menu_has_is_refused(image, tmp_path):
    words = ("console", "enable", image, "-o", tmp_path / "a.iso", "--default", "Expert mode")
    assert_refused(
        tmp_path, *words, status=2, says="--default 'Expert mode': no boot menu", hint="'Advanced options>Expert"
    )


def test_a_batchs_ledger_has_the_announcements(image, tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text(
        f'inputs = ["{image.name}"]\noutput = "out-{{name}}"\n[operation]\nkind = "console enable"\ndefault = "text"\n'
    )
    assert imgkit("batch", "run", plan).status == 0
    lines = imgkit("batch", "status", plan, "--json").stdout.splitlines()
    assert [TWIN, TIMER] in [json.loads(line).get("announcements") for line in lines]
