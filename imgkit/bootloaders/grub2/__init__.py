"""GRUB 2: its scripts, its environment block, and what grub-mkconfig reads."""
