"""`login enable`, `login status`, and `console enable --login`: what they do, say and keep to themselves."""

import ctypes
import re

import pexpect
import pytest

import imgkit as library
from tests.cli.command import assert_refused, environment, imgkit, script
from tests.cli.test_console import SYSTEM as BOOTABLE
from tests.support import oracle
from tests.support.disks import sha256
from tests.support.guests import Part, make_disk

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIETtd6RtNhTLDVCnsaEQEegO46rA2XduWuwP6rvkMxXe me@here\n"
SECRET = "correct horse"
UNIT = b"[Service]\nExecStart=-/sbin/agetty -o '-p -- \\\\u' --keep-baud 115200,9600 - $TERM\n"
SYSTEM = BOOTABLE | {
    "/etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n",
    "/etc/shadow": b"root:*:19000:0:99999:7:::\nother:$y$j9T$abc$def:1:::::\n",
    "/etc/group": b"root:x:0:\nwheel:x:10:root\n",
    "/etc/gshadow": b"root:::\nwheel:::root\n",
    "/etc/skel/.profile": b"# profile\n",
    "/root/.profile": b"# profile\n",
    "/home/.keep": b"",
    "/bin/sh": b"\x7fELF",
    "/sbin/agetty": b"\x7fELF",
    "/lib/systemd/system/serial-getty@.service": UNIT,
}


@pytest.fixture
def system(tmp_path):
    return make_disk(tmp_path / "disk.img", [Part("ext4", SYSTEM)])


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "pw"
    path.write_text(f"{SECRET}\nsecond line\n")
    return path


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "id.pub"
    path.write_text(KEY)
    return path


def stat(image, path):
    """Mode, user and group, as debugfs sees them; the only partition starts at 1 MiB."""
    told = oracle.run("debugfs", "-R", f"stat {path}", f"{image}?offset=1048576").stdout
    return re.search(r"Mode:\s+(\d+)", told)[1], *re.search(r"User:\s+(\d+)\s+Group:\s+(\d+)", told).groups()


def crypt_takes(image, user, password):
    row = next(line for line in imgkit("cat", image, "/etc/shadow").text.splitlines() if line.startswith(f"{user}:"))
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    hashed = row.split(":")[1].encode()
    return library.crypt(password.encode(), hashed) == hashed


def test_from_closed_to_open_in_one_edit_and_back(system, secret, tmp_path):
    before = sha256(system)
    closed = imgkit("login", "status", system)
    assert closed.status == 1
    assert "NO      root             root has no password" in closed.text
    undo = tmp_path / "undo"
    done = imgkit("console", "enable", system, "--in-place", "--undo", undo, "--login", f"root:{secret}")
    assert done.status == 0, done.stderr
    assert undo.stat().st_mode & 0o777 == 0o600
    assert crypt_takes(system, "root", SECRET)
    opened = imgkit("login", "status", system, "--json")
    assert opened.status == 0
    assert opened.json["enabled"]
    assert [account["name"] for account in opened.json["accounts"] if account["may_log_in"]] == ["root"]
    again = imgkit("console", "enable", system, "--in-place", "--login", f"root:{secret}")
    assert "enabled already; nothing to change" in again.stderr
    assert imgkit("undo", system, undo).status == 0
    assert sha256(system) == before


def test_a_new_user_with_key_name_and_autologin(system, secret, key, tmp_path):
    assert imgkit("console", "enable", system, "--in-place").status == 0
    words = ("--user", "ada", "--ssh-key", f"ada:{key}", "--password", f"ada:{secret}", "--autologin", "ada")
    done = imgkit("login", "enable", system, "--in-place", *words, "--hostname", "web1", "--json")
    assert done.status == 0, done.stderr
    assert done.json["verdict"] == "enabled"
    assert "Anyone with access to ttyS0 is logged in as ada, without a password." in done.json["announcements"]
    assert imgkit("cat", system, "/home/ada/.ssh/authorized_keys").text == KEY
    assert stat(system, "/home/ada") == ("0755", "1000", "1000")
    assert stat(system, "/home/ada/.ssh") == ("0700", "1000", "1000")
    assert stat(system, "/home/ada/.ssh/authorized_keys") == ("0600", "1000", "1000")
    assert stat(system, "/home/ada/.profile") == ("0644", "1000", "1000")
    assert "wheel:x:10:root,ada" in imgkit("cat", system, "/etc/group").text
    assert crypt_takes(system, "ada", SECRET)
    assert imgkit("cat", system, "/etc/hostname").text == "web1\n"
    told = imgkit("login", "status", system)
    assert "ok      ada              may log in, without a password, 1 SSH key" in told.text
    oracle.run("e2fsck", "-fn", f"{system}?offset=1048576")
    assert "nothing to change" in imgkit("login", "enable", system, "--in-place", *words, "--hostname", "web1").stderr


def test_secrets_show_nowhere(system, secret, tmp_path):
    seed = tmp_path / "user-data"
    seed.write_text("#cloud-config\npassword: swordfish\n")
    imgkit("write", system, "/etc/cloud/cloud.cfg", "--in-place", stdin=b"users: []\n")
    words = ("login", "enable", system, "--dry-run", "--password", f"root:{secret}", "--cloud-init", seed)
    for more in ((), ("--json",)):
        done = imgkit(*words, *more)
        told = done.text + done.stderr
        assert "root:(another hash):" in told
        assert "/var/lib/cloud/seed/nocloud/user-data" in told
        assert not re.search(r"\$(?:y|6)\$|swordfish|correct horse", told)
    assert (
        imgkit("edit", system, "/etc/shadow", "--dry-run", env=environment(EDITOR="sed -i 1d")).text.count("$y$") == 0
    )


def test_the_same_input_gives_the_same_bytes(system, secret, tmp_path):
    made = [tmp_path / "one.img", tmp_path / "two.img"]
    for path in made:
        words = ("-o", path, "--password", f"root:{secret}", "--user", "ada")
        done = imgkit("login", "enable", system, *words, env=environment(SOURCE_DATE_EPOCH="1700000000"))
        assert done.status == 15  # no login prompt on the line as yet
    assert sha256(made[0]) == sha256(made[1])
    assert "root:$" in imgkit("cat", made[0], "/etc/shadow").text
    assert ":19675:" in imgkit("cat", made[0], "/etc/shadow").text


def test_passwords_from_standard_input_and_the_terminal(system):
    words = ("login", "enable", system, "--in-place", "--password")
    assert imgkit(*words, "root:-", stdin=f"{SECRET}\n".encode()).status == 15
    assert crypt_takes(system, "root", SECRET)
    child = pexpect.spawn(str(script()), [str(word) for word in (*words, "root")], timeout=60)
    for prompt in ("Password for root: ", "Again: "):
        child.expect_exact(prompt)
        child.sendline("typed")
    said = child.read()
    child.close()
    assert child.exitstatus == 15, said
    assert crypt_takes(system, "root", "typed")
    assert b"typed" not in said


@pytest.mark.parametrize(
    ("words", "status", "told", "hint"),
    [
        ((), 2, "no change was requested", "Give --password"),
        (("--password", "root"), 2, "standard input is not a terminal", "root:-"),
        (("--password", ":x"), 2, "is not USER:FILE", "root:password.txt"),
        (("--password", "root:/missing/file"), 2, "/missing/file", "ls /missing"),
        (("--ssh-key", "root"), 2, "is not USER:FILE", "id_ed25519.pub"),
        (("--machine-id", "old"), 2, "unknown --machine-id", "only value is new"),
        (("--autologin", "bob"), 12, "there is no user bob", "--user bob"),
        (("--hostname", "a b"), 2, "is not a host name", "letters"),
    ],
)
def test_refusals(system, words, status, told, hint):
    assert_refused(system.parent, "login", "enable", system, "--in-place", *words, status=status, says=told, hint=hint)


def test_the_library_has_the_same(system):
    options = library.LoginOptions(passwords=(("root", SECRET),), hostname="lib1")
    done = library.enable_login(system, library.InPlace(), options)
    assert done.verdict is library.Verdict.PARTLY
    assert "no login prompt on ttyS0" in done.failing[-1]
    assert library.login_status(system).accounts[0].may_log_in
    assert [change.path for change in done.changes] == ["/etc/hostname", "/etc/hosts", "/etc/shadow"]
