"""What becomes of account files: fields that are named change, and every other byte stays."""

import re

import pytest

from imgkit.accounts import hashes, recipe, status, table
from imgkit.accounts.wanted import LoginOptions
from imgkit.configtext.serial import SerialConsole
from imgkit.errors import ConfigError, UnsupportedError, UsageError
from imgkit.inits import Init, module_for
from imgkit.tree import Attributes
from imgkit.treeedits import TreeEdits
from tests.inits.test_conformance import SYSTEMD, kernels
from tests.support.memoryguest import MemoryGuest

NOW = 1_700_000_000
TODAY = NOW // 86400
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIETtd6RtNhTLDVCnsaEQEegO46rA2XduWuwP6rvkMxXe me@here"
CONSOLE = SerialConsole()
PASSWD = (
    "root:x:0:0:root:/root:/bin/bash\r\n"
    "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
    "# a comment: with colons\n"
    "old:x:1000:1000:Old, User,,:/home/old:/bin/bash\n"
    "nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n"
    "+::::::\n"
)
SHADOW = "root:*:19000:0:99999:7:::\ndaemon:*:19000::::::\nold:!$6$x$y:19000:0:99999:7:::\n"
GROUP = "root:x:0:\nsudo:x:27:old\nold:x:1000:\n"
GSHADOW = "root:*::\nsudo:*::old\nold:!::\n"
FILES = SYSTEMD | {
    "/etc/passwd": PASSWD.encode(),
    "/etc/shadow": SHADOW.encode(),
    "/etc/group": GROUP.encode(),
    "/etc/gshadow": GSHADOW.encode(),
    "/etc/login.defs": b"UID_MIN\t\t 1000\nUID_MAX 60000\nPASS_MAX_DAYS\t90 # days\nHOME_MODE 0750\n",
    "/etc/skel/.profile": b"# profile\n",
    "/etc/skel/.config/app/rc": b"\0binary",
    "/etc/skel/link": ".profile",
    "/etc/hostname": b"old-name\n",
    "/etc/hosts": b"127.0.0.1 localhost\n127.0.1.1\told-name.example.org old-name # own\n",
    "/etc/machine-id": b"0123456789abcdef0123456789abcdef\n",
    "/var/lib/dbus/machine-id": b"0123456789abcdef0123456789abcdef\n",
    "/bin/bash": b"",
    "/sbin/agetty": b"",
    "/root/.bashrc": b"",
    "/usr/sbin/sshd": b"",
    "/usr/lib/x86_64-linux-gnu/libcrypt.so.1": b"..$y$..$6$..",
}


def changed(options, files=FILES, *, reproducible=True):
    """The guest with the options, and the announcements."""
    guest = MemoryGuest(files)
    edits = TreeEdits(guest)
    recipe.enable(edits, options, now=NOW, reproducible=reproducible)
    guest.apply(edits.changes())
    again = TreeEdits(guest)
    recipe.enable(again, options, now=NOW + 86400, reproducible=reproducible)
    assert again.changes() == [], "twice is once"
    return guest, edits


def text(guest, path):
    return guest.read(path).decode()


def test_a_password_unlocks_the_user_that_is_named_and_no_other():
    guest, _ = changed(LoginOptions(passwords=(("root", "secret"),)))
    after = text(guest, "/etc/shadow")
    row = table.find(after, "root")
    assert row.field(1).startswith("$y$")
    assert hashes.matches("secret", row.field(1))
    assert row.field(2) == str(TODAY)
    assert after.split("\n")[1:] == SHADOW.split("\n")[1:]
    assert text(guest, "/etc/passwd") == PASSWD
    assert changed(LoginOptions(passwords=(("root", "secret"),)))[0].root.files == guest.root.files


def test_sha512_where_the_library_knows_no_better():
    files = FILES | {"/usr/lib/x86_64-linux-gnu/libcrypt.so.1": b"..$6$.."}
    guest, _ = changed(LoginOptions(passwords=(("old", "secret"),)), files)
    assert table.find(text(guest, "/etc/shadow"), "old").field(1).startswith("$6$")


def test_without_shadow_passwords_the_hash_is_in_passwd():
    files = {"/etc/passwd": b"root::0:0:root:/root:/bin/sh\n", "/bin/sh": b""}
    guest, _ = changed(LoginOptions(passwords=(("root", "secret"),)), files)
    assert hashes.matches("secret", table.find(text(guest, "/etc/passwd"), "root").field(1))
    assert not guest.exists("/etc/shadow")


def test_a_new_user_has_group_home_and_the_administrators_group():
    guest, edits = changed(LoginOptions(users=("ada",), ssh_keys=(("ada", KEY + "\n"),)))
    line = "ada:x:1001:1001::/home/ada:/bin/bash\n"
    assert text(guest, "/etc/passwd") == PASSWD.replace("+::::::\n", line + "+::::::\n").replace(
        line, line.replace("\n", "\r\n")
    )
    assert text(guest, "/etc/group") == GROUP.replace("27:old", "27:old,ada") + "ada:x:1001:\n"
    assert text(guest, "/etc/gshadow") == GSHADOW.replace("sudo:*::old", "sudo:*::old,ada") + "ada:!::\n"
    assert text(guest, "/etc/shadow") == SHADOW + f"ada:!:{TODAY}:0:90:7:::\n"
    assert guest.read("/home/ada/.config/app/rc") == b"\0binary"
    assert guest.readlink("/home/ada/link") == ".profile"
    assert text(guest, "/home/ada/.ssh/authorized_keys") == KEY + "\n"
    modes = {path: (each.mode, each.uid, each.gid, each.label) for path, each in guest.root.attributes.items()}
    assert modes["/home/ada"] == (0o750, 1001, 1001, "user_home_dir_t")
    assert modes["/home/ada/.ssh"] == (0o700, 1001, 1001, "ssh_home_t")
    assert modes["/home/ada/.ssh/authorized_keys"] == (0o600, 1001, 1001, "ssh_home_t")
    assert {mode[1] for path, mode in modes.items() if path.startswith("/home/ada")} == {1001}
    assert edits.announcements == ["ada is an administrator, as a member of the group sudo."]


def test_keys_are_added_once_beside_those_that_are_there():
    files = FILES | {"/root/.ssh/authorized_keys": b"# mine\nssh-rsa AAAAB3NzaC1yc2EAAAADAQAB other"}
    guest, _ = changed(LoginOptions(ssh_keys=(("root", f"\n{KEY}\n{KEY}\n"[:-1]),)), files)
    assert text(guest, "/root/.ssh/authorized_keys").startswith(
        "# mine\nssh-rsa AAAAB3NzaC1yc2EAAAADAQAB other\n" + KEY
    )


def test_the_system_gets_a_name_and_forgets_who_it_was():
    guest, _ = changed(LoginOptions(hostname="new.example.net", new_machine_id=True))
    assert text(guest, "/etc/hostname") == "new.example.net\n"
    assert text(guest, "/etc/hosts") == "127.0.0.1 localhost\n127.0.1.1\tnew.example.net new # own\n"
    assert guest.read("/etc/machine-id") == b""
    assert not guest.exists("/var/lib/dbus/machine-id")


def test_a_seed_is_for_cloud_init():
    seed = (("user-data", b"#cloud-config\npassword: secret\n"),)
    with pytest.raises(UnsupportedError, match="cloud-init, which reads"):
        changed(LoginOptions(cloud_init=seed))
    files = FILES | {"/etc/cloud/cloud.cfg": b"", "/etc/cloud/cloud.cfg.d/90_x.cfg": b"datasource_list: [ Ec2 ]\n"}
    guest, edits = changed(LoginOptions(cloud_init=seed), files)
    assert guest.read("/var/lib/cloud/seed/nocloud/user-data") == seed[0][1]
    assert re.fullmatch(rb"instance-id: imgkit-[0-9a-f]{16}\n", guest.read("/var/lib/cloud/seed/nocloud/meta-data"))
    assert guest.root.attributes["/var/lib/cloud/seed/nocloud/user-data"] == Attributes(0o600, 0, 0)
    assert "does not list NoCloud" in edits.announcements[0]
    assert all("secret" not in change.diff() for change in edits.changes())


def test_no_diff_shows_a_hash():
    edits = TreeEdits(MemoryGuest(FILES))
    recipe.enable(edits, LoginOptions(passwords=(("root", "secret"), ("old", "other"))), now=NOW, reproducible=False)
    told = "".join(change.diff() for change in edits.changes())
    assert "+root:(another hash):19675:0:99999:7:::" in told
    assert "$" not in told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"passwords": (("bob", "x"),)}, "there is no user bob"),
        ({"ssh_keys": (("nobody", KEY),)}, "/nonexistent does not exist"),
    ],
)
def test_users_that_cannot_get_it_are_named(options, told):
    with pytest.raises(ConfigError, match=told):
        changed(LoginOptions(**options))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"users": ("Ada:x",)}, "is not a user name"),
        ({"passwords": (("root", ""),)}, "is empty"),
        ({"passwords": (("root", "a\tb"),)}, "control characters"),
        ({"ssh_keys": (("root", "-----BEGIN OPENSSH PRIVATE KEY-----"),)}, "is a private key"),
        ({"ssh_keys": (("root", KEY + "\nrubbish"),)}, "key 2 for root"),
        ({"ssh_keys": (("root", "# none\n"),)}, "no SSH key for root"),
        ({"hostname": "-x"}, "is not a host name"),
        ({"cloud_init": (("passwd", b""),)}, "not a file name of a NoCloud seed"),
    ],
)
def test_what_no_system_would_take_is_refused(options, told):
    with pytest.raises(UsageError, match=told):
        LoginOptions(**options)


def test_no_secret_in_a_representation():
    assert "secret" not in repr(LoginOptions(passwords=(("root", "secret"),), cloud_init=(("user-data", b"secret"),)))


def login_status(files):
    module = module_for(Init.SYSTEMD)
    found = status.status(TreeEdits(MemoryGuest(files)), module, CONSOLE, kernels(CONSOLE), today=TODAY)
    return found, {account.name: account for account in found.accounts}


def test_status_says_why_nobody_may_log_in():
    found, accounts = login_status(FILES)
    assert not found.enabled
    assert accounts["root"].reasons == ("root has no password",)
    assert accounts["old"].reasons == ("old's password is locked",)
    assert set(accounts) == {"root", "old"}


@pytest.mark.parametrize(
    ("files", "user", "reason"),
    [
        ({"/etc/nologin": b""}, "old", "/etc/nologin blocks all users but root"),
        (
            {"/etc/securetty": b"tty1\n", "/etc/pam.d/login": b"auth requisite pam_securetty.so\n"},
            "root",
            "may not log",
        ),
        ({"/etc/shadow": b"root:HASH:19000::90:7:10::\n"}, "root", "the password has expired"),
        ({"/etc/shadow": b"root:HASH:19000:::::19001:\n"}, "root", "the account has expired"),
        ({"/etc/passwd": b"root:x:0:0::/root:/bin/false\n"}, "root", "/bin/false does not allow logins"),
        ({"/etc/passwd": b"root:x:0:0::/root:/bin/zsh\n"}, "root", "/bin/zsh does not exist"),
    ],
)
def test_status_says_what_else_keeps_a_user_out(files, user, reason):
    hashed = hashes.make("x", (hashes.SHA512,), "x").encode()
    shadow = b"root:HASH:19000:0:99999:7:::\nold:HASH:19000:0:99999:7:::\n"
    whole = {path: data.replace(b"HASH", hashed) for path, data in {"/etc/shadow": shadow, **files}.items()}
    _, accounts = login_status(FILES | whole)
    assert not accounts[user].may_log_in
    assert [told for told in accounts[user].reasons if reason in told], accounts[user].reasons
    assert login_status(FILES | {"/etc/shadow": shadow.replace(b"HASH", hashed)})[0].enabled


def test_autologin_needs_no_password():
    guest = MemoryGuest(FILES)
    edits, module, lines = TreeEdits(guest), module_for(Init.SYSTEMD), kernels(CONSOLE)
    recipe.enable_autologin(edits, module, CONSOLE, lines, "root")
    assert edits.announcements == ["Anyone with access to ttyS0 is logged in as root, without a password."]
    guest.apply(edits.changes())
    found = status.status(TreeEdits(guest), module, CONSOLE, lines, today=TODAY)
    assert found.enabled
    assert next(account for account in found.accounts if account.name == "root").has_autologin
