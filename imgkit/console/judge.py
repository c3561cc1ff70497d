"""The judge: what may be said of an image whose serial console was to be enabled. Only its status decides.

Enabled is what every check of the status confirms. Where some fail, the console is enabled in part, and each of them is
named with the reason and what to do. Where no kernel of the image has the console, it is not enabled at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from imgkit.configtext.checks import CheckKind
from imgkit.errors import PartlyEnabledError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgkit.configtext.checks import Check, Status
    from imgkit.configtext.serial import SerialConsole

_MAX_NAMED = 3

# Files that are read under one kind of firmware only: those of ISOLINUX, and what lies in an EFI system partition.
_BIOS = re.compile(r"/(?:isolinux|syslinux|extlinux)(?:/|\.c)|/menu\.lst$", re.IGNORECASE)
_UEFI = re.compile(r"(?:^|/)EFI/|/efi(?:boot)?\.img/|/efi/|/loader/(?:loader\.conf|entries/)", re.IGNORECASE)

_HINTS = {
    CheckKind.LOADER: "Edit {file} with `imgkit edit`, or use the console redirection of the machine's firmware.",
    CheckKind.DEFAULT: "Choose another entry in the menu, or change the default in {file} with `imgkit edit`.",
    CheckKind.TIMEOUT: "Give --timeout SECONDS.",
    CheckKind.KERNEL: "Add {arguments} to its kernel arguments in {file} with `imgkit edit`.",
    CheckKind.GETTY: "Have the guest start a getty on {port}.",
    CheckKind.ROOT: "Add {port} to {file} with `imgkit edit`, or log in as another user.",
    CheckKind.KEPT: "Add {arguments} to what generates the boot menu in the guest, or enable again after its next run.",
}


class Verdict(StrEnum):
    """What came of enabling a serial console."""

    ENABLED = "enabled"
    PARTLY = "partly"
    NOT = "not"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its reasons.

    `status` is that of the staged image. `failing` are the checks that it fails, each with a hint; none where the
    verdict is `enabled`. `announcements` say what the image does otherwise than before, such as another default entry.
    """

    verdict: Verdict
    status: Status
    failing: tuple[Check, ...]
    announcements: tuple[str, ...]

    @property
    def console(self) -> SerialConsole:
        """The console that was judged."""
        return self.status.console

    def holding(self) -> str:
        """What is enabled, in words: the kinds of checks that hold, and their files."""
        files: dict[CheckKind, dict[str, None]] = {}
        for check in self.status.links:
            if check.ok:
                files.setdefault(check.kind, {})[check.file] = None
        return ", ".join(f"{kind} ({_listed(filter(None, names))})" for kind, names in files.items())


def judge(status: Status, announcements: Iterable[str] = ()) -> Judgement:
    """The verdict on an image of this status."""
    failing = tuple(_explained(check, status.console) for check in status.links if not check.ok)
    if status.enabled:
        verdict = Verdict.ENABLED
    elif any(check.ok for check in status.links if check.kind is CheckKind.KERNEL):
        verdict = Verdict.PARTLY
    else:
        verdict = Verdict.NOT
    return Judgement(verdict, status, failing, tuple(announcements))


def require(judgement: Judgement, image: object, *, strict: bool) -> None:
    """Raise UnsupportedError where nothing would be enabled; with `strict` PartlyEnabledError where only a part."""
    told = "; ".join(sentence(check) for check in judgement.failing[:_MAX_NAMED])
    if len(judgement.failing) > _MAX_NAMED:
        told += f"; and {len(judgement.failing) - _MAX_NAMED:,} more"
    port = judgement.console.port
    if judgement.verdict is Verdict.NOT:
        # Of all reasons, the one that no kernel can be told.
        first = min(judgement.failing, key=lambda check: check.kind is not CheckKind.KERNEL, default=None)
        hint = first.hint if first else "If the kernel is loaded from outside the image, set its console there."
        raise UnsupportedError(f"{image}: serial console {port} cannot be enabled: {told or 'no Linux'}", hint=hint)
    if strict and judgement.verdict is Verdict.PARTLY:
        raise PartlyEnabledError(
            f"{image}: serial console {port} can only be enabled in part, and nothing was written: {told}",
            hint="Omit --strict to enable what can be enabled. `--dry-run` lists the rest, with remedies.",
        )


def sentence(check: Check) -> str:
    """A check in words: kind, place, reason."""
    place = check.file + (f":{check.line}" if check.line else "")
    firmware = f" under {check.firmware}" if check.firmware else ""
    where = f" [{place}]" if place else ""
    return f"{check.kind}{firmware}: {check.message}{where}"


def _explained(check: Check, console: SerialConsole) -> Check:
    words = {"file": check.file or "the image", "port": console.port, "arguments": " ".join(console.kernel_arguments())}
    return replace(
        check,
        hint=check.hint or _HINTS[check.kind].format(**words),
        firmware=check.firmware or _firmware(check.file),
    )


def _firmware(path: str) -> str:
    if _UEFI.search(path):
        return "UEFI"
    return "BIOS" if _BIOS.search(path) else ""


def _listed(names: Iterable[str]) -> str:
    files = list(names)
    more = f" and {len(files) - _MAX_NAMED:,} more" if len(files) > _MAX_NAMED else ""
    return ", ".join(files[:_MAX_NAMED]) + more or "the image as a whole"
