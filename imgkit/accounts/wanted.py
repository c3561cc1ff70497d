"""What is wanted of the accounts in an image. Secrets never show in a `repr`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise

from imgkit.accounts import hashes
from imgkit.errors import UsageError

_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}\$?")  # as useradd takes them
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_LONGEST_NAME, _LONGEST_PASSWORD = 64, 512  # HOST_NAME_MAX; libcrypt's CRYPT_MAX_PASSPHRASE_SIZE
_SEEDS = ("user-data", "meta-data", "vendor-data", "network-config")
_KEY_TYPE = re.compile(r"(?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]+")
_KEY_DATA = re.compile(r"[A-Za-z0-9+/]{16,}={0,3}")


@dataclass(frozen=True, slots=True)
class LoginOptions:
    """Who shall be able to log in, and what the system is called.

    `passwords` and `ssh_keys` are pairs of a user and a password, or the text of an authorized_keys file. `users` are
    accounts to make. `autologin` is logged in on the serial line without a password. `cloud_init` are files of a
    NoCloud seed, by name: `user-data`, `meta-data`, `vendor-data`, `network-config`.

    Raises UsageError for what no system would take.
    """

    passwords: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    ssh_keys: tuple[tuple[str, str], ...] = ()
    users: tuple[str, ...] = ()
    autologin: str = ""
    hostname: str = ""
    new_machine_id: bool = False
    cloud_init: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        """Refuse what can be refused without an image."""
        for name in self.users:
            if not _NAME.fullmatch(name):
                raise UsageError(f"{name!r} is not a user name", hint="Use lower-case letters, digits, - and _.")
        for name, password in self.passwords:
            _check_password(name, password)
        for name, text in self.ssh_keys:
            _check_keys(name, text)
        if self.hostname and (
            len(self.hostname) > _LONGEST_NAME or not all(map(_LABEL.fullmatch, self.hostname.split(".")))
        ):
            raise UsageError(f"{self.hostname!r} is not a host name", hint="Use letters, digits, - and dots.")
        unknown = next((name for name, _ in self.cloud_init if name not in _SEEDS), None)
        if unknown is not None:
            raise UsageError(
                f"{unknown}: not a file name of a NoCloud seed", hint=f"Use one of these names: {', '.join(_SEEDS)}."
            )
        if any(self.passwords):
            hashes.library()  # while files can still be opened

    @property
    def is_empty(self) -> bool:
        """Whether nothing is wanted."""
        return self == LoginOptions()

    @property
    def at_the_line(self) -> tuple[str, ...]:
        """The users that shall be able to log in on the serial line."""
        named = (*(name for name, _ in self.passwords), *([self.autologin] if self.autologin else []))
        return tuple(dict.fromkeys(named))


def key_lines(text: str) -> list[str]:
    """The keys of an authorized_keys file, with their options and comments."""
    stripped = (line.strip() for line in text.split("\n"))
    return [line for line in stripped if line and not line.startswith("#")]


def _check_password(name: str, password: str) -> None:
    if not password:
        raise UsageError(f"the password for {name} is empty", hint="Write it on the first line of the file.")
    if len(password.encode()) > _LONGEST_PASSWORD or any(ord(character) < ord(" ") for character in password):
        raise UsageError(
            f"the password for {name} is longer than {_LONGEST_PASSWORD} bytes, or has control characters",
            hint="Use a password that can be typed at a login prompt.",
        )


def _is_key(line: str) -> bool:
    """Whether a line of authorized_keys has a key: its type and its data, behind options, before a comment."""
    return any(_KEY_TYPE.fullmatch(kind) and _KEY_DATA.fullmatch(data) for kind, data in pairwise(line.split()))


def _check_keys(name: str, text: str) -> None:
    if "PRIVATE KEY" in text:
        raise UsageError(
            f"the SSH key for {name} is a private key", hint="Use the public key, the file that ends in .pub."
        )
    found = key_lines(text)
    bad = next((number for number, line in enumerate(found, 1) if not _is_key(line)), None)
    if not found or bad is not None:
        what = f"key {bad} for {name} is not an OpenSSH public key" if bad else f"no SSH key for {name}"
        raise UsageError(what, hint="Give a public key file, such as id_ed25519.pub.")
