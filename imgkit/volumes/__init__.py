"""Volume managers: what makes block devices out of partitions and disks, between partition tables and file systems."""
