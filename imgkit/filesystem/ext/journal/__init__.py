"""The journal of ext3 and ext4 (jbd2): read, and replayed as mounting the file system would."""
