"""Opening the installed system in an image: an engine is chosen, a root found, its mounts joined."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from imgkit.errors import EngineError, LockedVolumeError, NoRootError, UnsupportedError
from imgkit.guest.engines import ENGINES, load
from imgkit.guest.engines.choice import EngineChoice
from imgkit.guest.joined import JoinedTree
from imgkit.guest.mounts import find_mounts
from imgkit.guest.products import refuse_product
from imgkit.guest.roots import choose_root, find_roots
from imgkit.partition.table import read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from imgkit.errors import ImgkitError
    from imgkit.formats.image import Image
    from imgkit.guest.engines import Shared
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
    shared: Shared | None = None,
) -> Iterator[Guest]:
    """Open the installed system in an image.

    `now`, in seconds, stamps what is edited. `root` chooses among several systems. `keys` open LUKS volumes.
    `on_appliance` is told, with the reason, before libguestfs's appliance is started, which takes about 20 seconds.
    `shared` is what serves several images in turn; its engine starts nothing else.
    Raises GuestError (no system, or several), UnsupportedError, FormatError, EngineError.
    """
    table = read_table(image.disk)
    attempts = _Attempts()
    for choice in ENGINES if engine is EngineChoice.AUTO else (engine,):
        if on_appliance is not None and choice is EngineChoice.GUESTFS and not (shared and shared.engine is choice):
            on_appliance(attempts.reason or "requested")
        opened: Engine | None = None
        with ExitStack() as stack:
            try:
                opened = load(choice).start(image, table, now=now, keys=keys, shared=shared)
                stack.callback(opened.close)
                guest = _assemble(opened, table, root, attempts.reason)
            except (UnsupportedError, NoRootError, EngineError) as error:
                if engine is not EngineChoice.AUTO or not _another_may_help(error, opened):
                    raise
                attempts.add(choice, error)
            else:
                with _with_what_is_missing(guest):
                    yield guest
                return
    raise attempts.failure()


@contextmanager
def _with_what_is_missing(guest: Guest) -> Iterator[None]:
    """Have a refusal say that /boot was not found, which is the reason as a rule."""
    try:
        yield
    except UnsupportedError as error:
        missing = "; ".join(notice for notice in guest.notices if notice.startswith("/boot: "))
        if missing and missing not in error.message:
            error.message = f"{error.message} ({missing})"
            error.args = (error.message,)
        raise


class _Attempts:
    """The engines that did not serve an image, and why."""

    def __init__(self) -> None:
        self._failed: list[tuple[EngineChoice, ImgkitError]] = []

    def add(self, choice: EngineChoice, error: ImgkitError) -> None:
        """Take note of one."""
        self._failed.append((choice, error))

    @property
    def reason(self) -> str:
        """Why the next engine is tried, "" for the first."""
        missing = [f"the {choice} engine does not work here: {error.message}" for choice, error in self._missing]
        return "; and ".join([*(error.message for error in self._refused[:1]), *missing])

    def failure(self) -> ImgkitError:
        """What to raise when no engine serves the image."""
        hints = (error.hint for _, error in [*self._missing, *self._failed] if error.hint)
        return UnsupportedError(self.reason, hint=next(hints, None))

    @property
    def _missing(self) -> list[tuple[EngineChoice, ImgkitError]]:
        return [(choice, error) for choice, error in self._failed if isinstance(error, EngineError)]

    @property
    def _refused(self) -> list[ImgkitError]:
        return [error for _, error in self._failed if not isinstance(error, EngineError)]


def _assemble(engine: Engine, table: PartitionTable, wanted: str | None, reason: str) -> Guest:
    search = find_roots(engine)
    if not search.roots:
        refuse_product(engine)
    root = choose_root(search, wanted)
    mounts, notices = find_mounts(root, engine)
    for point, mounted in mounts.items():
        if any(point == place or point.startswith(f"{place}/") for place in _ESSENTIAL):
            mounted.open(engine)
    openers = {point: partial(mounted.open, engine) for point, mounted in mounts.items()}
    return Guest(
        tree=JoinedTree({"/": partial(root.open, engine), **openers}),
        table=table,
        volumes=engine.volumes(),
        roots=tuple(place.volume for place in search.roots),
        mounts={point: place.volume for point, place in {"/": root, **mounts}.items()},
        engine=engine.name,
        fell_back=reason,
        notices=(*table.notices, *engine.notices, *notices),
        finish=engine.finish,
    )


def _another_may_help(error: ImgkitError, opened: Engine | None) -> bool:
    """Whether there is something that another engine may open and this one cannot."""
    if isinstance(error, LockedVolumeError) or opened is None:
        return isinstance(error, EngineError)
    if isinstance(error, UnsupportedError | EngineError):
        return True
    served = ("", "ext2", "ext3", "ext4", "vfat", "swap", "iso9660", "squashfs", "ntfs", "exfat")
    return opened.name == EngineChoice.NATIVE and any(
        volume.problem or (volume.kind not in served and not volume.group) for volume in opened.volumes()
    )
