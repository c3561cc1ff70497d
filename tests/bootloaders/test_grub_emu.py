"""GRUB's own emulator as the judge: it boots what imgkit says that a menu boots, before and after the edit."""

from __future__ import annotations

import pytest

from imgkit.bootloaders.grub2 import menu
from imgkit.installers.recipe import enable
from imgkit.installers.status import status
from imgkit.tree import apply_changes
from imgkit.treeedits import TreeEdits
from tests.bootloaders.test_grub_follow import DEFAULTS, EVALS, GRUB, PAGES, WAYS
from tests.support import grubemu
from tests.support.installers import ARGUMENTS, CONSOLE
from tests.support.memorytree import MemoryTree

ENTRY = 'menuentry "Live" {\n  linux /live/vmlinuz boot=live quiet\n  initrd /live/initrd.img\n}\n'
# What the emulator's machine, or its lack of patience, decides otherwise.
ELSEWHERE = {"either branch", "only one branch sets it", "configfile", "while"}

MENUS = {
    **{
        name: {GRUB: "set timeout=0\n" + way, "/boot/grub/other.cfg": "set timeout=0\n" + ENTRY}
        for name, way in WAYS.items()
        if name not in ELSEWHERE
    },
    **{f"eval, {name}": {GRUB: "set timeout=0\nset where=b\n" + before} for name, (before, _) in EVALS.items()},
    **{
        f"default, {setting}": {GRUB: "set timeout=0\n" + setting + PAGES, "/boot/grub/vars.cfg": "set default=1\n"}
        for setting in DEFAULTS
        if "load_env" not in setting
    },
    "entries by a function": {
        GRUB: 'set timeout=0\nset default=1\nfunction add {\n  menuentry "Live: $1" "$1" {\n'
        "    linux /live/vmlinuz flavour=$2 quiet\n  }\n}\nfor flavour in small full ; do\n  add $flavour\ndone\n",
    },
    "files that a loop sources": {
        GRUB: "set timeout=0\ninsmod regexp\nset default=1\n"
        'for part in "${prefix}"/*_default.cfg ; do\n  source "$part"\n'
        '  regexp --set 1:part "(.+)_default.cfg" "$part"\n  source "${part}_options.cfg"\ndone\n',
        "/boot/grub/full_default.cfg": "menuentry 'Full' { linux /live/vmlinuz full; }\n",
        "/boot/grub/full_options.cfg": "menuentry 'More' { linux /live/vmlinuz full more; }\n",
        "/boot/grub/small_default.cfg": "menuentry 'Small' { linux /live/vmlinuz small; }\n",
    },
    "a function inside if": {
        GRUB: "set timeout=0\nif [ $grub_platform = efi ]; then\n  function f {\n    true\n  }\nelse\n"
        "  function f {\n    false\n  }\nfi\nf\n" + ENTRY,
    },
    "read behind the menu": {
        GRUB: f"set timeout=0\n{PAGES}if [ -f ${{config_directory}}/custom.cfg ]; then\n"
        "  source ${config_directory}/custom.cfg\nfi\n",
        "/boot/grub/custom.cfg": "set default='more>deep'\n",
    },
    "a variable that is exported to a menu behind": {
        GRUB: "set timeout=0\nset name=two\nexport name\nmenuentry a {\n  configfile $prefix/other.cfg\n}\n",
        "/boot/grub/other.cfg": "set timeout=0\nsource $prefix/$name.cfg\n",
        "/boot/grub/two.cfg": ENTRY,
    },
}


@pytest.mark.parametrize("files", MENUS.values(), ids=MENUS)
def test_grub_boots_what_is_said_to_boot_by_itself_and_with_the_console(files, tmp_path):
    tree = MemoryTree(files)
    before = menu_default(tree)
    assert grubemu.boots(files, tmp_path) == before
    apply_changes(tree, enable(tree, CONSOLE))
    assert status(tree, CONSOLE).enabled
    kernel, arguments = before
    wanted = kernel, (*arguments, *ARGUMENTS.split())
    assert menu_default(tree) == wanted
    assert grubemu.boots(tree.files, tmp_path) == wanted


def menu_default(tree):
    found = next(iter(menu.read(TreeEdits(tree), GRUB)))
    return found.default.kernel, tuple(word for part in found.default.arguments for word in part.split())
