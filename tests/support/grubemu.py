"""GRUB itself, as a process: what it makes of a tree's menu, and which kernel it would boot with which arguments.

`grub-emu` has no command `linux`, so a function takes its place and tells what it was given.
"""

from __future__ import annotations

import re

from tests.support import oracle

# GRUB's own modules are found beside the file that it starts with.
_HEAD = """function linux {{ echo "BOOT $@"; exit; }}
function initrd {{ true; }}
insmod iso9660
insmod regexp
set root=hd0
set prefix=(hd0){folder}
configfile (hd0){start}
"""
_MODULES = "/usr/lib/grub/x86_64-emu"


def boots(files, folder, start="/boot/grub/grub.cfg"):
    """What the menu of a tree boots by itself at once: the kernel's path and its arguments.

    `files` maps paths to contents; `folder` is an empty one for the image that GRUB gets to see.
    """
    for path, data in files.items():
        place = folder / "tree" / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data if isinstance(data, bytes) else data.encode())
    head = folder / "head"
    head.mkdir(exist_ok=True)
    (head / "grub.cfg").write_text(_HEAD.format(folder=start.rpartition("/")[0], start=start))
    if not (head / "x86_64-emu").exists():
        (head / "x86_64-emu").symlink_to(_MODULES)
    image = folder / "tree.iso"
    oracle.run("xorriso", "-as", "mkisofs", "-quiet", "-r", "-J", "-o", image, folder / "tree")
    (folder / "map").write_text(f"(hd0) {image}\n")
    emulator = f"{oracle.find('grub-emu')} -m {folder}/map -r host -d {head}"
    shell = f"stty rows 25 cols 200; TERM=dumb exec timeout 20 {emulator}"
    done = oracle.run("script", "-qec", shell, "/dev/null", text_in="")
    told = re.search(r"BOOT (\S+) ?([^\r\n]*)", done.stdout)
    assert told, f"GRUB booted nothing:\n{done.stdout}"
    return told[1], tuple(told[2].split())
