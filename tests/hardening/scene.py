"""What is attacked: small images, commands that change them, and what may be found afterwards.

Whatever happened, three things have to hold. Who reads the image sees the old one or the new one, whole, and writes
nothing. Recovery leaves what the reader saw. And the same command, given again, ends well and leaves nothing behind.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imgkit.errors import ImgkitError
from imgkit.formats.image import open_image
from imgkit.storage import commit
from tests.hardening.victim import Action, Attack, Victim
from tests.support import oracle
from tests.support.guests import OS_RELEASE, Part, make_file_system

if TYPE_CHECKING:
    from tests.hardening.victim import Ended

MARK = "user.imgkit.edit"
_GRUB = "set timeout=5\nmenuentry 'Debian' {\n linux /vmlinuz root=/dev/sda ro quiet\n}\n" + "# a comment\n" * 300
_FILES: dict[str, bytes | str] = {
    "/etc/os-release": OS_RELEASE.encode(),
    "/etc/fstab": b"/dev/sda / ext4 defaults 0 1\n",
    "/etc/motd": b"hello\n",
    "/sbin/init": "/lib/systemd/systemd",
    "/lib/systemd/systemd": b"\x7fELF",
    "/lib/systemd/system/serial-getty@.service": b"[Service]\nExecStart=-/sbin/agetty %I\n",
    "/lib/systemd/system-generators/systemd-getty-generator": b"\x7fELF",
    "/etc/default/grub": b'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n',
    "/boot/grub/grub.cfg": _GRUB.encode(),
}

State = dict[str, tuple[bytes, bytes | None]]
"""A folder: contents and mark of each file."""


@dataclass(frozen=True)
class Scene:
    """A command in a folder that holds `before`. Names in `words` that begin with @ are files of the folder.

    `target` may hold any of `allowed` afterwards, None for no file; the last one is what the command makes of it.
    """

    name: str
    words: tuple[str, ...]
    before: State
    target: str
    allowed: tuple[bytes | None, ...]

    def command(self, folder: Path) -> list[str]:
        """The words for a folder."""
        return [str(folder / word[1:]) if word.startswith("@") else word for word in self.words]


def lay_out(state: State, folder: Path) -> None:
    """Make a folder hold exactly these files. What is there already stays the file (the inode) that it is."""
    for path in folder.iterdir():
        if path.name not in state:
            path.unlink()
    for name, (data, mark) in state.items():
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o600)
        with suppress(OSError):
            os.removexattr(folder / name, MARK)
        if mark is not None:
            os.setxattr(folder / name, MARK, mark)


def take(folder: Path) -> State:
    """What a folder holds."""
    state: State = {}
    for path in folder.iterdir():
        mark = None
        with suppress(OSError):
            mark = os.getxattr(path, MARK)
        state[path.name] = (path.read_bytes(), mark)
    return state


def make_scenes(victim: Victim, folder: Path) -> list[Scene]:
    """Every command that changes an image, on a raw disk and a qcow2; one that recovers is interrupted half-way."""
    scenes: list[Scene] = []
    raw = make_file_system(folder.parent / "disk.raw", Part("ext4", _FILES, size=2, options=("-b", "1024")))
    qcow2 = folder.parent / "disk.qcow2"
    oracle.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, qcow2)
    motd = folder.parent / "motd"
    motd.write_bytes(b"changed\n" * 500)
    for image in (raw, qcow2):
        old = image.read_bytes()
        start: State = {"disk": (old, None)}
        write = ("write", "@disk", "/etc/motd", str(motd))
        enable = ("console", "enable", "@disk")
        for verb, words in (("write", write), ("enable", enable)):
            edited = _after(victim, folder, start, (*words, "--in-place", "--undo", "@u"))
            new = edited["disk"][0]
            assert new != old
            kind = image.suffix[1:]
            scenes += [
                Scene(f"{verb} {kind}", (*words, "--in-place", "--undo", "@u"), start, "disk", (old, new)),
                Scene(
                    f"{verb} {kind} to a new file", (*words, "-o", "@new", "--undo", "@u"), start, "new", (None, new)
                ),
                Scene(f"undo {verb} {kind}", ("undo", "@disk", "@u"), edited, "disk", (new, old)),
            ]
            half = _half_way(victim, folder, scenes[-3])
            scenes.append(Scene(f"recover {verb} {kind}", ("recover", "@disk"), half, "disk", (new,)))
    return scenes


def _after(victim: Victim, folder: Path, state: State, words: tuple[str, ...]) -> State:
    lay_out(state, folder)
    scene = Scene("", words, state, "", ())
    ended = victim.run(scene.command(folder), Attack(str(folder)))
    assert ended.status == 0, ended
    return take(folder)


def _half_way(victim: Victim, folder: Path, scene: Scene) -> State:
    """The folder where some of the image is written, and some not."""
    for at in range(1, 100):
        lay_out(scene.before, folder)
        victim.run(scene.command(folder), Attack(str(folder), at, Action.KILL_AFTER))
        state = take(folder)
        if state["disk"][0] not in scene.allowed:
            return state
    raise AssertionError(f"{scene.name}: no kill leaves the image half-written")


def judge(scene: Scene, folder: Path, victim: Victim, ended: Ended | None, *, again: bool = True) -> list[str]:
    """What is wrong after an attack; nothing should be."""
    wrong = _told_wrong(scene, folder, ended) if ended is not None else []
    image, target = folder / "disk", folder / scene.target
    before = take(folder)
    try:
        shown = _shown(image)
    except ImgkitError as error:
        return [*wrong, f"cannot be read any more: {error}"]
    if take(folder) != before:
        wrong.append("reading changed something")
    commit.recover(image)
    now = target.read_bytes() if target.exists() else None
    if now not in scene.allowed:
        wrong.append("a third state")
    if scene.target == "disk" and now != shown:
        wrong.append("recovery leaves something else than a reader saw")
    if now == scene.allowed[-1] and "--undo" in scene.words and not (folder / "u").exists():
        wrong.append("it is done, and its undo file is gone")
    if scene.target != "disk" and image.read_bytes() != scene.before["disk"][0]:
        wrong.append("the input was changed")
    if again:
        wrong += _given_again(scene, folder, victim, now)
    return wrong


def not_a_message(ended: Ended) -> list[str]:
    """What was said as only a fault of ours is said."""
    if "Traceback" in ended.stderr or "bug" in ended.stderr:
        return [f"not an error message: {ended.stderr[-300:]}"]
    return []


def _told_wrong(scene: Scene, folder: Path, ended: Ended) -> list[str]:
    wrong = not_a_message(ended)
    target = folder / scene.target
    now = target.read_bytes() if target.exists() else None
    if ended.status == 0 and now != scene.allowed[-1]:
        wrong.append("status 0, and it is not done")
    if "nothing was changed" in ended.stderr and now != scene.allowed[0]:
        wrong.append("nothing was changed, it says, and it was")
    return wrong


def _given_again(scene: Scene, folder: Path, victim: Victim, now: bytes | None) -> list[str]:
    words = scene.command(folder)
    if now is not None and scene.target == "new":
        words.append("--force")
    ended = victim.run(words, Attack(str(folder)))
    wrong = [] if ended.status == 0 else [f"the same command again: {ended.stderr.strip()}"]
    if (folder / scene.target).read_bytes() != scene.allowed[-1]:
        wrong.append("the same command again makes something else")
    commit.clear_strays(folder / "disk")
    if left := [name for name, (_, mark) in take(folder).items() if name[0] == "." or mark is not None]:
        wrong.append(f"the same command again leaves {left}")
    return wrong


def _shown(image: Path) -> bytes:
    with open_image(image) as opened:
        assert not opened.plan().patches
        return opened.host.read_at(0, opened.host.size)
