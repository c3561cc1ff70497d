"""Every command with every kind of path that nothing can be done with: one message, and a status that says why."""

import io
import os
import re
import signal
import socket
import sys

import pytest

from imgkit.cli.main import BUG, main
from tests.cli.test_help import LEAVES
from tests.support.guests import OS_RELEASE, Part, make_file_system
from tests.support.unprivileged import without_power_over_files

# Each command with a place for a path, @; more lines where it takes more than one. IMAGE is a good image.
PLACES = """
batch console enable @ --in-place
batch console enable IMAGE --out @
batch console enable IMAGE --in-place --ledger @
batch iso add @ --file IMAGE --at / --in-place
batch iso add IMAGE --file @ --at / --in-place
batch report @
batch report PLAN -o @
batch report PLAN --ledger @
batch retry @
batch retry PLAN --ledger @
batch run @
batch run PLAN --ledger @
batch status @ --once
batch status PLAN --once --ledger @
batch undo @
batch undo PLAN --ledger @
batch write @ /x --in-place
cat @ /etc/fstab
cat IMAGE @
cat IMAGE /etc/fstab --allow @
cat IMAGE /etc/fstab --key-file @
console enable @ --in-place
console enable @ -o OUT
console enable IMAGE -o @
console enable IMAGE -o @ --force
console enable IMAGE --in-place --undo @
console enable @ --dry-run
console status @
edit @ /etc/motd --in-place
edit IMAGE @ --in-place
inspect @
inspect @ --map
iso add @ IMAGE / --in-place
iso add IMAGE @ / --in-place
iso answers @ IMAGE --in-place
iso answers IMAGE @ --in-place
iso extract @ OUT
iso extract IMAGE @
iso rm @ /x --in-place
location fetch @
location inspect @
login enable @ --hostname a --in-place
login enable IMAGE --password root:@ --in-place
login enable IMAGE --ssh-key root:@ --in-place
login enable IMAGE --cloud-init @ --in-place
login status @
ls @ /
ls IMAGE @
recover @
undo @ IMAGE
undo IMAGE @
verify @ --timeout 1
verify IMAGE --log @ --timeout 0
vm console none --log @
vm import none @ --dry-run
vm import none IMAGE --log @ --dry-run
vm install none --cdrom @ --disk none --dry-run
vm install none --location @ --disk none --dry-run
vm install none --import @ --dry-run
vm install none --kernel @ --initrd IMAGE --disk none --dry-run
vm install none --kernel IMAGE --initrd @ --disk none --dry-run
vm install none --kernel IMAGE --initrd IMAGE --disk path=@,size=1G --dry-run
vm install none --kernel IMAGE --initrd IMAGE --disk path=@ --dry-run
vm install none --cdrom IMAGE --disk none --answers @ --dry-run
vm install none --cdrom IMAGE --disk none --inject @ --dry-run
write @ /etc/motd IMAGE --in-place
write IMAGE @ IMAGE --in-place
write IMAGE /etc/motd @ --in-place
"""
WITHOUT_PATHS = {"doctor", "exit-status", "vm list", "vm remove", "vm start", "vm stop"}


def closed(folder):
    (folder / "closed").mkdir()
    (folder / "closed" / "x").write_bytes(b"")
    (folder / "closed").chmod(0)
    return folder / "closed" / "x"


def unreadable(folder):
    (folder / "x").write_bytes(b"x" * 4096)
    (folder / "x").chmod(0)
    return folder / "x"


def through_a_file(folder):
    (folder / "x").write_bytes(b"")
    return folder / "x" / "y"


def fifo(folder):
    os.mkfifo(folder / "x")
    return folder / "x"


def listening(folder):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "s"))
    return folder / "s"


def device(folder):
    (folder / "x").symlink_to("/dev/null")  # not itself: root could write beside that
    return folder / "x"


def loop(folder):
    (folder / "x").symlink_to("x")
    return folder / "x"


def dangling(folder):
    (folder / "x").symlink_to("none")
    return folder / "x"


def empty(folder):
    (folder / "x").write_bytes(b"")
    return folder / "x"


KINDS = {
    "closed": closed,
    "in a closed folder's folder": lambda folder: closed(folder) / "y",
    "unreadable": unreadable,
    "through a file": through_a_file,
    "fifo": fifo,
    "socket": listening,
    "device": device,
    "loop": loop,
    "dangling": dangling,
    "empty": empty,
    "missing": lambda folder: folder / "none",
    "missing folder": lambda folder: folder / "none" / "none",
    "folder": lambda folder: folder,
    "too long": lambda folder: folder / ("a" * 256),
    "far too long": lambda folder: folder / "/".join(["a" * 200] * 30),
    "nul": lambda folder: f"{folder}/a\0b",
    "surrogates": lambda folder: folder / "a\udcffb",
    "nothing": lambda _: "",
}


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    files = {"/etc/os-release": OS_RELEASE.encode(), "/etc/fstab": b"", "/etc/motd": b"", "/boot/grub/grub.cfg": b""}
    return make_file_system(tmp_path_factory.mktemp("image") / "image.raw", Part("ext4", files, size=2))


@pytest.fixture
def run(capfd, monkeypatch):
    """Run the command in this process; status and what it said."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}

    def command(*words):
        monkeypatch.setattr(sys, "argv", ["imgkit", *words])
        monkeypatch.setenv("EDITOR", "true")
        with pytest.raises(SystemExit) as ended, without_power_over_files():
            main()
        return ended.value.code or 0, capfd.readouterr().err

    yield command
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_every_command_is_walked():
    walked = {re.match(r"[a-z -]*?(?= [@A-Z/-]| none)", line)[0] for line in PLACES.strip().splitlines()}
    assert walked == set(LEAVES) - WITHOUT_PATHS


WITHOUT_SENSE = {  # a pipe whose writer may come yet, as `<(command)` makes
    ("write IMAGE /etc/motd @ --in-place", "fifo"),
    ("cat IMAGE /etc/fstab --key-file @", "fifo"),
    ("iso answers IMAGE @ --in-place", "fifo"),
    ("login enable IMAGE --password root:@ --in-place", "fifo"),
    ("login enable IMAGE --ssh-key root:@ --in-place", "fifo"),
    ("login enable IMAGE --cloud-init @ --in-place", "fifo"),
}


@pytest.mark.parametrize(
    ("place", "kind"),
    [(place, kind) for place in PLACES.strip().splitlines() for kind in KINDS if (place, kind) not in WITHOUT_SENSE],
)
def test_a_path_that_nothing_can_be_done_with(image, tmp_path, run, monkeypatch, place, kind):
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)  # which is what an empty name means to some
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    copy = tmp_path / "image.raw"
    copy.write_bytes(image.read_bytes())
    plan = tmp_path / "plan.toml"
    plan.write_text(
        'inputs = ["image.raw"]\nin-place = true\n[operation]\nkind = "write"\npath = "/x"\ncontents = ""\n'
    )
    path = str(KINDS[kind](folder))
    stand_ins = {"IMAGE": str(copy), "OUT": str(tmp_path / "out"), "PLAN": str(plan)}
    words = [stand_ins.get(word, word.replace("@", path)) for word in place.split(" ")]
    try:
        status, told = run(*words)
    finally:
        if (folder / "closed").exists():
            (folder / "closed").chmod(0o700)
    assert "Traceback" not in told
    assert status != BUG, told
    assert status in (0, *range(2, 16)) or (status == 1 and place.startswith(("batch", "verify", "console status"))), (
        told
    )
    assert status == 0 or told, "it says nothing"
    assert status == 0 or "rror" in told or "imgkit:" in told, told
    if "IMAGE" not in place and "PLAN" not in place and status == 0:
        assert kind in ("empty", "folder", "nothing"), told
