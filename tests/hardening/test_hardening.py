"""Every attack with a small number of cases."""

from contextlib import suppress

import pytest

from imgkit.errors import ImgkitError
from tests.hardening.parsers import PARSERS
from tests.hardening.runner import AREAS, Budget, attack


@pytest.mark.parametrize("area", AREAS)
def test_an_attack_finds_nothing(area, capsys):
    figures = attack(area, Budget(cases=AREAS[area]))
    with capsys.disabled():
        print(f"\n{figures.table(area)}")
    assert figures.total > 0
    assert not figures.findings


@pytest.mark.parametrize("name", PARSERS)
def test_inputs_that_fuzzing_kept_are_taken_or_refused(name):
    parser = PARSERS[name]
    parser.feed(parser.seeds()[0])
    for data in parser.seeds()[1:]:
        with suppress(ImgkitError):
            parser.feed(data)
