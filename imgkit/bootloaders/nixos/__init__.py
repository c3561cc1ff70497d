"""NixOS, whose boot menu is made from a declaration of the system."""
