"""A system on an encrypted volume: locked without its passphrase, served with it."""

import pytest

from tests.cli.command import imgkit
from tests.support import oracle
from tests.support.guests import OS_RELEASE, SECTOR, START, Part, make_disk, make_file_system

PASSPHRASE = "correct horse"
SYSTEM = {"/etc/os-release": OS_RELEASE.encode(), "/etc/fstab": b"", "/etc/inittab": b"id:2:initdefault:\n"}


@pytest.fixture
def encrypted(tmp_path):
    """A disk whose one partition is a LUKS volume. QEMU fills it, which needs no device mapper."""
    plain = make_file_system(tmp_path / "plain", Part("ext4", SYSTEM))
    secret = tmp_path / "secret"
    secret.write_text(PASSPHRASE)
    luks = tmp_path / "luks"
    luks.write_bytes(bytes(24 << 20))
    cheap = ["--type", "luks1", "--pbkdf-force-iterations", "1000"]
    oracle.run("cryptsetup", "luksFormat", "--batch-mode", *cheap, luks, secret)
    key = ["--object", f"secret,id=key,file={secret}"]
    target = f"driver=luks,key-secret=key,file.filename={luks}"
    source = f"driver=raw,file.filename={plain}"
    oracle.run("qemu-img", "convert", "-n", *key, "--image-opts", source, "--target-image-opts", target)
    image = make_disk(tmp_path / "disk.img", [Part("", size=24)])
    with image.open("r+b") as file:
        file.seek(START * SECTOR)
        file.write(luks.read_bytes())
    return image


def test_without_its_key_the_volume_is_named(encrypted):
    done = imgkit("ls", encrypted, "/", "--engine", "native")
    assert done.status == 5, done.stderr
    assert "LUKS" in done.stderr
    assert "--key-file" in done.stderr


@pytest.mark.appliance
def test_a_key_file_opens_it(encrypted, tmp_path):
    key = tmp_path / "key"
    key.write_text(PASSPHRASE + "\n")
    wrong = tmp_path / "wrong"
    wrong.write_text("incorrect horse")
    keys = ["--key-file", wrong, "--key-file", key]
    text = b"changed\n"
    done = imgkit("write", encrypted, "/etc/motd", *keys, "--in-place", stdin=text)
    assert done.status == 0, done.stderr
    assert imgkit("cat", encrypted, "/etc/motd", *keys).stdout == text
