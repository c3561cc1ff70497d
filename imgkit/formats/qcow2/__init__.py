"""qcow2, read and write: a block device over the bytes of a qcow2 file.

Specification: docs/interop/qcow2.txt in QEMU's source, also at
https://www.qemu.org/docs/master/interop/qcow2.html.

It creates, resizes and repairs no images and writes no snapshots; `qemu-img` does.
"""

from imgkit.formats.qcow2.disk import Qcow2Disk
from imgkit.formats.qcow2.header import Header, Snapshot, parse_header

__all__ = ["Header", "Qcow2Disk", "Snapshot", "parse_header"]
