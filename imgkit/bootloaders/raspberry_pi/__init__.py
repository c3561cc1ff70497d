"""The Raspberry Pi's firmware, which loads the kernel itself."""

from imgkit.bootloaders.files import Places

PLACES = Places(installed=("/boot/firmware/cmdline.txt", "/boot/cmdline.txt"))
