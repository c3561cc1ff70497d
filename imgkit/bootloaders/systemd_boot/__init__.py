"""systemd-boot: loader.conf. Its entries are those of `bls` and `uki`."""

from imgkit.bootloaders.files import Places

PLACES = Places(
    installed=("/efi/loader/loader.conf", "/boot/efi/loader/loader.conf", "/boot/loader/loader.conf"),
    media=("/loader/loader.conf", "/boot/loader/loader.conf"),
    has_menu=True,
    has_entries=False,
)
