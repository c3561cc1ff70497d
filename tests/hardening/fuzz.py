"""`python -m tests.hardening.fuzz [--minutes M] [PARSER...]`: fuzz each parser for so long, guided by coverage.

Needs atheris (the extra `fuzz`). Of what reached something new, `seeds` keeps as few inputs as reach all of it, and
mutation begins with them too. Exit status 1 if a parser raised anything but an ImgkitError, or took too long.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imgkit
from imgkit.errors import ImgkitError
from tests.hardening import seeds
from tests.hardening.parsers import PARSERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import CodeType, FrameType

_OURS = str(Path(imgkit.__file__).parent)
_SECONDS_OF_ONE = 10
_MEGABYTES = 1024
_EXECUTED = re.compile(r"stat::number_of_executed_units: (\d+)|^Done (\d+) runs", re.MULTILINE)


def main() -> int:
    """Fuzz the parsers that are asked for; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.hardening.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1, help="time for each parser [default: 1]")
    parser.add_argument("--seed", type=int, default=1, help="of the fuzzer's own choices [default: 1]")
    parser.add_argument("parsers", nargs="*", metavar="PARSER", help="[default: all]")
    wanted = parser.parse_args()
    if unknown := sorted(set(wanted.parsers) - set(PARSERS)):
        parser.error(f"no such parser: {', '.join(unknown)}")
    found = 0
    for name in wanted.parsers or PARSERS:
        executed, problem = _fuzz(name, wanted.minutes * 60, wanted.seed)
        print(f"{name:<20} {executed:>10,} executions, {len(seeds.load(name)):>4} seeds kept", flush=True)
        if problem:
            found += 1
            print(f"{name:<20} FOUND {problem}", flush=True)
    return 1 if found else 0


def _fuzz(name: str, seconds: float, seed: int) -> tuple[int, str]:
    """How often a parser ran, and what it was told by, if by anything but an error of ours."""
    with tempfile.TemporaryDirectory() as folder:
        corpus, artefacts = Path(folder) / "corpus", Path(folder) / "artefacts"
        corpus.mkdir()
        artefacts.mkdir()
        for number, data in enumerate(PARSERS[name].seeds()):
            (corpus / str(number)).write_bytes(data)
        limits = [f"-timeout={_SECONDS_OF_ONE}", f"-rss_limit_mb={_MEGABYTES}", f"-seed={seed}"]
        longest = max(path.stat().st_size for path in corpus.iterdir())
        limits.append(f"-max_len={max(4096, longest)}")
        ended = _child(
            name,
            *limits,
            "-print_final_stats=1",
            f"-max_total_time={int(seconds)}",
            f"-artifact_prefix={artefacts}/",
            corpus,
        )
        counts = [int(one or two) for one, two in _EXECUTED.findall(ended.stderr)]
        executed = max(counts, default=0)
        broken = [path.read_bytes() for path in artefacts.iterdir()]
        if ended.returncode or broken:
            inputs = "; ".join(repr(data[:300]) for data in broken)
            return executed, f"{ended.stderr[-1500:]}\ninput: {inputs}"
        seeds.save(name, _least(name, (path.read_bytes() for path in corpus.iterdir())))
        return executed, ""


def _least(name: str, inputs: Iterable[bytes]) -> list[bytes]:
    """Of some inputs, short ones first, those that reach a line of ours which none before has reached."""
    reached: set[tuple[CodeType, int]] = set()
    kept = []

    def trace(frame: FrameType, event: str, _argument: object) -> Callable[..., Any] | None:
        if not frame.f_code.co_filename.startswith(_OURS):
            return None
        if event == "line":
            reached.add((frame.f_code, frame.f_lineno))
        return trace

    for data in sorted(inputs, key=lambda data: (len(data.rstrip(b"\0")), data)):
        before = len(reached)
        sys.settrace(trace)
        with suppress(ImgkitError):
            PARSERS[name].feed(data)
        sys.settrace(None)
        if len(reached) > before:
            kept.append(data)
    return kept


def _child(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.hardening.fuzzed", name, *map(str, arguments)]
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, errors="replace", check=False)


if __name__ == "__main__":
    sys.exit(main())
