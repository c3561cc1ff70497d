"""runit, as Void, Artix and Debian set it up: service directories, started by links in a runsvdir."""
