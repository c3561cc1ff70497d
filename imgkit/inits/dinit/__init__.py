"""dinit, as Chimera and Artix set it up: service files, started by links in boot.d."""
