"""`iso answers`: Debian's own installer, told by every menu; `inspect` warns, checksums hold, undo brings all back."""

import shutil

import pytest

from tests.cli.command import assert_refused, imgkit
from tests.cli.test_json import check
from tests.support import oracle
from tests.support.disks import sha256
from tests.support.images import private_copy

PRESEED = """#_preseed_V1
d-i debian-installer/locale string C
d-i passwd/root-password password secret
"""


@pytest.fixture
def iso(tmp_path):
    return private_copy("iso-debian", tmp_path)


def test_a_medium_that_answers_and_back(iso, tmp_path):
    before, undo, preseed = sha256(iso), tmp_path / "undo", tmp_path / "preseed.cfg"
    preseed.write_text(PRESEED)
    assert "WITHOUT ASKING: 'Advanced options>" in imgkit("inspect", iso).text.replace("Automated install", "")
    words = ("iso", "answers", iso, preseed, "--in-place", "--undo", undo, "--check", "--default", "Install")
    done = imgkit(*words)
    assert done.status == 0, done.stderr
    assert "debconf-set-selections accepts it" in done.stderr
    assert "This medium now ERASES disks without asking" in done.stderr
    assert "'Install' is the default, and erases" in done.stderr
    assert "secret" not in done.stderr
    assert "'Install'" in next(line for line in imgkit("inspect", iso).text.splitlines() if "MAY ERASE" in line)
    assert imgkit("cat", iso, "/preseed.cfg").text == PRESEED
    for menu in ("/boot/grub/grub.cfg", "/isolinux/txt.cfg"):
        assert "auto=true priority=critical preseed/file=/cdrom/preseed.cfg" in imgkit("cat", iso, menu).text
    oracle.run("xorriso", "-osirrox", "on", "-indev", iso, "-extract", "/", tmp_path / "tree")
    oracle.run("sh", "-c", f"cd {tmp_path}/tree && md5sum --quiet -c md5sum.txt")
    again = imgkit("iso", "answers", iso, preseed, "--in-place", "--default", "Install", "--json")
    assert again.json["changed"] is False
    assert again.json["answers"] == "preseed"
    check(again.json, "iso-answers/1", whole=False)
    assert imgkit("undo", iso, undo).status == 0
    assert sha256(iso) == before
    oracle.run("chmod", "-R", "u+w", tmp_path / "tree")  # as files of a CD are
    shutil.rmtree(tmp_path / "tree")


def test_the_wrong_kind_and_a_broken_file_are_refused(iso, tmp_path):
    file = tmp_path / "ks.cfg"
    file.write_text("rootpw secret\nclearpart --all\n")
    words = ("iso", "answers", iso, file, "--in-place")
    assert_refused(tmp_path, *words, status=5, says="is a kickstart, which", hint="this distribution's installer")
    file.write_text("hello\n")
    assert_refused(tmp_path, *words, status=2, says="neither a preseed", hint="detected from the contents")
    file.write_text("d-i broken\n")
    assert_refused(tmp_path, *words, "--check", status=2, says="debconf-set-selections rejects it", hint="omit --check")


@pytest.mark.batch
def test_a_batch_of_media(iso, tmp_path):
    (tmp_path / "isos").mkdir()
    iso.rename(tmp_path / "isos" / "a.iso")
    (tmp_path / "preseed.cfg").write_text(PRESEED)
    plan = tmp_path / "plan.toml"
    plan.write_text(
        'inputs = ["isos/*.iso"]\noutput = "auto/{stem}.iso"\n'
        '[operation]\nkind = "iso answers"\nfile = "preseed.cfg"\ndefault = "Install"\n'
    )
    done = imgkit("batch", "run", plan, "--ledger", tmp_path / "ledger", cwd=tmp_path)
    assert done.status == 0, done.stderr
    assert imgkit("cat", tmp_path / "auto" / "a.iso", "/preseed.cfg").text == PRESEED
    kept = [path for path in (tmp_path / "ledger").rglob("*") if path.is_file() and b"secret" in path.read_bytes()]
    assert [path.name for path in kept] == ["1.undo"]
    assert kept[0].stat().st_mode & 0o777 == 0o600
    again = imgkit("batch", "run", plan, "--ledger", tmp_path / "ledger", cwd=tmp_path)
    assert again.status == 0, again.stderr
    (tmp_path / "preseed.cfg").unlink()
    assert "preseed.cfg" in imgkit("batch", "run", plan, "--ledger", tmp_path / "ledger", cwd=tmp_path).stderr
