"""Password hashes as crypt(5) knows them: made of a password, and compared with one.

SHA-512's needs nothing but hashlib; yescrypt's, and comparing with all others, takes the host's libcrypt. Python's own
module for it is gone since 3.13, and it has never told the method that the library lacks.

SHA-crypt: https://www.akkadia.org/drepper/SHA-crypt.txt  The library: https://github.com/besser82/libxcrypt
"""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
import hmac
import os
import re
from functools import lru_cache

YESCRYPT, SHA512 = "yescrypt", "sha512-crypt"

_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SHA512 = re.compile(r"\$6\$(?:rounds=([0-9]{1,9})\$)?([^$:\n]{0,16})\$[./0-9A-Za-z]{86}")
_DEFAULT_ROUNDS, _FEWEST, _MOST = 5000, 1000, 999_999_999
_MOST_COMPARED = 1_000_000  # rounds, of a hash that somebody else made
_DATA_SIZE = 32768  # struct crypt_data
_OUTPUT_SIZE = 192  # CRYPT_GENSALT_OUTPUT_SIZE
_SALT_BYTES = 16


def make(password: str, methods: tuple[str, ...], seed: str | None) -> str:
    """A hash by the first of the methods that this machine can use.

    The salt is random; `seed`, which is no secret, makes it the same each time.
    """
    random = os.urandom(_SALT_BYTES) if seed is None else hashlib.sha256(seed.encode()).digest()[:_SALT_BYTES]
    if YESCRYPT in methods and (made := _yescrypt(password, random)):
        return made
    salt = "".join(_ALPHABET[byte & 63] for byte in random)
    return f"$6${salt}${_sha512(password.encode(), salt.encode(), _DEFAULT_ROUNDS)}"


def matches(password: str, hashed: str) -> bool:
    """Whether a hash is that of the password; False too where the hash cannot be computed here."""
    found = _SHA512.fullmatch(hashed)
    if found is None:
        made = _crypt(password, hashed) if hashed.startswith("$") else None
        return made is not None and hmac.compare_digest(made, hashed)
    rounds = min(max(int(found[1]), _FEWEST), _MOST) if found[1] else _DEFAULT_ROUNDS
    made = _sha512(password.encode(), found[2].encode(errors="replace"), rounds) if rounds <= _MOST_COMPARED else ""
    return hmac.compare_digest(made, hashed.rpartition("$")[2])


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """The host's libcrypt with yescrypt, None without. Called before an image is read: that may be confined."""
    for name in ("libcrypt.so.1", "libcrypt.so.2"):
        try:
            found = ctypes.CDLL(name)
            found.crypt_rn.restype = found.crypt_gensalt_rn.restype = ctypes.c_char_p
        except (OSError, AttributeError):  # none, or glibc's old one
            continue
        found.crypt_rn.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int]
        text, number = ctypes.c_char_p, ctypes.c_int
        found.crypt_gensalt_rn.argtypes = [text, ctypes.c_ulong, text, number, ctypes.c_void_p, number]
        return found
    return None


def _yescrypt(password: str, random: bytes) -> str | None:
    found = library()
    if found is None:
        return None
    room = ctypes.create_string_buffer(_OUTPUT_SIZE)
    setting = found.crypt_gensalt_rn(b"$y$", 0, random, len(random), room, len(room))
    return _crypt(password, setting.decode()) if setting else None


def _crypt(password: str, setting: str) -> str | None:
    found = library()
    if found is None:
        return None
    data = ctypes.create_string_buffer(_DATA_SIZE)
    made = found.crypt_rn(password.encode(), setting.encode(errors="replace"), data, len(data))
    return made.decode() if made else None


def _sha512(key: bytes, salt: bytes, rounds: int) -> str:
    """The last part of a hash, as the specification computes it, step by step."""
    size = len(key)
    between = hashlib.sha512(key + salt + key).digest()
    first = hashlib.sha512(key + salt + _repeated(between, size))
    count = size
    while count:
        first.update(between if count & 1 else key)
        count >>= 1
    state = first.digest()
    words = _repeated(hashlib.sha512(key * size).digest(), size)
    salts = _repeated(hashlib.sha512(salt * (16 + state[0])).digest(), len(salt))
    for turn in range(rounds):
        parts = [words if turn & 1 else state]
        parts += [salts] if turn % 3 else []
        parts += [words] if turn % 7 else []
        parts += [state if turn & 1 else words]
        state = hashlib.sha512(b"".join(parts)).digest()
    text, order = "", (0, 21, 42)
    for _ in range(21):
        high, middle, low = order
        text += _digits(state[high] << 16 | state[middle] << 8 | state[low], 4)
        order = (middle + 1, low + 1, high + 1)
    return text + _digits(state[63], 2)


def _repeated(data: bytes, size: int) -> bytes:
    return (data * (size // len(data) + 1))[:size]


def _digits(value: int, count: int) -> str:
    return "".join(_ALPHABET[value >> 6 * place & 63] for place in range(count))
