"""The wheel and the source distribution: whole, and the same bytes whenever they are built."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def build(folder):
    words = [sys.executable, "-m", "hatchling", "build", "--directory", os.fspath(folder)]
    subprocess.run(
        words, cwd=ROOT, check=True, capture_output=True, env=os.environ | {"SOURCE_DATE_EPOCH": "1764547200"}
    )
    return {path.suffix: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    return build(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def committed():
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    return {name for name in done.stdout.split("\0") if name and (ROOT / name).exists()}


def test_the_source_distribution_holds_all_that_git_does(packages, committed):
    with tarfile.open(packages[".gz"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert committed - names == set()


def test_the_wheel_holds_the_package_and_its_data(packages, committed):
    with zipfile.ZipFile(packages[".whl"]) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        told = archive.read(metadata).decode()
    assert {name for name in committed if name.startswith("imgkit/")} - names == set()
    assert {name.partition("/")[0] for name in names} == {"imgkit"}
    assert "License-Expression: Apache-2.0\n" in told


def test_a_build_is_reproducible(packages, tmp_path):
    again = build(tmp_path)
    assert {suffix: path.read_bytes() for suffix, path in again.items()} == {
        suffix: path.read_bytes() for suffix, path in packages.items()
    }
