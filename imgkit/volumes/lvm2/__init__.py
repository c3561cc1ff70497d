"""LVM2: volume groups with linear and striped logical volumes, read from the metadata on their physical volumes."""
