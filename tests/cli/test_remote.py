"""Images by URL, through the commands, from a server on loopback."""

import pytest

from imgkit.units import MIB
from tests.cli.command import imgkit
from tests.cli.test_json import check
from tests.support.disks import sha256
from tests.support.images import fixture, private_copy
from tests.support.webserver import Manners, serving

ENABLE = ("console", "enable")
WHEN = {"SOURCE_DATE_EPOCH": "1700000000"}


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no-ranges"])
@pytest.mark.parametrize("name", ["iso-debian", "a"])
def test_a_new_file_is_what_it_is_from_a_local_image(name, ranges, tmp_path):
    source = private_copy(name, tmp_path)
    manners = Manners(source, ranges=ranges)
    with serving(manners) as url:
        done = imgkit(*ENABLE, f"{url}?token=hush", "-o", tmp_path / "out", "--undo", tmp_path / "u", env=WHEN)
    assert done.status == 0, done.stderr
    assert "hush" not in done.stderr
    assert ("not support ranges" in done.stderr) is (not ranges)
    local = imgkit(*ENABLE, source, "-o", tmp_path / "local", env=WHEN)
    assert local.status == 0
    assert sha256(tmp_path / "out") == sha256(tmp_path / "local")
    assert imgkit("undo", tmp_path / "out", tmp_path / "u").status == 0
    assert sha256(tmp_path / "out") == sha256(source)


def test_a_plan_reads_only_what_it_needs(tmp_path):
    # Before another entry becomes the default, initial RAM disks are looked through, which are read as a whole.
    source = fixture("iso-debian-400")
    manners = Manners(source)
    with serving(manners) as url:
        keep = (*ENABLE, url, "--default", "keep", "--dry-run")
        looks = [("inspect", url), ("console", "status", url), ("ls", url, "/isolinux"), keep]
        for words in looks:
            manners.sent.clear()
            manners.requests.clear()
            done = imgkit(*words)
            assert done.status in (0, 1, 15), done.stderr
            assert sum(manners.sent) < 16 * MIB, words
        manners.sent.clear()
        manners.requests.clear()
        done = imgkit(*ENABLE, url, "--default", "keep", "-o", tmp_path / "out.iso")
        assert done.status in (0, 15), done.stderr
    assert sum(manners.sent) < source.stat().st_size + 16 * MIB


def test_a_stream_in_and_out(tmp_path):
    source = fixture("iso-debian")
    with serving(Manners(source)) as url:
        piped = imgkit(*ENABLE, url, "-o", "-", env=WHEN)
    assert piped.status == 0, piped.stderr
    assert imgkit(*ENABLE, source, "-o", tmp_path / "local", env=WHEN).status == 0
    assert piped.stdout == (tmp_path / "local").read_bytes()


def test_json_shows_the_url_without_its_secrets():
    with serving(Manners(fixture("iso-debian"), password=True), user="anne:secret") as url:
        told = imgkit("ls", f"{url}?token=hush", "/", "--json")
    assert told.status == 0, told.stderr
    check(told.json, "ls/1")
    assert told.json["image"].endswith("/image.iso")
    assert "secret" not in told.text
    assert "hush" not in told.text


def test_files_of_an_iso_are_extracted(tmp_path):
    with serving(Manners(fixture("iso-debian"))) as url:
        done = imgkit("iso", "extract", url, tmp_path / "menus", "/isolinux")
    assert done.status == 0, done.stderr
    assert (tmp_path / "menus" / "isolinux.cfg").is_file()


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("{url}", "--in-place"), 8, "-o OUT"),
        (("{url}", "-o", "{folder}/exists"), 8, "exists"),
        (("{url}/gone", "-o", "{folder}/new", "--engine", "guestfs"), 2, "engine"),
        (("http://127.0.0.1:9/x.iso", "-o", "{folder}/new"), 3, "reached"),
        (("nonsense://host/x.iso", "-o", "{folder}/new"), 3, "nonsense"),
    ],
)
def test_refusals(words, status, told, tmp_path):
    (tmp_path / "exists").touch()
    manners = Manners(fixture("iso-isolinux"))
    with serving(manners) as url:
        done = imgkit(*ENABLE, *(word.format(url=url, folder=tmp_path) for word in words))
    assert done.status == status, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["exists"]


@pytest.mark.parametrize("words", [("undo", "x.undo"), ("recover",)])
def test_there_is_nothing_to_take_back_elsewhere(words):
    done = imgkit(words[0], "https://anne:secret@host.example/x.iso", *words[1:])
    assert done.status == 5
    assert "https://host.example/x.iso: nothing is edited there" in done.stderr
    assert "secret" not in done.stderr


def test_a_file_that_is_replaced_meanwhile_leaves_nothing(tmp_path):
    manners = Manners(fixture("iso-debian"))
    with serving(manners) as url:
        assert imgkit(*ENABLE, url, "--dry-run").status == 0
        manners.changes_at = 2 * len(manners.requests)  # after the same planning again
        done = imgkit(*ENABLE, url, "-o", tmp_path / "new")
    assert done.status == 7, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_image_with_a_backing_file_is_refused(tmp_path):
    source = private_copy("small-backing", tmp_path)
    with serving(Manners(source)) as url:
        done = imgkit("inspect", url)
    assert done.status == 5
    assert "backing file" in done.stderr
