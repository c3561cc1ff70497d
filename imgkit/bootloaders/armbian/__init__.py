"""Armbian's script for U-Boot, which reads its settings from a text file."""

from imgkit.bootloaders.files import Places

PLACES = Places(installed=("/boot/armbianEnv.txt",))
