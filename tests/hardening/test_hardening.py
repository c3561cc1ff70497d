"""Every attack with a small number of cases."""

import pytest

from tests.hardening.runner import AREAS, Budget, attack


@pytest.mark.parametrize("area", AREAS)
def test_an_attack_finds_nothing(area, capsys):
    figures = attack(area, Budget(cases=AREAS[area]))
    with capsys.disabled():
        print(f"\n{figures.table(area)}")
    assert figures.total > 0
    assert not figures.findings
