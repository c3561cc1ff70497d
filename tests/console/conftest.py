"""Installed systems, made as a test asks for them."""

import pytest

from tests.support.guests import OS_RELEASE, Part, make_file_system


@pytest.fixture
def system(tmp_path):
    """A function that makes a whole-disk image with these files."""

    def make(*trees, **more):
        files = {"/etc/os-release": OS_RELEASE.encode(), "/etc/fstab": b""}
        for tree in (*trees, more):
            files |= tree
        return make_file_system(tmp_path / "disk.img", Part("ext4", files, size=24))

    return make
