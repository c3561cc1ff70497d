"""Whether a machine would be silent on the port that it has: ttyS0, whatever port the image talks on."""

from contextlib import ExitStack

import pytest

from imgkit.console.judge import Verdict
from imgkit.errors import UnsupportedError
from imgkit.vm.install.enabling import enable_disk, enabled_iso, has_console
from tests.cli.command import imgkit
from tests.support import cases
from tests.support.disks import sha256
from tests.support.images import private_copy


@pytest.mark.parametrize(("options", "heard"), [([], True), (["--baud", "9600"], True), (["--port", "ttyS1"], False)])
def test_a_console_on_the_machines_own_port_is_enough(tmp_path, options, heard):
    image = private_copy("small-qcow2", tmp_path)
    assert not has_console(image)
    assert imgkit("console", "enable", image, "--in-place", *options).status == 0
    assert has_console(image) == heard


def test_a_disk_that_can_be_enabled_in_part_is_started_and_said_to_be_so(tmp_path):
    image = cases.make_disk("a sealed half", tmp_path)
    before = sha256(image)
    with ExitStack() as undo:
        enabled = enable_disk(image, undo)
        assert enabled is not None
        assert enabled.judgement.verdict is Verdict.PARTLY
        assert enabled.undo.exists()
        assert enable_disk(image, ExitStack()) is None, "nothing is left to change"
    assert sha256(image) == before
    assert not enabled.undo.exists()


def test_a_disk_that_cannot_be_enabled_is_left_alone(tmp_path):
    image = cases.make_disk("Windows only", tmp_path)
    before = sha256(image)
    with pytest.raises(UnsupportedError, match="no Linux boot entry found") as caught:
        enable_disk(image, ExitStack())
    assert "--no-enable" in (caught.value.hint or "")
    assert sha256(image) == before


@pytest.mark.parametrize(("name", "verdict"), [("debian", Verdict.ENABLED), ("a sealed half", Verdict.PARTLY)])
def test_the_copy_of_an_iso_is_judged_also_when_it_is_there_already(tmp_path, monkeypatch, name, verdict):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    image = cases.make_iso(name, tmp_path)
    first = enabled_iso(image)
    assert first.path != image
    assert first.judgement is not None
    assert first.judgement.verdict is verdict
    again = enabled_iso(image)
    assert (again.path, again.judgement and again.judgement.failing) == (first.path, first.judgement.failing)
    whole = enabled_iso(first.path)
    assert (whole.path == first.path) == (verdict is Verdict.ENABLED)
