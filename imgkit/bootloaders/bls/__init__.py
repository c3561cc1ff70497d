"""Boot Loader Specification entries, and kernel-install, which writes them."""

from imgkit.bootloaders.files import Places

PLACES = Places(
    installed=("/efi/loader/entries/*.conf", "/boot/efi/loader/entries/*.conf", "/boot/loader/entries/*.conf"),
    media=("/loader/entries/*.conf", "/boot/loader/entries/*.conf"),
    generated=("/etc/kernel/cmdline", "/usr/lib/kernel/cmdline"),
)
