"""Image formats: what kind of file an image is, and its contents as a block device."""
