"""What virtual machines need on this machine, found out by asking libvirt; and how to get what is missing.

Firmware is found as libvirt finds it, by its descriptors, of which a user may have some of their own:
https://gitlab.com/qemu-project/qemu/-/blob/master/docs/interop/firmware.json
"""

from __future__ import annotations

import fnmatch
import json
import os
import platform
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgkit.errors import EngineError, ImgkitError
from imgkit.guest.finding import Finding, look_for_module, look_for_tool, system_module_remedy
from imgkit.vm.connection import SESSION, binding, connect, embedded
from imgkit.vm.domain import MACHINES

if TYPE_CHECKING:
    from collections.abc import Iterator

_SYSTEM_DESCRIPTORS = (Path("/etc/qemu/firmware"), Path("/usr/share/qemu/firmware"))
_MAX_DESCRIPTOR = 1 << 20
_PACKAGES = {"x86_64": "ovmf", "aarch64": "qemu-efi-aarch64"}
_DRIVER = "apt install libvirt-daemon-driver-qemu"
_DAEMON = "apt install libvirt-daemon libvirt-daemon-driver-qemu; verify does without"


@dataclass(frozen=True, slots=True)
class _Firmware:
    """What a descriptor says: its name, features, machines as "architecture/pattern", and the files that it names."""

    name: str
    features: frozenset[str]
    machines: tuple[str, ...]
    files: tuple[Path, ...]


def check_machines() -> list[Finding]:
    """Look at everything that virtual machines need.

    This opens libvirt, embedded and as the user's session, whose daemon starts for it where it does not run.
    """
    return [
        *_libvirt(),
        *check_firmware(),
        look_for_tool("qemu-img", "verify: a throw-away layer", "apt install qemu-utils"),
    ]


def _libvirt() -> Iterator[Finding]:
    serves = "virtual machines"
    remedy = system_module_remedy("libvirt", "python3-libvirt")
    found = replace(look_for_module("libvirt", serves, remedy), part="libvirt binding")
    if found.ok:
        try:
            version = binding().getVersion()
            found = replace(found, message=f"libvirt {version // 1000000}.{version // 1000 % 1000}.{version % 1000}")
        except EngineError as error:  # there, but for another Python, or without its library
            found = Finding(found.part, serves, False, error.message, remedy)
    yield found
    if not found.ok:
        return  # the rest cannot be asked
    # In this order: a process that has libvirt embedded takes every later qemu:// for that one (seen with 9.0).
    yield _opened(SESSION, "libvirt session", "machines that stay; the daemon of this user", _DAEMON)
    with embedded() as uri:
        yield _opened(uri, "libvirt embedded", "verify, and machines of one command, without a daemon", _DRIVER)


def _opened(uri: str, part: str, serves: str, remedy: str) -> Finding:
    """Whether a connection opens, and has the driver for QEMU and an emulator for this machine."""
    try:
        with connect(uri) as connection:
            driver = connection.getType()
            emulates = f"<arch name='{platform.machine()}'>" in connection.getCapabilities()
    except ImgkitError as error:
        return Finding(part, serves, False, error.message, f"{remedy}. {error.hint or ''}".strip())
    if not emulates:
        return Finding(part, serves, False, f"driver {driver}, no emulator", "apt install qemu-system-x86")
    return Finding(part, serves, True, f"opens, with the driver {driver}")


def check_firmware() -> Iterator[Finding]:
    """Look for UEFI firmware by its descriptors, as libvirt does."""
    architecture = platform.machine()
    there = [firmware for firmware in _descriptors() if all(os.access(file, os.R_OK) for file in firmware.files)]
    keys = {"secure-boot", "enrolled-keys"}
    kinds = [("UEFI firmware", "--uefi", frozenset[str]())]
    if architecture == "x86_64":
        kinds.append(("Secure Boot", "UEFI that starts only what is signed", frozenset(keys)))
    for part, serves, wanted in kinds:
        names = [
            firmware.name
            for firmware in there
            if firmware.features & keys == wanted and _serves_machine(firmware, architecture)
        ]
        yield Finding(part, serves, bool(names), names[0] if names else "no descriptor of one", _remedy(names))


def _serves_machine(firmware: _Firmware, architecture: str) -> bool:
    machine = MACHINES.get(architecture, "")
    versioned = f"{architecture}/{f'pc-{machine}' if architecture == 'x86_64' else machine}-9.0"
    return any(fnmatch.fnmatchcase(versioned, pattern) for pattern in firmware.machines)


def _remedy(names: list[str]) -> str:
    if names:
        return ""
    package = _PACKAGES.get(platform.machine(), "ovmf")
    own = _own_descriptors()
    return (
        f"apt install {package}; without root: apt download {package}, unpack it with dpkg-deb -x, "
        f"and copy its descriptors to {own}/ with the paths changed to where its files are"
    )


def _own_descriptors() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "qemu" / "firmware"


def _descriptors() -> Iterator[_Firmware]:
    """The descriptors of UEFI firmware; one of the user's takes the place of the system's of the same name."""
    files: dict[str, Path] = {}
    for folder in (_own_descriptors(), *_SYSTEM_DESCRIPTORS):
        for path in sorted(folder.glob("*.json")):
            files.setdefault(path.name, path)
    for name in sorted(files):
        firmware = _read(files[name])
        if firmware is not None:
            yield firmware


def _read(path: Path) -> _Firmware | None:
    """A descriptor; None for one of a BIOS, one that is empty (it hides another), and one that is none."""
    try:
        if path.stat().st_size > _MAX_DESCRIPTOR:
            return None
        told: dict[str, Any] = json.loads(path.read_text())
        if "uefi" not in told["interface-types"]:
            return None
        mapping = told["mapping"]
        parts = (mapping["executable"], mapping["nvram-template"]) if mapping["device"] == "flash" else (mapping,)
        machines = [
            f"{target['architecture']}/{machine}" for target in told["targets"] for machine in target["machines"]
        ]
        files = tuple(Path(part["filename"]) for part in parts)
        return _Firmware(path.name, frozenset(told["features"]), tuple(machines), files)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
