"""The libguestfs appliance on a throw-away layer above an image, and the replay of what it wrote.

    image (read-only, QEMU's locks) ── throw-away qcow2 ── appliance
                                            └─ clusters that it wrote ──> the image's disk, an overlay

The appliance never sees the image but as a backing file. The throw-away layer is gone when the engine is closed.

One appliance may serve several images, in turn: all of them are its drives from the start, as the direct backend plugs
none in later. That is for images that trust each other: one kernel reads all of their file systems.

API: https://libguestfs.org/guestfs.3.html
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgkit.errors import EngineError
from imgkit.guest.engines.choice import EngineChoice
from imgkit.guest.engines.layer import replay
from imgkit.guest.finding import find_tool
from imgkit.guest.kvm import kvm_works
from imgkit.storage.host import HostFile
from imgkit.storage.overlay import Overlay

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.formats.image import Image

_SEPARATE = {"", "ext2", "ext3", "ext4", "xfs", "vfat", "swap", "LVM2_member"}
_FIRST = "/dev/sda"
_PACKAGES = "apt install python3-guestfs libguestfs-xfs linux-image-amd64"


def may_share(image: Image) -> bool:
    """Whether an image can be served beside others.

    Linux joins what says of itself that it is one thing: copies of a RAID member or of a btrfs volume would be mixed
    up. Of logical volumes LVM can be told to see only some, and XFS looks at what is mounted at that time.
    """
    from imgkit.guest.volume import disk_volumes  # noqa: PLC0415
    from imgkit.partition.table import read_table  # noqa: PLC0415

    return {volume.kind for volume, _ in disk_volumes(image.disk, read_table(image.disk))} <= _SEPARATE


class Appliance:
    """A running appliance. `handle` is libguestfs's; `folder` holds its files and those that are passed to and fro.

    Raises EngineError where libguestfs is missing or its appliance does not start.
    """

    engine = EngineChoice.GUESTFS

    def __init__(self, images: Sequence[Image]) -> None:
        guestfs = _import_guestfs()
        self._numbers = {image.host.path: number for number, image in enumerate(images)}
        self._is_running = True
        with ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="imgkit-", dir=_scratch())))
            self.handle = guestfs.GuestFS(python_return_dict=True)
            stack.callback(self.handle.close)
            self._launch(images)
            self._cleanup = stack.pop_all()

    def turn_to(self, image: Image) -> str:
        """The device of an image, such as /dev/sda. Of the others nothing stays mounted, and LVM does not see them."""
        if len(self._numbers) == 1:
            return _FIRST
        with translated("the appliance cannot switch to another image"):
            device = str(self.handle.list_disk_labels()[_label(self._numbers[image.host.path])])
            self.handle.umount_all()
            self.handle.lvm_set_filter([device])
        return device

    def stop(self) -> None:
        """Unmount all and shut the appliance down: what it wrote is complete."""
        if self._is_running:
            self._is_running = False
            with translated("the appliance did not stop cleanly"):
                self.handle.umount_all()
                self.handle.shutdown()

    def replay(self, image: Image) -> None:
        """Stop the appliance and bring every byte that it changed of an image onto the image's disk."""
        from imgkit.formats.qcow2 import Qcow2Disk  # noqa: PLC0415

        self.stop()
        with HostFile(self._layer(self._numbers[image.host.path])) as host:
            layer = Qcow2Disk(Overlay(host))
            replay(layer.own_ranges(), layer, image.disk)

    def close(self) -> None:
        """Kill the appliance and remove its files."""
        self._cleanup.close()

    def _layer(self, number: int) -> Path:
        return self.folder / f"layer{number}.qcow2"

    def _launch(self, images: Sequence[Image]) -> None:
        handle = self.handle
        files = [str(image.plain_file("the libguestfs appliance")) for image in images]
        with translated("the libguestfs appliance cannot be started", hint=_launch_hint()):
            handle.set_backend("direct")
            if not kvm_works():
                handle.set_backend_setting("force_tcg", "1")
            for number, (image, file) in enumerate(zip(images, files, strict=True)):
                layer = str(self._layer(number))
                # The format is given, never probed: a guest could have written a header of its choice.
                handle.disk_create(layer, "qcow2", -1, backingfile=file, backingformat=str(image.format))
                handle.add_drive_opts(layer, format="qcow2", cachemode="unsafe", label=_label(number))
            handle.launch()


def _label(number: int) -> str:
    """The name of a drive in the appliance, of letters alone."""
    return f"drive{chr(ord('a') + number // 26)}{chr(ord('a') + number % 26)}"


@contextmanager
def translated(what: str, *, hint: str | None = None) -> Iterator[None]:
    """Turn libguestfs's errors (RuntimeError) into EngineError."""
    try:
        yield
    except RuntimeError as error:
        raise EngineError(f"{what}: {error}", hint=hint) from error


def _import_guestfs() -> Any:
    try:
        import guestfs  # noqa: PLC0415 - from the system, and often not there
    except ImportError as error:
        raise EngineError(
            f"the guestfs engine needs libguestfs's Python binding ({error})",
            hint=f"Install it (Debian: {_PACKAGES}) for the system's Python; `imgkit doctor` says what is missing.",
        ) from error
    return guestfs


def _scratch() -> str:
    """A place for large temporary files: /var/tmp is on a disk where /tmp may be in memory."""
    return "/var/tmp" if Path("/var/tmp").is_dir() else tempfile.gettempdir()  # noqa: S108


def _launch_hint() -> str:
    kernels = list(Path("/boot").glob("vmlinuz-*"))
    if not kernels:
        return f"The appliance is made from a kernel on this machine, and /boot has none. Debian: {_PACKAGES}."
    if not any(_readable(kernel) for kernel in kernels):
        return (
            "The appliance is made from /boot/vmlinuz-*, which you may not read: ask for `chmod a+r /boot/vmlinuz-*`."
        )
    if find_tool("qemu-system-x86_64") is None and find_tool("qemu-kvm") is None:
        return "QEMU is missing. Debian: apt install qemu-system-x86."
    return "See the output of `libguestfs-test-tool`."


def _readable(path: Path) -> bool:
    try:
        path.open("rb").close()
    except OSError:
        return False
    return True
