"""What all tests have in common."""

import signal
from collections import Counter

import pytest

from tests.support import corpus, lane


@pytest.fixture(autouse=True, scope="session")
def _signals_are_heard() -> None:
    """Hear SIGHUP and SIGINT as a terminal's command does: nohup and background jobs leave them ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="the tests that take no machine, no tool and no built image")


def pytest_configure(config):
    lane.choose(quick=config.getoption("--quick"))


def pytest_collection_modifyitems(config, items):
    """Leave out what is slow in the quick lane; skip the corpus's tests where there is none, for one reason.

    The latter by their mark, as its names may be the tests' parameters.
    """
    if lane.is_quick():
        slow = [item for item in items if any(item.get_closest_marker(mark) for mark in lane.SLOW)]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in set(slow)]
    if corpus.root() is None:
        for item in items:
            if item.get_closest_marker("corpus"):
                item.add_marker(pytest.mark.skip(reason=corpus.NO_CORPUS), append=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Fail a test that wants the corpus and is not marked so: a run of `-m corpus` would pass it over."""
    report = yield
    if report.skipped and not item.get_closest_marker("corpus") and _reason(report) == corpus.NO_CORPUS:
        report.outcome, report.longrepr = "failed", "it reads the corpus: mark it with pytest.mark.corpus"
    return report


def pytest_terminal_summary(terminalreporter):
    """How many tests were skipped, by reason, the most frequent first."""
    reasons = Counter(map(_reason, terminalreporter.stats.get("skipped", ())))
    if reasons:
        terminalreporter.section("skipped, by reason")
        for reason, number in reasons.most_common():
            terminalreporter.line(f"{number:6}  {reason}")


def _reason(report):
    return report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else str(report.longrepr)
