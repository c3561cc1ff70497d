"""zipl, the boot loader of s390x."""
