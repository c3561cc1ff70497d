"""The recipe for a login: edits of a system's account files, and of what belongs to them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgkit.accounts import hashes, identity, table, users
from imgkit.accounts.wanted import key_lines
from imgkit.configtext.text import append_lines
from imgkit.errors import ConfigError, TreeError, UnsupportedError
from imgkit.tree import Attributes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.accounts.wanted import LoginOptions
    from imgkit.configtext.checks import KernelLine
    from imgkit.configtext.serial import SerialConsole
    from imgkit.inits import InitSystem
    from imgkit.treeedits import TreeEdits

_DAY = 86400
_YESCRYPT_MARK = b"$y$"
_LIBRARIES = ("/lib", "/usr/lib", "/lib64", "/usr/lib64", "/lib32")
_HASH_FIELD, _CHANGED_FIELD = 1, 2


def enable(edits: TreeEdits, options: LoginOptions, *, now: int, reproducible: bool) -> None:
    """Make the accounts and their keys and passwords, and name the system.

    `now` is in seconds; `reproducible` gives the same salts for the same time. Raises UnsupportedError for a system
    without accounts, ConfigError for a user that it does not have.
    """
    if edits.text(table.PASSWD) is None:
        raise UnsupportedError("the system has no /etc/passwd", hint="Give the image of an installed Linux system.")
    today = now // _DAY
    for name in options.users:
        users.add(edits, name, today)
    for name, password in options.passwords:
        _set_password(edits, name, password, today, f"{name}\0{now}" if reproducible else None)
    for name, text in options.ssh_keys:
        _add_keys(edits, name, key_lines(text))
    if options.hostname:
        identity.set_hostname(edits, options.hostname)
    if options.new_machine_id:
        identity.forget_machine_id(edits)
    if options.cloud_init:
        identity.seed(edits, options.cloud_init)


def enable_autologin(
    edits: TreeEdits, init: InitSystem, console: SerialConsole, kernels: Sequence[KernelLine], user: str
) -> None:
    """Have a user logged in on the serial line. Raises UnsupportedError where it is not known how."""
    _require_user(edits, user)
    if init.autologin_user(edits, console, kernels) == user:
        return
    if not init.autologin(edits, console, kernels, user):
        raise UnsupportedError(
            f"--autologin is not possible on {console.port}: no agetty runs there",
            hint="Enable the console first (`imgkit console enable`), or use --password instead of --autologin.",
        )
    edits.announce(f"Anyone with access to {console.port} is logged in as {user}, without a password.")


def methods(edits: TreeEdits) -> tuple[str, ...]:
    """What the system's login can compare passwords with, best first: its libcrypt is asked."""
    if any(_YESCRYPT_MARK in _contents(edits, path) for path in _libcrypts(edits)):
        return hashes.YESCRYPT, hashes.SHA512
    return (hashes.SHA512,)


def _libcrypts(edits: TreeEdits) -> Iterator[str]:
    for folder in _LIBRARIES:
        names = edits.names(folder)
        for each in (folder, *(f"{folder}/{name}" for name in names if name.endswith("-linux-gnu"))):
            yield from (f"{each}/{name}" for name in edits.names(each) if name.startswith("libcrypt.so"))


def _contents(edits: TreeEdits, path: str) -> bytes:
    try:
        return edits.tree.read(path)
    except TreeError:  # a link that leads nowhere
        return b""


def _set_password(edits: TreeEdits, name: str, password: str, today: int, seed: str | None) -> None:
    """Set a password, which unlocks the account; nothing where it is the account's already."""
    account = _require_user(edits, name)
    path = table.SHADOW if account.field(_HASH_FIELD) == "x" else table.PASSWD  # where a system has no shadow passwords
    row = table.find(edits.text(path), name)
    if row is None:
        fresh = (name, "", str(today), "0", "99999", "7", "", "", "")
        edits.edit_or_create(path, lambda text: table.add(text, *fresh))
    if row is not None and hashes.matches(password, row.field(_HASH_FIELD)):
        return
    made = hashes.make(password, methods(edits), seed)
    edits.edit(path, partial(table.set_field, name=name, index=_HASH_FIELD, value=made))
    if path == table.SHADOW:
        edits.edit(path, partial(table.set_field, name=name, index=_CHANGED_FIELD, value=str(today)))


def _add_keys(edits: TreeEdits, name: str, keys: list[str]) -> None:
    """Add keys to a user's authorized_keys; those that are there stay."""
    row = _require_user(edits, name)
    home, uid, gid = row.field(5), row.number(2), row.number(3)
    if uid is None or gid is None or not home.startswith("/"):
        raise ConfigError(f"{name} has no usable home directory", path=table.PASSWD, line=row.line)
    if not edits.is_there(home):
        raise ConfigError(f"{name}'s home directory {home} does not exist", path=table.PASSWD, line=row.line)
    folder = f"{home.rstrip('/')}/.ssh"
    path = f"{folder}/authorized_keys"
    edits.make_directory(folder, Attributes(0o700, uid, gid, "ssh_home_t"))
    before = edits.text(path) or ""
    there = set(key_lines(before))
    new = [key for key in dict.fromkeys(keys) if key not in there]
    if new:
        after = append_lines(before, new) if before else "".join(f"{key}\n" for key in new)
        edits.put_bytes(path, after.encode(), Attributes(0o600, uid, gid, "ssh_home_t"))
    if not any(map(edits.is_there, ("/usr/sbin/sshd", "/usr/bin/sshd", "/usr/sbin/dropbear"))):
        edits.announce("The system has no SSH server; the keys have no effect until one is installed.")


def _require_user(edits: TreeEdits, name: str) -> table.Row:
    row = table.find(edits.text(table.PASSWD), name)
    if row is None:
        raise ConfigError(
            f"there is no user {name}",
            path=table.PASSWD,
            hint=f"Create it with --user {name}; `imgkit login status` lists the users.",
        )
    return row
