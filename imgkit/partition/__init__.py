"""Partition tables: MBR with its EBR chain, GPT, and what a disk holds when it has none."""
