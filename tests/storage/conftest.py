"""The image that tests of commits and journals work on."""

import pytest

from tests.support.journals import OLD


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.raw"
    path.write_bytes(OLD)
    return path
