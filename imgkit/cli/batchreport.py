"""`imgkit batch report`: a page that tells a person what a batch came to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgkit.cli.batching import LedgerFolder
from imgkit.cli.options import AsJson

if TYPE_CHECKING:
    from imgkit.batch.report import Report

_STREAM = Path("-")


def report(
    plan: Annotated[
        Path,
        typer.Argument(
            metavar="BATCH", readable=False, help="The plan, or the folder of the batch's ledger.", show_default=False
        ),
    ],
    *,
    ledger: LedgerFolder = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The page to write; - is standard output.")
    ] = Path("report.html"),
    force: Annotated[bool, typer.Option("--force", help="Replace the page if it exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write one HTML page about a batch: totals, failures by cause, maps of the images, diffs, times.

    It needs no network and no server, and can be made while the batch runs. With --json the figures are printed too.

    Examples:
      imgkit batch report plan.toml
      imgkit batch report serial.batch -o serial.html --force
      imgkit batch report plan.toml --json
    """
    from imgkit.batch.ledger import ledger_folder, open_ledger
    from imgkit.batch.report import make_report
    from imgkit.batch.reportpage import render
    from imgkit.cli.render import emit, note, print_json
    from imgkit.editing import clock
    from imgkit.errors import UsageError
    from imgkit.storage.output import NewFile, write_new_file

    if as_json and output == _STREAM:
        raise UsageError("--json and -o - both write to standard output", hint="Write the page to a file.")
    with open_ledger(ledger or ledger_folder(plan), alone=False) as opened:
        made = make_report(opened)
    page = render(made, clock() // 1_000_000_000).encode()
    if output == _STREAM:
        emit(page)
        return
    write_new_file(NewFile(output, force), page)
    if as_json:
        print_json("batch-report", 1, _document(made, output))
    else:
        note(f"{len(made.images):,} image{'s' if len(made.images) != 1 else ''}: written to {output}")


def _document(made: Report, output: Path) -> dict[str, Any]:
    names = {image.number: image.input for image in made.images}
    return {
        "output": output,
        "counts": made.counts,
        "causes": [
            {
                "error": cause.error,
                "message": cause.message,
                "hint": cause.hint,
                "images": [names[number] for number in cause.images],
            }
            for cause in made.causes
        ],
        "partly": [
            {"image": image.input, "failing": image.outcome.failing} for image in made.images if image.outcome.failing
        ],
        "timings": [
            {
                "engine": timing.engine,
                "images": len(timing.seconds),
                "seconds": sum(timing.seconds),
                "median": timing.quantile(0.5),
                "within_95": timing.quantile(0.95),
                "longest": timing.seconds[-1],
            }
            for timing in made.timings
        ],
    }
