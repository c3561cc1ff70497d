"""What doctor says of this machine, on which every engine is known to work."""

import pytest

from imgkit.guest.checkup import check_engines
from tests.support import oracle


@pytest.mark.appliance
def test_finds_everything_that_the_suite_needs():
    findings = {finding.part: finding for finding in check_engines()}
    assert [finding for finding in findings.values() if not finding.ok] == []
    assert findings["QEMU"].message == str(oracle.find("qemu-system-x86_64"))
    assert findings["kernel"].message.startswith("/boot/vmlinuz-")
    assert not any(finding.remedy for finding in findings.values())
