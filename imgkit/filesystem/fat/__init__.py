"""FAT12, FAT16 and FAT32 with long names: read through our own validated structures, edited through FatFs."""
