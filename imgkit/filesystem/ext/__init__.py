"""ext2, ext3 and ext4: read through our own validated structures, edited through the system's libext2fs."""
