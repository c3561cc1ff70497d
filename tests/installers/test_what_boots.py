"""What an installer's medium boots by itself: what stays, the two exceptions, and that each is announced."""

from __future__ import annotations

import bz2
import gzip
import lzma

import pytest
import zstandard

from imgkit.bootloaders.bootmenu import BootMenu, Choice
from imgkit.bootloaders.files import BootFile, Loader
from imgkit.bootloaders.menus import all_menus
from imgkit.configtext.options import EnableOptions
from imgkit.errors import UsageError
from imgkit.installers.status import status
from imgkit.treeedits import TreeEdits
from tests.support.installers import CONSOLE, DEBIAN_GRUB, DEBIAN_ISOLINUX, enabled, text

GRUB, ISOLINUX, LOADER = "/boot/grub/grub.cfg", "/isolinux/isolinux.cfg", "/loader/loader.conf"
LOADERS = {ISOLINUX: Loader.EXTLINUX, GRUB: Loader.GRUB, LOADER: Loader.SYSTEMD_BOOT}
PRESEED = "auto=true priority=critical preseed/file=/cdrom/preseed.cfg"


def grub(*entries, default="0", timeout="5"):
    """A grub.cfg of (title, arguments, initrd); without arguments an entry leaves for the firmware's next device."""
    lines = [f'set default="{default}"'] + ([f"set timeout={timeout}"] if timeout else [])
    for title, arguments, initrd in entries:
        body = "\texit" if arguments is None else f"\tlinux /install.amd/vmlinuz {arguments}\n\tinitrd {initrd}"
        lines.append(f"menuentry '{title}' {{\n{body}\n}}")
    return "\n".join(lines) + "\n"


def isolinux(*entries, head="default vesamenu.c32\ntimeout 50\n", default=None, tail=""):
    """An isolinux.cfg of the same entries, whose labels are a, b, c, ...; `default` has MENU DEFAULT."""
    lines = []
    for name, (title, arguments, initrd) in zip("abcdefgh", entries, strict=False):
        lines += [f"label {name}", f"  menu label {title}"] + (["  menu default"] if name == default else [])
        body = ["  localboot 0x80"]
        if arguments is not None:
            body = ["  kernel /install.amd/vmlinuz", f"  append initrd={initrd} {arguments}"]
        lines += body
    return head + "\n".join(lines) + "\n" + tail


GTK, TXT = "/install.amd/gtk/initrd.gz", "/install.amd/initrd.gz"
LOCAL = ("Boot from the local disk", None, "")
WIPE = ("Wipe and install", "inst.ks=cdrom:/wipe.ks inst.stage2=hd:LABEL=X quiet", TXT)
AUTO_GTK = ("Automated install", f"{PRESEED} --- quiet", GTK)
AUTO = ("Automated install", f"{PRESEED} --- quiet", TXT)
GRAPHICAL = ("Graphical install", "vga=788 --- quiet", GTK)
INSTALL = ("Install", "vga=788 --- quiet", TXT)
RESCUE = ("Rescue", "rescue/enable=true --- quiet", TXT)


def menus(files):
    edits = TreeEdits(files)
    return all_menus(edits, [BootFile(kind, path) for path, kind in LOADERS.items() if edits.is_there(path)])


def by_itself(tree):
    """(title, seconds) of what each menu boots when nobody does anything."""
    return [(menu.default.title if menu.default else None, menu.seconds) for menu in menus(tree)]


@pytest.mark.parametrize("timeout", ["5", "-1", ""])
@pytest.mark.parametrize(
    "entries",
    [
        (LOCAL, WIPE),
        (LOCAL, GRAPHICAL, INSTALL),
        (AUTO_GTK, INSTALL),
        (AUTO, GRAPHICAL, INSTALL),
        (RESCUE, INSTALL),
        (("Live", "boot=live components", TXT), GRAPHICAL, INSTALL),
        (("Automatic", "vga=788 --- quiet", GTK), INSTALL),
    ],
    ids=lambda entries: entries[0][0],
)
def test_what_is_no_installer_that_asks_stays_as_it_is(entries, timeout):
    files = {
        GRUB: grub(*entries, timeout=timeout),
        ISOLINUX: isolinux(*entries, head=f"default vesamenu.c32\ntimeout {timeout.lstrip('-') or 0}0\n"),
    }
    tree = enabled(files, announced=[])
    titles = {entries[0][0]}
    assert {title for title, _ in by_itself(tree)} == titles
    assert [line for line in text(tree, GRUB).splitlines() if "timeout" in line] == [
        line for line in files[GRUB].splitlines() if "timeout" in line
    ]
    assert "\ntimeout " in text(tree, ISOLINUX)


def test_a_graphical_installer_becomes_its_text_twin_and_a_menu_without_end_starts_it():
    files = {
        GRUB: grub(LOCAL, AUTO, GRAPHICAL, INSTALL, default="2", timeout=""),
        ISOLINUX: isolinux(GRAPHICAL, INSTALL, LOCAL, AUTO, head="ui vesamenu.c32\nprompt 0\ntimeout 0\n"),
    }
    twin = "now boots 'Install' by default, instead of 'Graphical install' (the same installer in text)"
    tree = enabled(
        files,
        announced=[
            f"/isolinux/isolinux.cfg: {twin}",
            "/isolinux/isolinux.cfg: now boots after 10 s (before: waits for a key, with no timeout)",
            f"/boot/grub/grub.cfg: {twin}",
            "/boot/grub/grub.cfg: now boots after 10 s (before: waits for a key, with no timeout)",
        ],
    )
    assert by_itself(tree) == [("Install", 10), ("Install", 10)]
    kept = enabled(files, options=EnableOptions(default="keep"), announced=[])
    assert by_itself(kept) == [("Graphical install", None), ("Graphical install", None)]


def test_titles_only_tell_which_of_two_alike_is_graphical():
    """Proxmox VE's entries differ in one word."""
    graphical = ("Install (Graphical)", "ro ramdisk_size=16777216 rw quiet splash=silent", "/boot/initrd.img")
    terminal = ("Install (Terminal UI)", f"{graphical[1]} proxtui vga=788", "/boot/initrd.img")
    rescue = ("Install (Graphical, debug)", f"{graphical[1]} proxdebug", "/boot/initrd.img")
    assert by_itself(enabled({GRUB: grub(graphical, terminal)})) == [("Install (Terminal UI)", 5)]
    assert by_itself(enabled({GRUB: grub(rescue, terminal)}, announced=[])) == [("Install (Graphical, debug)", 5)]
    safe = ("Install (safe graphics)", "quiet nomodeset ---", "/casper/initrd")
    plain = ("Install", "quiet ---", "/casper/initrd")
    assert by_itself(enabled({GRUB: grub(plain, safe)}, announced=[])) == [("Install", 5)]


@pytest.mark.parametrize("gfxboot", ["ui gfxboot bootlogo", "gfxboot bootlogo"])
def test_what_gfxboot_would_start_is_started_without_it(gfxboot):
    for default in ("default b\nprompt 1\n", "default vesamenu.c32\n"):
        head = f"{default}timeout 300\n{gfxboot}\n"
        files = {ISOLINUX: isolinux(INSTALL, LOCAL, head=head)}
        title = "Boot from the local disk" if "default b" in default else "Install"
        assert by_itself(enabled(files, announced=[])) == [(title, 30)]


def test_the_twin_is_the_same_installer():
    other = ("Expert", "priority=low vga=788 ---", TXT)
    lvm = ("LVM", "partman-auto/method=lvm --- quiet", TXT)
    tree = enabled({GRUB: grub(GRAPHICAL, other, lvm, AUTO)}, announced=[])
    assert by_itself(tree) == [("Graphical install", 5)]
    found = status(tree)
    assert found.enabled, "Debian's graphical installer asks in text where there is no screen"


def test_speech_synthesis_becomes_the_text_installer_only_where_enter_is_an_installer_that_asks():
    speech = "now boots 'Install' by default, instead of 'Install with speech synthesis' (the same installer in text)"
    tree = enabled(DEBIAN_ISOLINUX, announced=[f"/isolinux/isolinux.cfg: {speech}"])
    assert by_itself(tree) == [("Install", 30)]
    speech = "ontimeout /install.amd/vmlinuz vga=788 initrd=/install.amd/gtk/initrd.gz speakup.synth=soft --- quiet\n"
    files = {ISOLINUX: isolinux(AUTO, INSTALL, tail=speech + "menu autoboot Speech in # second{,s}...\n")}
    tree = enabled(files)
    assert by_itself(tree) == [("Install", 5)]
    assert "\nontimeout b\n" in text(tree, ISOLINUX)
    assert "autoboot" not in text(tree, ISOLINUX)


def test_a_default_that_is_a_kernel():
    files = {ISOLINUX: "default vmlinuz auto=true\nappend initrd=i.gz --- quiet\nprompt 1\ntimeout 0\n"}
    tree = enabled(files, announced=[])
    assert by_itself(tree) == [("DEFAULT", None)]
    asking = {ISOLINUX: files[ISOLINUX].replace(" auto=true", "")}
    assert by_itself(enabled(asking)) == [("DEFAULT", 10)]


def test_arguments_that_default_adds_count():
    files = {ISOLINUX: isolinux(INSTALL, LOCAL, head="default a ks=cdrom:/ks.cfg\nprompt 1\n")}
    tree = enabled(files, announced=[])
    assert by_itself(tree) == [("Install", None)]
    assert "timeout" not in text(tree, ISOLINUX)


@pytest.mark.parametrize("on_enter", [WIPE, GRAPHICAL, AUTO_GTK])
def test_ontimeout_to_the_local_disk_stays(on_enter):
    files = {ISOLINUX: isolinux(on_enter, LOCAL, INSTALL, default="a", tail="ontimeout b\n")}
    tree = enabled(files, announced=[])
    assert "  menu default\n" in text(tree, ISOLINUX).split("label b")[0]
    assert by_itself(tree) == [("Boot from the local disk", 5)]
    assert text(tree, ISOLINUX).endswith("ontimeout b\n")


@pytest.mark.parametrize("name", ["autoinstall.yaml", "nocloud/user-data", "preseed.cfg", "ks.cfg", "a.apkovl.tar.gz"])
def test_answers_on_the_medium_leave_all_as_it_is(name):
    files = {GRUB: grub(GRAPHICAL, INSTALL, timeout=""), f"/{name}": "x\n"}
    assert by_itself(enabled(files, announced=[])) == [("Graphical install", None)]


def cpio(*names):
    """An archive of empty files, in cpio's "newc" format."""
    entries = (name.encode() + b"\0" for name in (*names, "TRAILER!!!"))
    return b"".join(
        b"070701" + b"0" * 88 + b"%08X" % len(name) + b"0" * 8 + name + bytes(-(110 + len(name)) % 4)
        for name in entries
    )


@pytest.mark.parametrize(
    ("initrd", "is_answered"),
    [
        (gzip.compress(cpio("init", "preseed.cfg")), True),
        (lzma.compress(cpio("./preseed.cfg")), True),
        (cpio("kernel/microcode") + bytes(300) + gzip.compress(cpio("init") + cpio("preseed.cfg")), True),
        (gzip.compress(cpio("init")) + bytes(100) + cpio("preseed.cfg"), True),
        (zstandard.compress(cpio("init", "preseed.cfg")), True),
        (zstandard.compress(cpio("init")) + zstandard.compress(cpio("preseed.cfg")), True),
        (zstandard.compress(cpio("init")), False),
        (zstandard.compress(cpio("init", "preseed.cfg"))[:9], False),
        (bz2.compress(cpio("init", "preseed.cfg")), True),
        (b"BZh9" + bytes(90), False),
        (lzma.compress(cpio("init", "preseed.cfg"), format=lzma.FORMAT_ALONE), True),
        (gzip.compress(cpio("init", "lib/preseed.cfg", "preseed.cfg.old") + b"preseed.cfg\0"), False),
        (gzip.compress(cpio("init"))[:-20], False),
        (b"\x28\xb5\x2f\xfd" + cpio("init"), False),
        (b"", False),
    ],
)
@pytest.mark.parametrize("place", [GTK, TXT])
def test_answers_in_the_installers_own_initrd(initrd, is_answered, place):
    """As Debian's wiki does it; the other variant asks, and must not take its place, nor be replaced by it."""
    files = {GRUB: grub(GRAPHICAL, INSTALL, timeout=""), GTK: gzip.compress(cpio("init")), TXT: cpio("init")}
    tree = enabled(files | {place: initrd})
    kept = ("Graphical install", None if place == GTK else 10)
    assert by_itself(tree) == [kept if is_answered else ("Install", 10)]


def test_answers_that_one_entry_names_are_for_that_entry():
    files = {GRUB: grub(GRAPHICAL, INSTALL, AUTO), "/preseed.cfg": "x\n"}
    assert by_itself(enabled(files)) == [("Install", 5)]


def test_an_entry_that_is_asked_for():
    files = {GRUB: grub(LOCAL, WIPE, INSTALL), ISOLINUX: isolinux(LOCAL, WIPE, default="a")}
    tree = enabled(
        files,
        options=EnableOptions(default="install"),
        announced=[
            "/isolinux/isolinux.cfg: has no entry 'install'; its default is still 'Boot from the local disk'",
            "/boot/grub/grub.cfg: now boots 'Install' by default, instead of 'Boot from the local disk' (as asked)",
        ],
    )
    assert by_itself(tree) == [("Boot from the local disk", 5), ("Install", 5)]
    with pytest.raises(UsageError, match="no boot menu has exactly one such entry") as caught:
        enabled(files, options=EnableOptions(default="nowhere"))
    assert "'Wipe and install'" in caught.value.hint


def test_a_default_that_shows_nothing_on_the_line_fails_the_check_and_another_is_proposed():
    files = {
        GRUB: grub(("Install Ubuntu", "boot=casper only-ubiquity quiet splash ---", TXT), ("Live", "boot=casper", TXT))
    }
    links = status(enabled(files, complete=False)).links
    (failing,) = (link for link in links if not link.ok)
    assert "shows nothing on a serial line" in failing.message
    assert failing.hint == "Choose another entry with --default, such as 'Live'."
    assert failing.entry == "Install Ubuntu"


def test_titles_lead_into_submenus():
    deep = Choice("/g", 3, "Expert", "1>0", "/v", submenus=("Advanced",))
    menu = BootMenu("/g", (Choice("/g", 1, "Install", "i", "/v"), deep), None, None, ("/g", 0))
    assert menu.titled("Advanced > expert") == menu.titled("Expert") == deep
    assert menu.titled("Advanced>Install") is None


def test_debians_menus_change_by_the_guides_two_exceptions_and_no_more():
    tree = enabled(DEBIAN_ISOLINUX | DEBIAN_GRUB, console=CONSOLE)
    assert by_itself(tree) == [("Install", 30), ("Install", 10)]
