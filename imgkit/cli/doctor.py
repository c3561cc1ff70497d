"""`imgkit doctor`: what works on this machine, and how to get the rest."""

from __future__ import annotations

import typer

from imgkit.cli.options import AsJson

_EXTRAS = (
    ("fsspec", "images by URL beside HTTP and S3", "remote"),
    ("boto3", "images by URL: S3", "s3"),
    ("distributed", "batches on many machines", "distributed"),
)


def doctor(*, as_json: AsJson = False) -> None:
    """Show what works on this machine, and how to get what is missing (exit status 1 if anything is).

    Engines, libvirt, UEFI firmware, tools and optional parts. The user's libvirt daemon is started to ask it.

    Examples:
      imgkit doctor
      imgkit doctor --json
    """
    from imgkit.cli.render import out, print_json
    from imgkit.guest.checkup import check_engines
    from imgkit.guest.finding import look_for_module
    from imgkit.location.checkup import check_tools
    from imgkit.vm.checkup import check_machines

    extras = [look_for_module(module, serves, f"pip install 'imgkit-vm[{extra}]'") for module, serves, extra in _EXTRAS]
    findings = [*check_engines(), *check_machines(), *check_tools(), *extras]
    if as_json:
        print_json("doctor", 1, {"findings": findings})
    else:
        for finding in findings:
            out(f"{'ok     ' if finding.ok else 'MISSING'} {finding.part:<16} {finding.message}  ({finding.serves})")
            if finding.remedy:
                out(f"        {finding.remedy}")
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)
