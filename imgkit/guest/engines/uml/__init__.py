"""The uml engine: a Linux kernel as an ordinary process serves all file systems that Linux mounts.

    image's disk ── layer ── shelf ── vhost-user socket ── kernel (User-Mode Linux) ── agent ── line ── file systems
                      └─ pages that the kernel wrote ──> the image's disk, an overlay

Everything on the left of the socket is this process; the kernel has no file of the image open. Nothing runs by itself:
the kernel's requests are served while a verb waits for its answer (`machine`).
"""
