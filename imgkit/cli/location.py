"""`imgkit location`: install trees, and the kernels that start their installers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgkit.cli.compose import add_command
from imgkit.cli.options import AsJson

if TYPE_CHECKING:
    from imgkit.installers.trees import InstallTree

app = typer.Typer(no_args_is_help=True, help="Inspect install trees over HTTP, FTP or NFS, in directories and on ISOs.")

Location = Annotated[
    str,
    typer.Argument(metavar="LOCATION", help="A URL (http, https, ftp, nfs), directory or ISO.", show_default=False),
]
Architecture = Annotated[
    str | None, typer.Option("--arch", metavar="NAME", help="Architecture, if the tree has several: amd64, aarch64.")
]


def inspect(location: Location, *, arch: Architecture = None, as_json: AsJson = False) -> None:
    """Show what an install tree holds: distribution, kernel, initial RAM disk, and their checksums.

    Examples:
      imgkit location inspect https://deb.debian.org/debian/dists/stable/
      imgkit location inspect debian-12-netinst.iso --json
    """
    from imgkit.cli.render import out, print_json
    from imgkit.location.tree import find_tree

    tree = find_tree(location, architecture=arch)
    if as_json:
        print_json("location-inspect", 1, _document(tree))
        return
    out(" ".join(filter(None, (tree.distribution, tree.version, tree.architecture, f"(family {tree.family})"))))
    for what, path in (("kernel", tree.kernel), ("initrd", tree.initrd)):
        out(f"  {what}  {path}  {tree.checksums.get(path, 'no checksum')}")


def fetch(
    location: Location,
    *,
    arch: Architecture = None,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", readable=False, help="Where to keep the files. [default: ~/.cache/imgkit/boot]"),
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Accept checksum mismatches.")] = False,
    as_json: AsJson = False,
) -> None:
    """Download the kernel and the initial RAM disk of an install tree, and verify them.

    Interrupted downloads resume. Files that are complete in the cache are not fetched again.

    Examples:
      imgkit location fetch https://deb.debian.org/debian/dists/stable/
      imgkit location fetch nfs://server/export/fedora --cache boot --json
    """
    from imgkit.cli.render import note, out, print_json, progress_bar
    from imgkit.location.fetch import default_cache
    from imgkit.location.fetch import fetch as bring
    from imgkit.location.tree import find_tree

    tree = find_tree(location, architecture=arch)
    with progress_bar("fetching") as progress:
        files = bring(tree, cache or default_cache(), insecure=insecure, progress=progress)
    if as_json:
        print_json("location-fetch", 1, {"tree": _document(tree), "files": files})
        return
    if not files.verified:
        note("the files were not verified: checksums are missing or do not match")
    out(str(files.kernel))
    out(str(files.initrd))


def _document(tree: InstallTree) -> dict[str, object]:
    """A tree for a program, with no password in its location."""
    from imgkit.remote.url import shown

    return {
        "location": shown(tree.location),
        "family": tree.family,
        "distribution": tree.distribution,
        "version": tree.version,
        "architecture": tree.architecture,
        "kernel": {"path": tree.kernel, "checksum": tree.checksums.get(tree.kernel)},
        "initrd": {"path": tree.initrd, "checksum": tree.checksums.get(tree.initrd)},
        "checksums_from": tree.checksums_from or None,
    }


add_command(app, inspect, "inspect")
add_command(app, fetch, "fetch")
