"""`imgkit doctor`: what works on this machine, and how to get the rest."""

from __future__ import annotations

import typer

from imgkit.cli.options import AsJson


def doctor(*, as_json: AsJson = False) -> None:
    """Tell which engines work on this machine, and how to get what is missing (exit status 1 if anything is).

    Examples:
      imgkit doctor
      imgkit doctor --json
    """
    from imgkit.cli.render import out, print_json
    from imgkit.guest.checkup import check_engines

    findings = check_engines()
    if as_json:
        print_json("doctor", 1, {"findings": findings})
    else:
        for finding in findings:
            out(f"{'ok     ' if finding.ok else 'MISSING'} {finding.part:<16} {finding.message}  ({finding.serves})")
            if finding.remedy:
                out(f"        {finding.remedy}")
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)
