"""GRUB legacy (0.97): menu.lst and grub.conf."""
