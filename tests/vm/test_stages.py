"""How far a boot came, by what real machines said."""

import pytest

from imgkit.vm.stages import Stage, reached


@pytest.mark.parametrize(
    ("transcript", "stage"),
    [
        (b"", Stage.NOTHING),
        (b"\r\n\x1b[2J\x1b[01;01H", Stage.NOTHING),
        (b'BdsDxe: loading Boot0001 "UEFI QEMU DVD-ROM" from PciRoot(0x0)', Stage.FIRMWARE),
        (b"something that nobody knows", Stage.FIRMWARE),
        (b"Welcome to GRUB!\r\n", Stage.LOADER),
        (b"\x1b[0;37;40m  GNU \x1b[1mGRUB  version 2.06\r\n", Stage.LOADER),
        (b"ISOLINUX 6.04 20200816  Copyright (C) 1994-2015\r\n", Stage.LOADER),
        (b"Welcome to GRUB!\r\n[    0.000000] Linux version 6.1.0-56-cloud-amd64", Stage.KERNEL),
        (b"[    1.2] x\r\n[    3.402216] systemd[1]: Detected architecture x86-64.", Stage.INIT),
        (b"INIT: version 3.06 booting\r\n", Stage.INIT),
        (b"[    3.402216] x\r\nDebian GNU/Linux 12 host ttyS0\r\n\r\nhost login: ", Stage.GETTY),
    ],
)
def test_reached(transcript, stage):
    assert reached(transcript) is stage
