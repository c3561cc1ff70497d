"""Who could log in at the serial line, and why the others could not. Read from the files alone: no program is run.

What shadow's and util-linux's login ask, in their order: the terminal, /etc/nologin, the account's age, its password,
its shell. https://github.com/util-linux/util-linux/blob/master/login-utils/login.c
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgkit.accounts import table, users
from imgkit.accounts.securetty import login as securetty
from imgkit.accounts.wanted import key_lines
from imgkit.configtext.checks import CheckKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imgkit.configtext.checks import Check, KernelLine
    from imgkit.configtext.serial import SerialConsole
    from imgkit.inits import InitSystem
    from imgkit.treeedits import TreeEdits

_NO_SHELLS = re.compile(r"(?:.*/)?(?:nologin|false|true|sync|shutdown|halt)")
_MODULE = re.compile(r"^[ \t]*-?[a-z]+[ \t]+(?:\[[^]\n]*\]|\S+)[ \t]+(?:\S*/)?(pam_[a-z0-9_]+)\.so", re.MULTILINE)
_UNREAD = ("pam_access", "pam_listfile", "pam_time")
_PAM = "/etc/pam.d/login"
_NOLOGIN = ("/etc/nologin", "/var/run/nologin")


@dataclass(frozen=True, slots=True)
class Account:
    """One account: whether it may log in on the serial line, and if not, why.

    `password` is `set`, `none` (an empty field, which lets anybody in), `locked` or `no`; `ssh_keys` counts the keys
    that SSH would take. `has_autologin` says that it is logged in without a question.
    """

    name: str
    uid: int
    shell: str
    password: str
    ssh_keys: int
    has_autologin: bool
    may_log_in: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LoginStatus:
    """Who may log in on a serial console. `prompt` are the checks of what asks for a login there."""

    console: SerialConsole
    accounts: tuple[Account, ...]
    prompt: tuple[Check, ...]
    notices: tuple[str, ...]

    @property
    def has_prompt(self) -> bool:
        """Whether somebody asks for a login on the line."""
        return all(check.ok for check in self.prompt)

    @property
    def enabled(self) -> bool:
        """Whether anybody can log in on the line."""
        return self.has_prompt and any(account.may_log_in for account in self.accounts)


def status(
    edits: TreeEdits, init: InitSystem, console: SerialConsole, kernels: Sequence[KernelLine], *, today: int
) -> LoginStatus:
    """The accounts that a person may use: root, those with a password or a key, and those in the range of users."""
    modules = _modules(edits)
    automatic = init.autologin_user(edits, console, kernels)
    first = users.number(users.definitions(edits), "UID_MIN", 1000)
    accounts = []
    for row in table.rows(edits.text(table.PASSWD) or ""):
        account = _account(edits, row, console, modules, automatic=automatic, today=today)
        is_person = account.uid == 0 or first <= account.uid < 65534  # noqa: PLR2004 - nobody's
        if is_person or account.password in ("set", "none") or account.ssh_keys:
            accounts.append(account)
    prompt = tuple(c for c in init.checks(edits, console, kernels) if c.kind is CheckKind.GETTY)
    notices = tuple(f"{_PAM} uses {name}, whose rules were not read" for name in _UNREAD if name in modules)
    return LoginStatus(console, tuple(accounts), prompt, notices)


def _account(
    edits: TreeEdits, row: table.Row, console: SerialConsole, modules: frozenset[str], *, automatic: str, today: int
) -> Account:
    name, uid, shell = row.fields[0], row.number(2), row.field(6) or "/bin/sh"
    shadow = table.find(edits.text(table.SHADOW), name)
    hashed = shadow.field(1) if shadow is not None and row.field(1) == "x" else row.field(1)
    password = _password(hashed)
    is_automatic = name == automatic
    reasons = [*_of_the_system(edits, uid, console, modules), *_of_the_age(shadow, today)]
    if not is_automatic:
        reasons += _of_the_password(name, password)
    reasons += _of_the_shell(edits, shell)
    may, told = not reasons, tuple(reasons)
    return Account(name, -1 if uid is None else uid, shell, password, _keys(edits, row), is_automatic, may, told)


def _password(hashed: str) -> str:
    if not hashed:
        return "none"
    if hashed.startswith("!") and len(hashed.lstrip("!")) > 1:
        return "locked"
    return "set" if len(hashed.lstrip("!*")) > 1 and not hashed.startswith(("!", "*")) else "no"


def _of_the_system(edits: TreeEdits, uid: int | None, console: SerialConsole, modules: frozenset[str]) -> Iterator[str]:
    if uid == 0 and edits.is_there(securetty.PATH) and ("pam_securetty" in modules or not edits.is_there(_PAM)):
        yield from (f"{check.message} ({check.file})" for check in securetty.checks(edits, console) if not check.ok)
    if uid != 0:
        yield from (f"{path} blocks all users but root" for path in _NOLOGIN if edits.is_there(path))


def _of_the_age(shadow: table.Row | None, today: int) -> Iterator[str]:
    if shadow is None:
        return
    changed, most, grace, expires = (shadow.number(index) for index in (2, 4, 6, 7))
    if expires is not None and expires <= today:
        yield f"the account has expired ({table.SHADOW}:{shadow.line})"
    if changed and most is not None and grace is not None and changed + most + grace < today:
        yield f"the password has expired ({table.SHADOW}:{shadow.line})"


def _of_the_password(name: str, password: str) -> Iterator[str]:
    if password == "no":  # noqa: S105 - a word of ours
        yield f"{name} has no password"
    elif password == "locked":  # noqa: S105
        yield f"{name}'s password is locked"


def _of_the_shell(edits: TreeEdits, shell: str) -> Iterator[str]:
    if _NO_SHELLS.fullmatch(shell):
        yield f"the shell {shell} does not allow logins"
    elif edits.is_there("/bin") and not _leads_anywhere(edits, shell):
        yield f"the shell {shell} does not exist"


def _leads_anywhere(edits: TreeEdits, path: str) -> bool:
    return edits.is_there(path) or edits.tree.exists(path)


def _keys(edits: TreeEdits, row: table.Row) -> int:
    path = f"{row.field(5).rstrip('/')}/.ssh/authorized_keys"
    return len(key_lines(edits.text(path) or "")) if row.field(5).startswith("/") else 0


def _modules(edits: TreeEdits) -> frozenset[str]:
    """The modules of the login's PAM stack, as far as its own file goes."""
    return frozenset(_MODULE.findall(edits.text(_PAM) or ""))
