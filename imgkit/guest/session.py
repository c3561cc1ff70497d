"""Opening the installed system in an image: an engine is chosen, a root found, its mounts joined."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from imgkit.errors import EngineError, NoRootError, UnsupportedError
from imgkit.guest.engines.choice import EngineChoice
from imgkit.guest.engines.native import NativeEngine
from imgkit.guest.joined import JoinedTree
from imgkit.guest.roots import choose_root, find_mounts, find_roots
from imgkit.partition.table import read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from imgkit.formats.image import Image
    from imgkit.guest.engines.guestfs.appliance import Appliance
    from imgkit.guest.volume import Engine, GuestVolume
    from imgkit.partition.model import PartitionTable

# Where boot and login configuration lives: these mounts have to be served, others only when a path leads into them.
_ESSENTIAL = ("/boot", "/efi", "/etc", "/usr")


@dataclass(frozen=True, slots=True)
class Guest:
    """An installed system, open. `tree` is where it is read and edited; `finish` brings the edits into the overlay.

    `mounts` are its volumes by mount point. `engine` says who serves it, `fell_back` why not the native engine, "" if
    that was not tried.
    """

    tree: JoinedTree
    table: PartitionTable
    volumes: tuple[GuestVolume, ...]
    roots: tuple[GuestVolume, ...]
    mounts: dict[str, GuestVolume]
    engine: str
    fell_back: str
    notices: tuple[str, ...]
    finish: Callable[[], None]


@contextmanager
def open_guest(
    image: Image,
    *,
    now: int,
    engine: EngineChoice = EngineChoice.AUTO,
    root: str | None = None,
    keys: Sequence[str] = (),
    on_appliance: Callable[[str], None] | None = None,
    appliance: Appliance | None = None,
) -> Iterator[Guest]:
    """Open the installed system in an image.

    `now`, in seconds, stamps what is edited. `root` chooses among several systems. `keys` open LUKS volumes in the
    appliance. `on_appliance` is told, with the reason, before an appliance is started, which takes some 20 seconds.
    `appliance` is one that runs already, with the image among its drives: no other is started.
    Raises GuestError (no system, or several), UnsupportedError, FormatError, EngineError.
    """
    table = read_table(image.disk)
    opened: Engine | None = None
    reason = ""

    def start() -> Engine:
        from imgkit.guest.engines.guestfs.tree import GuestfsEngine  # noqa: PLC0415 - only when it is needed

        if on_appliance is not None and appliance is None:
            on_appliance(reason or "it was asked for")
        return GuestfsEngine(image, table, now=now, keys=keys, shared=appliance)

    try:
        if engine is not EngineChoice.GUESTFS:
            opened = NativeEngine(image, table, now=now)
            try:
                guest = _assemble(opened, table, root, "")
            except (UnsupportedError, NoRootError) as error:
                if engine is EngineChoice.NATIVE or not _appliance_may_help(error, opened):
                    raise
                reason = error.message
                opened.close()
                opened = _fall_back(error, start)
                guest = _assemble(opened, table, root, reason)
        else:
            opened = start()
            guest = _assemble(opened, table, root, "")
        yield guest
    finally:
        if opened is not None:
            opened.close()


def _assemble(engine: Engine, table: PartitionTable, wanted: str | None, reason: str) -> Guest:
    search = find_roots(engine)
    root = choose_root(search, wanted)
    mounts, notices = find_mounts(engine.open(root), engine.volumes())
    for point, volume in mounts.items():
        if any(point == place or point.startswith(f"{place}/") for place in _ESSENTIAL):
            engine.open(volume)
    openers = {point: partial(engine.open, volume) for point, volume in mounts.items()}
    return Guest(
        tree=JoinedTree({"/": partial(engine.open, root), **openers}),
        table=table,
        volumes=engine.volumes(),
        roots=search.roots,
        mounts={"/": root, **mounts},
        engine=engine.name,
        fell_back=reason,
        notices=(*table.notices, *engine.notices, *notices),
        finish=engine.finish,
    )


def _appliance_may_help(error: UnsupportedError | NoRootError, native: NativeEngine) -> bool:
    """Whether there is something that Linux can open and the native engine cannot."""
    if isinstance(error, UnsupportedError):
        return True
    served = ("", "ext2", "ext3", "ext4", "vfat", "swap", "iso9660", "squashfs", "ntfs", "exfat")
    return any(volume.problem or (volume.kind not in served and not volume.group) for volume in native.volumes())


def _fall_back(error: UnsupportedError | NoRootError, start: Callable[[], Engine]) -> Engine:
    try:
        return start()
    except EngineError as missing:
        raise UnsupportedError(
            f"{error.message}; and the guestfs engine does not work here: {missing.message}", hint=missing.hint
        ) from error
