"""Many disks and ISOs of mixed families in one plan, broken ones among them; `make scale` does so with a thousand."""

import pytest

from tests.batch.scale import check, make
from tests.cli.command import imgkit

pytestmark = pytest.mark.batch


def test_counts_agree_with_a_check_of_every_output(tmp_path):
    broken = make(tmp_path, 60, 8)
    assert len(broken) == 4
    done = imgkit("batch", "run", tmp_path / "plan.toml", env={"SOURCE_DATE_EPOCH": "1700000000"})
    assert done.status == 1, done.stderr
    found = check(tmp_path, broken)
    assert found == {"done": 64, "failed": 4}
    assert done.stderr.endswith("imgkit: 64 done, 4 failed\n")
    for name in broken:
        assert f"{tmp_path}/{name}" in done.stderr
