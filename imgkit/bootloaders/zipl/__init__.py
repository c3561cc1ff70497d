"""zipl, the boot loader of s390x."""

from imgkit.bootloaders.files import Places

PLACES = Places(generated=("/etc/zipl.conf",))
