"""One module for each boot loader, all with the same functions; only those that a guest has are imported."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from imgkit.console.draft import named
from imgkit.guest.bootfiles import Loader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgkit.console.draft import Draft
    from imgkit.console.model import KernelLine, Link, SerialConsole, Wishes
    from imgkit.guest.bootfiles import BootFile

_MODULES = {
    Loader.GRUB: "grub",
    Loader.GRUB_LEGACY: "grublegacy",
    Loader.EXTLINUX: "extlinux",
    Loader.BLS: "entries",
    Loader.SYSTEMD_BOOT: "systemdboot",
    Loader.UKI: "uki",
}


class LoaderModule(Protocol):
    """What each module offers; `path` is that of the configuration file."""

    def enable(self, draft: Draft, path: str, console: SerialConsole, wishes: Wishes) -> None:
        """Put menu and kernels on the console."""
        ...

    def kernels(self, draft: Draft, path: str) -> Iterator[KernelLine]:
        """The command lines in the file, in order."""
        ...

    def links(self, draft: Draft, path: str, console: SerialConsole) -> Iterator[Link]:
        """What the loader itself adds to the chain, its kernels left out."""
        ...


def module_for(boot_file: BootFile) -> LoaderModule:
    """The module that knows a boot loader's configuration."""
    return cast("LoaderModule", import_module(f"{__name__}.{_MODULES[boot_file.loader]}"))


def kernel_lines(draft: Draft, boot_files: Iterable[BootFile]) -> Iterator[KernelLine]:
    """All kernel command lines of a system, in the order of the files and of the entries in each."""
    for boot_file in boot_files:
        with named(boot_file.path):
            yield from module_for(boot_file).kernels(draft, boot_file.path)


def menu_message(console: SerialConsole, *, shown: bool) -> str:
    """What is said of a boot menu that is on the console, or is not."""
    if shown:
        return f"menu is on {console.port}"
    return f"menu is not on {console.port} at {console.baud} baud{'' if console.keep_vga else ' alone'}"
