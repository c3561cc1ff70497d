"""Boot loaders: one package for each, all with the same modules; of those, only what a system has is imported.

A new boot loader is a package whose `PLACES` say where its files are, with a module `loader` that keeps the contract
`BootLoader` (and, where `PLACES` say so, `menu` and `generator`), and one line in `LOADERS`.
`tests/bootloaders/test_conformance.py` runs over all of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from imgkit.bootloaders.files import BootFile, Loader, Places, in_system, on_medium
from imgkit.errors import ConfigError
from imgkit.treeedits import named

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from imgkit.bootloaders.bootmenu import BootMenu, Choice
    from imgkit.configtext.checks import Check, KernelLine
    from imgkit.configtext.kernelargs import Arguments
    from imgkit.configtext.options import EnableOptions
    from imgkit.configtext.serial import SerialConsole
    from imgkit.tree import Tree
    from imgkit.treeedits import TreeEdits

LOADERS = {
    Loader.EXTLINUX: "syslinux",
    Loader.GRUB: "grub2",
    Loader.GRUB_LEGACY: "grub_legacy",
    Loader.UKI: "uki",
    Loader.SYSTEMD_BOOT: "systemd_boot",
    Loader.BLS: "bls",
    Loader.ZIPL: "zipl",
    Loader.NIXOS: "nixos",
    Loader.RASPBERRY_PI: "raspberry_pi",
    Loader.ARMBIAN: "armbian",
}
"""The package of each boot loader, in the order in which their files are looked for and edited."""

_MOST = 200  # configurations: each is read and judged for each of the others


class BootLoader(Protocol):
    """The contract of a module `loader`; `path` is that of one of the loader's configurations.

    `enable` twice is `enable` once, and `checks` passes after it, or says what `enable` could not do. Bytes that are
    not part of the edit stay. ConfigError, with file and line, is raised for a file that cannot be understood.
    """

    def enable(self, edits: TreeEdits, path: str, console: SerialConsole, options: EnableOptions, /) -> None:
        """Put menu and kernels on the console."""
        ...

    def kernels(self, edits: TreeEdits, path: str, /) -> Iterator[KernelLine]:
        """The command lines in the file, in order."""
        ...

    def edit_arguments(
        self, edits: TreeEdits, path: str, edit: Callable[[Arguments], Arguments], /, *, recovery: bool
    ) -> None:
        """Edit the kernel arguments of every entry that boots Linux; those of recovery entries if `recovery`."""
        ...

    def checks(self, edits: TreeEdits, path: str, console: SerialConsole, /) -> Iterator[Check]:
        """What the loader itself adds to the chain, its kernels left out."""
        ...


class SealedLoader(Protocol):
    """What a module `loader` has beside `BootLoader` where its kernels' arguments are sealed."""

    def sealed(self, edits: TreeEdits, path: str, /) -> tuple[str, str]:
        """Why they cannot be changed, as the end of a sentence about the file, and what to do."""
        ...


class LeadingLoader(Protocol):
    """What a module `loader` has beside `BootLoader` where a configuration may only lead to another one."""

    def only_leads_to(self, edits: TreeEdits, path: str, others: Collection[str], /) -> bool:
        """Whether the file does nothing itself but find one of the others, and go on there."""
        ...


class Menu(Protocol):
    """The contract of a module `menu`: what boots by default, and after which time."""

    def read(self, edits: TreeEdits, path: str, /) -> Iterator[BootMenu]:
        """The menus that a configuration shows."""
        ...

    def set_default(self, edits: TreeEdits, menu: BootMenu, choice: Choice, /) -> None:
        """Have the menu boot one of its choices by default."""
        ...

    def set_timeout(self, edits: TreeEdits, menu: BootMenu, seconds: int, /) -> None:
        """Have the menu boot its default after so many seconds."""
        ...


class Generator(Protocol):
    """The contract of a module `generator`: what writes the configuration anew, and so undoes an edit of it."""

    def enable(self, edits: TreeEdits, console: SerialConsole, options: EnableOptions, /) -> None:
        """Have the generator's next run keep the console."""
        ...

    def checks(self, edits: TreeEdits, console: SerialConsole, /) -> Iterator[Check]:
        """Whether it will."""
        ...


def places(loader: Loader) -> Places:
    """Where a boot loader's files are."""
    return cast("Places", import_module(f"{__name__}.{LOADERS[loader]}").PLACES)


def find_installed(tree: Tree) -> Iterator[BootFile]:
    """Every boot loader configuration of an installed system. ConfigError where they are more than any system has."""
    yield from _bounded(_installed(tree))


def find_on_medium(edits: TreeEdits, root: str) -> Iterator[BootFile]:
    """Every boot loader configuration below a directory that is a root to firmware or a boot loader.

    Raises ConfigError where they are more than any medium has.
    """
    yield from _bounded(_on_medium(edits, root))


def _bounded(found: Iterator[BootFile]) -> Iterator[BootFile]:
    for number, boot_file in enumerate(found):
        if number == _MOST:
            folder = boot_file.path.rpartition("/")[0]
            told = f"more than {_MOST} boot loader configurations"
            raise ConfigError(told, path=folder, hint="Remove those of old kernels.")
        yield boot_file


def _installed(tree: Tree) -> Iterator[BootFile]:
    for loader in LOADERS:
        for pattern in places(loader).installed:
            yield from (BootFile(loader, path) for path in in_system(tree, pattern))


def _on_medium(edits: TreeEdits, root: str) -> Iterator[BootFile]:
    for loader in LOADERS:
        there = places(loader)
        for pattern in there.media:
            for path in on_medium(edits, root, pattern):
                if there.accepts is None or there.accepts(edits, path):
                    yield BootFile(loader, path)


def module_for(boot_file: BootFile) -> BootLoader:
    """The module that knows a boot loader's configuration."""
    return cast("BootLoader", import_module(f"{__name__}.{LOADERS[boot_file.loader]}.loader"))


def sealed_by(edits: TreeEdits, boot_file: BootFile) -> tuple[str, str] | None:
    """Why the arguments of a file's kernels cannot be changed, and what to do; None where they are not sealed."""
    if not places(boot_file.loader).is_sealed:
        return None
    return cast("SealedLoader", module_for(boot_file)).sealed(edits, boot_file.path)


def without_those_that_lead_on(edits: TreeEdits, boot_files: Iterable[BootFile]) -> list[BootFile]:
    """The files without those that only lead to another one, of the same boot loader, that stays."""
    found = list(boot_files)
    for boot_file in [boot_file for boot_file in found if places(boot_file.loader).leads_on]:
        others = [other.path for other in found if other.loader is boot_file.loader and other != boot_file]
        if cast("LeadingLoader", module_for(boot_file)).only_leads_to(edits, boot_file.path, others):
            found.remove(boot_file)
    return found


def menu_for(boot_file: BootFile) -> Menu | None:
    """The module that knows what a configuration boots by default; None for a loader whose default is left alone."""
    if not places(boot_file.loader).has_menu:
        return None
    return cast("Menu", import_module(f"{__name__}.{LOADERS[boot_file.loader]}.menu"))


def generators_of(edits: TreeEdits) -> list[Generator]:
    """The modules for what writes the boot loaders' configurations of a system anew."""
    found = (loader for loader in LOADERS if any(map(edits.is_there, places(loader).generated)))
    return [cast("Generator", import_module(f"{__name__}.{LOADERS[loader]}.generator")) for loader in found]


def kernel_lines(edits: TreeEdits, boot_files: Iterable[BootFile]) -> Iterator[KernelLine]:
    """All kernel command lines of a system, in the order of the files and of the entries in each."""
    for boot_file in boot_files:
        with named(boot_file.path):
            yield from module_for(boot_file).kernels(edits, boot_file.path)


def menu_message(console: SerialConsole, *, shown: bool) -> str:
    """What is said of a boot menu that is on the console, or is not."""
    if shown:
        return f"menu is on {console.port}"
    return f"menu is not on {console.port} at {console.baud} baud{'' if console.keep_vga else ' alone'}"
