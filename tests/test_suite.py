"""How the suite itself runs for a newcomer: without the corpus, and from a login shell whose PATH has no /usr/sbin."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from imgkit.guest.finding import find_tool
from tests.support import corpus, oracle

ROOT = Path(__file__).parents[1]
LOGIN_PATH = "/usr/local/bin:/usr/bin:/bin"  # of `su -`, by Debian's /etc/login.defs
TESTS = """
import pytest
from tests.support import corpus, oracle

@pytest.mark.corpus
@pytest.mark.parametrize("name", sorted(corpus.manifest("iso")))
def test_names(name):
    pass

@pytest.mark.corpus
def test_marked():
    corpus.path("iso/MANIFEST.tsv")

def test_unmarked():
    corpus.path("iso/MANIFEST.tsv")

def test_tools():
    assert "debugfs" in oracle.run("env", "LC_ALL=C", "debugfs", "-V").stderr

def test_other():
    pytest.skip("another reason")
"""


def run(folder, **settings):
    """The outcome of these tests, under the suite's own conftest."""
    (folder / "conftest.py").write_bytes(ROOT.joinpath("tests/conftest.py").read_bytes())
    (folder / "test_it.py").write_text(TESTS)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = corpus\n")
    env = {name: value for name, value in os.environ.items() if name != "IMGKIT_CORPUS"}
    env |= {"PYTHONPATH": str(ROOT), "PATH": LOGIN_PATH} | settings
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", folder]
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False).stdout


def test_without_the_corpus_what_needs_it_is_skipped_for_one_reason_which_is_counted(tmp_path):
    shown = run(tmp_path)
    section = shown.partition("skipped, by reason")[2]
    assert re.search(rf"^ +2  {re.escape(corpus.NO_CORPUS)}$", section, re.MULTILINE), shown
    assert re.search(r"^ +1  another reason$", section, re.MULTILINE), shown
    assert "IMGKIT_CORPUS" in corpus.NO_CORPUS
    assert "1 failed, 1 passed, 3 skipped" in shown
    assert "FAILED test_it.py::test_unmarked - it reads the corpus" in shown


def test_with_a_corpus_nothing_is_skipped_for_it(tmp_path):
    folder = tmp_path / "corpus" / "iso"
    folder.mkdir(parents=True)
    (folder / "MANIFEST.tsv").write_text("file\twhat is true of it\na.iso\tclean\n")
    (tmp_path / "tests").mkdir()
    shown = run(tmp_path / "tests", IMGKIT_CORPUS=str(tmp_path / "corpus"))
    assert "4 passed, 1 skipped" in shown
    assert corpus.NO_CORPUS not in shown


def test_tools_are_found_where_debian_has_them(monkeypatch):
    oracle.find.cache_clear()
    monkeypatch.setenv("PATH", LOGIN_PATH)
    assert oracle.find("debugfs").endswith("/sbin/debugfs")
    assert (find_tool("mke2fs") or "").endswith("/sbin/mke2fs")
    assert find_tool("no-such-tool") is None
