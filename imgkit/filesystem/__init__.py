"""One file system on one block device: ext2/3/4 through libext2fs, FAT; and telling which kind it is."""
