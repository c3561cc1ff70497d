"""Boot Loader Specification entries, and kernel-install, which writes them."""
