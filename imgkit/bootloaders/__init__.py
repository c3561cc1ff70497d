"""One module for each boot loader, all with the same functions; only those that a guest has are imported."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from imgkit.bootloaders.files import Loader
from imgkit.treeedits import named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgkit.bootloaders.files import BootFile
    from imgkit.configtext.checks import Check, KernelLine
    from imgkit.configtext.options import EnableOptions
    from imgkit.configtext.serial import SerialConsole
    from imgkit.treeedits import TreeEdits

_PACKAGES = {
    Loader.GRUB: "grub2",
    Loader.GRUB_LEGACY: "grub_legacy",
    Loader.EXTLINUX: "syslinux",
    Loader.BLS: "bls",
    Loader.SYSTEMD_BOOT: "systemd_boot",
    Loader.UKI: "uki",
}


class LoaderModule(Protocol):
    """What each module offers; `path` is that of the configuration file."""

    def enable(self, edits: TreeEdits, path: str, console: SerialConsole, options: EnableOptions) -> None:
        """Put menu and kernels on the console."""
        ...

    def kernels(self, edits: TreeEdits, path: str) -> Iterator[KernelLine]:
        """The command lines in the file, in order."""
        ...

    def checks(self, edits: TreeEdits, path: str, console: SerialConsole) -> Iterator[Check]:
        """What the loader itself adds to the chain, its kernels left out."""
        ...


def module_for(boot_file: BootFile) -> LoaderModule:
    """The module that knows a boot loader's configuration."""
    return cast("LoaderModule", import_module(f"{__name__}.{_PACKAGES[boot_file.loader]}.loader"))


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
