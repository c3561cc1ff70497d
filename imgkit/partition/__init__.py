"""Partition tables: MBR with its EBR chain, GPT, and what a disk holds when it has none.

`table.read_table` is the way in; `model` holds what it returns and imports nothing heavy.
"""
