"""Block devices over a host file: what reads, what stages, and the few functions that write.

Nothing here knows partitions or file systems. Only `commit` and `output` ever write to the host; everything else
writes to an `Overlay`.
"""
