"""Which engines work on this machine, found out by asking their parts; and how to get what is missing.

What virtual machines, install trees and batches need is looked at by those rooms, in the same words (`finding`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.guest.engines import ENGINES, load
from imgkit.guest.finding import Finding
from imgkit.guest.kvm import kvm_works

if TYPE_CHECKING:
    from collections.abc import Iterator


def check_engines() -> list[Finding]:
    """Look at everything that an engine needs. Takes up to two seconds, which finding out about KVM may need."""
    return [*(finding for engine in ENGINES for finding in load(engine).check()), *_kvm(), *_confinement()]


def _confinement() -> Iterator[Finding]:
    from imgkit.confinement import walls  # noqa: PLC0415 - ctypes takes its time

    found = walls()
    holds = [f"Landlock ABI {found.landlock}"] if found.landlock else []
    holds += ["seccomp"] if found.seccomp else []
    message = f"{' and '.join(holds) or 'nothing'} confines what reads an image"
    remedy = "" if found.complete else f"{found.missing()}. Without it, a flaw in libext2fs has all your privileges."
    yield Finding("confinement", "reading untrusted images", found.complete, message, remedy)


def _kvm() -> Iterator[Finding]:
    serves = "speed of virtual machines and the guestfs engine"
    message = "runs virtual machines" if kvm_works() else "not available; software emulation is used"
    yield Finding("KVM", serves, True, message)
