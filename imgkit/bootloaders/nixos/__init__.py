"""NixOS, whose boot menu is made from a declaration of the system."""

from imgkit.bootloaders.files import Places

PLACES = Places(generated=("/nix/var/nix/profiles/system",))
