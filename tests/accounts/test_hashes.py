"""Password hashes against the host's libcrypt, which logins use, and OpenSSL."""

import ctypes
import re

import pytest

from imgkit.accounts import hashes
from tests.support import oracle

PASSWORDS = ["a", "imgkit", "x" * 63, "y" * 64, "z" * 65, "größe 日本", "p" * 200]


def crypt(password, setting):
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    return library.crypt(password.encode(), setting.encode()).decode()


@pytest.mark.parametrize("method", [hashes.SHA512, hashes.YESCRYPT])
@pytest.mark.parametrize("password", PASSWORDS)
def test_libcrypt_takes_the_hash(password, method):
    made = hashes.make(password, (method,), None)
    assert made.startswith({hashes.SHA512: "$6$", hashes.YESCRYPT: "$y$"}[method])
    assert crypt(password, made) == made
    assert hashes.matches(password, made)
    assert not hashes.matches(password + "1", made)


def test_openssl_makes_the_same_hash():
    made = hashes.make("secret", (hashes.SHA512,), "seed")
    salt = made.split("$")[2]
    assert oracle.run("openssl", "passwd", "-6", "-salt", salt, "secret").stdout.strip() == made


def test_other_rounds_are_compared():
    made = crypt("secret", "$6$rounds=1234$saltsalt")
    assert "rounds=1234" in made
    assert hashes.matches("secret", made)


@pytest.mark.parametrize(
    "hashed", ["", "!", "*", "!!", "x", "!$6$salt$" + "a" * 86, "$6$rounds=999999999$s$" + "a" * 86]
)
def test_what_is_no_hash_matches_nothing(hashed):
    assert not hashes.matches("secret", hashed)


def test_salts_are_random_unless_a_seed_is_given():
    made = {hashes.make("secret", (hashes.SHA512,), None) for _ in range(3)}
    assert len(made) == 3
    seeded = {
        hashes.make("secret", (method,), "root\0001") for method in (hashes.SHA512, hashes.YESCRYPT) for _ in "ab"
    }
    assert len(seeded) == 2
    assert re.match(r"\$6\$[./0-9A-Za-z]{16}\$", next(each for each in seeded if each.startswith("$6$")))
