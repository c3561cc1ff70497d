"""Which machines use an image: their drives, running or as defined, and the files behind those.

Not here: who else has an image open. QEMU's locks tell that (`imgkit.storage.locks`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from imgkit.errors import ImgkitError, InUseError
from imgkit.formats.image import open_image
from imgkit.storage.host import HostFile
from imgkit.vm.connection import binding, translated
from imgkit.vm.launcher import find

if TYPE_CHECKING:
    from collections.abc import Iterator


def disks_of(connection: Any, name: str) -> list[Path]:
    """The disk images of a machine, without CDs. Raises MachineError if there is none."""
    domain = find(connection, name)
    return [Path(text) for text in dict.fromkeys(_sources(domain, "devices/disk[@device='disk']/source[@file]"))]


def users_of_images(connection: Any, *, besides: str = "") -> dict[Path, str]:
    """Images that machines of a connection use, as real paths, with the name of one machine that does.

    Drives of running machines and of definitions count, and so do the backing and data files of each.
    """
    users: dict[Path, str] = {}
    with translated("the machines cannot be listed"):
        others = [domain for domain in connection.listAllDomains() if domain.name() != besides]
    for domain in others:
        for text in _sources(domain, ".//disk//source[@file]"):
            for path in (Path(text), *_chain(Path(text))):
                users.setdefault(path.resolve(), domain.name())
    return users


def why_kept(path: Path, users: dict[Path, str]) -> str:
    """Why an image must not be deleted, as the end of a sentence; "" where nothing speaks against it.

    `users` are those of `users_of_images`.
    """
    if path.is_symlink():
        return "it is a symbolic link"
    machine = users.get(path.resolve())
    if machine is not None:
        return f"the machine {machine} uses it"
    try:
        with HostFile(path, writable=True):
            pass
    except InUseError:
        return "another process has it open"
    except ImgkitError:  # damaged, or of a kind that is not known here: no reason to keep it
        pass
    behind = next((other for other in _neighbours(path) if path.resolve() in map(Path.resolve, _chain(other))), None)
    return f"{behind} is based on it" if behind is not None else ""


def _sources(domain: Any, where: str) -> Iterator[str]:
    """The files that match, of the machine as it runs and as it is defined."""
    libvirt = binding()
    with translated(f"the machine {domain.name()} cannot be inspected"):
        texts = [domain.XMLDesc()]
        if domain.isActive() and domain.isPersistent():
            texts.append(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    for text in texts:
        for source in ET.fromstring(text).findall(where):  # noqa: S314  libvirt's
            yield source.get("file", "")


def _chain(path: Path) -> tuple[Path, ...]:
    """The files behind an image, none where it cannot be read."""
    try:
        with open_image(path) as image:
            return image.chain
    except (ImgkitError, OSError):
        return ()


def _neighbours(path: Path) -> Iterator[Path]:
    """Images in the same folder that may refer to others."""
    try:
        yield from (other for other in path.parent.iterdir() if other != path and _is_qcow2(other))
    except OSError:
        return


def _is_qcow2(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(4) == b"QFI\xfb"
    except OSError:
        return False
