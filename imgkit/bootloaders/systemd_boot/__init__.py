"""systemd-boot: loader.conf. Its entries are those of `bls` and `uki`."""
