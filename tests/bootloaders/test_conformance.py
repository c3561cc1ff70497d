"""What every boot loader's package promises, on configurations in the structure of real ones, in memory."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import pytest

from imgkit import bootloaders as loaders
from imgkit.bootloaders import LOADERS
from imgkit.bootloaders.files import BootFile, Loader
from imgkit.configtext import kernelargs
from imgkit.configtext.options import EnableOptions
from imgkit.configtext.serial import SerialConsole
from imgkit.tree import apply_changes
from imgkit.treeedits import TreeEdits
from tests.support.memoryguest import MemoryGuest

CONSOLES = [SerialConsole(), SerialConsole("ttyS1", 9600), SerialConsole("hvc0", keep_vga=False)]
ARGUMENTS = "root=/dev/sda1 ro quiet"


@dataclass
class Example:
    """One configuration of a loader: where it lies in an installed system and on a medium, and what it boots."""

    loader: Loader
    path: str
    text: bytes
    on_medium: str
    kernels: int = 1
    sealed: bool = False


EXAMPLES = [
    Example(
        Loader.EXTLINUX,
        "/boot/extlinux/extlinux.conf",
        f"DEFAULT linux\nTIMEOUT 50\nPROMPT 1\nLABEL linux\n  KERNEL /vmlinuz\n  APPEND {ARGUMENTS}\n".encode(),
        "/isolinux/isolinux.cfg",
    ),
    Example(
        Loader.GRUB,
        "/boot/grub/grub.cfg",
        f"set default=0\nset timeout=5\nterminal_output gfxterm\nmenuentry 'Linux' {{\n\tlinux /vmlinuz {ARGUMENTS}\n"
        f"\tinitrd /initrd\n}}\nmenuentry 'Older' {{\n\tlinux /vmlinuz.old {ARGUMENTS}\n}}\n".encode(),
        "/boot/grub/grub.cfg",
        kernels=2,
    ),
    Example(
        Loader.GRUB_LEGACY,
        "/boot/grub/menu.lst",
        f"default 0\ntimeout 5\ntitle Linux\nroot (hd0,0)\nkernel /vmlinuz {ARGUMENTS}\ninitrd /initrd\n".encode(),
        "/EFI/BOOT/BOOTX64.conf",
    ),
    Example(
        Loader.UKI,
        "/boot/efi/EFI/Linux/debian.efi",
        b"MZ",
        "/EFI/Linux/debian.efi",
        kernels=0,
        sealed=True,
    ),
    Example(
        Loader.SYSTEMD_BOOT, "/boot/loader/loader.conf", b"timeout 3\ndefault a*\n", "/loader/loader.conf", kernels=0
    ),
    Example(
        Loader.BLS,
        "/boot/loader/entries/a.conf",
        f"title Linux\nlinux /vmlinuz\ninitrd /initrd\noptions {ARGUMENTS}\n".encode(),
        "/loader/entries/a.conf",
    ),
]
# Boards, whose firmware or script reads one command line from a file of an installed system.
BOARDS = [
    Example(Loader.RASPBERRY_PI, "/boot/firmware/cmdline.txt", f"{ARGUMENTS}\n".encode(), ""),
    Example(
        Loader.ARMBIAN,
        "/boot/armbianEnv.txt",
        f"verbosity=1\nconsole=serial\nextraargs={ARGUMENTS}\n".encode(),
        "",
        sealed=True,  # without a script that names the board's UART
    ),
]
EXAMPLES += BOARDS
# Their menus are made by a program of the guest, and only that is known of them.
ONLY_GENERATED = {Loader.ZIPL: "/etc/zipl.conf", Loader.NIXOS: "/nix/var/nix/profiles/system"}


def of(examples):
    return pytest.mark.parametrize("example", examples, ids=lambda example: str(example.loader))


def checked(edits, boot, console):
    return list(loaders.module_for(boot).checks(edits, boot.path, console))


def test_every_loader_has_an_example():
    assert {example.loader for example in EXAMPLES} | set(ONLY_GENERATED) == set(LOADERS)


def test_an_empty_system_and_an_empty_medium_have_none():
    tree = MemoryGuest({})
    assert list(loaders.find_installed(tree)) == []
    assert list(loaders.find_on_medium(TreeEdits(tree), "")) == []
    assert loaders.generators_of(TreeEdits(tree)) == []


@of(EXAMPLES)
def test_a_configuration_is_found_and_is_nobody_elses(example):
    assert list(loaders.find_installed(MemoryGuest({example.path: example.text}))) == [
        BootFile(example.loader, example.path)
    ]
    if not example.on_medium:
        return
    medium = TreeEdits(MemoryGuest({example.on_medium: example.text}))
    assert list(loaders.find_on_medium(medium, "")) == [BootFile(example.loader, example.on_medium)]
    below = TreeEdits(MemoryGuest({f"/efi.img{example.on_medium}": example.text}))
    assert list(loaders.find_on_medium(below, "/efi.img")) == [BootFile(example.loader, f"/efi.img{example.on_medium}")]


@of(EXAMPLES)
@pytest.mark.parametrize(("console", "ends"), [*product(CONSOLES, [b"\n"]), (CONSOLES[0], b"\r\n")])
def test_enable_is_what_checks_look_for_and_twice_is_once(example, console, ends):
    tree = MemoryGuest({example.path: example.text.replace(b"\n", ends)})
    boot, edits = BootFile(example.loader, example.path), TreeEdits(tree)
    module = loaders.module_for(boot)
    assert len(list(module.kernels(edits, boot.path))) == example.kernels
    module.enable(edits, boot.path, console, EnableOptions())
    assert all(kernel.has_console(console) for kernel in module.kernels(edits, boot.path))
    failing = [check for check in checked(edits, boot, console) if not check.ok]
    assert bool(failing) == example.sealed
    assert all(check.hint and check.file == example.path for check in failing)
    apply_changes(tree, edits.changes())
    assert ends == b"\n" or b"\n" not in tree.read(example.path).replace(b"\r\n", b""), "line ends stay"
    again = TreeEdits(tree)
    module.enable(again, boot.path, console, EnableOptions())
    assert again.changes() == []


@of(EXAMPLES)
def test_arguments_of_every_entry_are_edited(example):
    edits, boot = TreeEdits(MemoryGuest({example.path: example.text})), BootFile(example.loader, example.path)
    module = loaders.module_for(boot)
    module.edit_arguments(edits, boot.path, lambda words: kernelargs.add(words, ("added=1",)), recovery=True)
    lines = [kernelargs.texts(kernel.arguments) for kernel in module.kernels(edits, boot.path)]
    assert [words[-1] for words in lines] == ["added=1"] * example.kernels
    module.edit_arguments(edits, boot.path, lambda words: kernelargs.remove(words, ("added",)), recovery=True)
    assert [" ".join(kernelargs.texts(kernel.arguments)) for kernel in module.kernels(edits, boot.path)] == [
        ARGUMENTS
    ] * example.kernels


@of(EXAMPLES)
def test_what_a_package_says_of_its_loader_is_so(example):
    edits, boot = TreeEdits(MemoryGuest({example.path: example.text})), BootFile(example.loader, example.path)
    known = loaders.places(example.loader)
    assert known.has_entries == (example.kernels > 0)
    assert known.is_sealed <= example.sealed, "what is sealed cannot be enabled"
    sealed = loaders.sealed_by(edits, boot)
    assert (sealed is not None and all(sealed)) == known.is_sealed == (not known.has_entries and not known.has_menu)
    assert loaders.without_those_that_lead_on(edits, [boot]) == [boot]
    assert known.on_medium is None or list(known.on_medium(edits, boot.path)) == []


def test_a_script_that_only_leads_to_another_one_is_left_out():
    files = {EXAMPLES[1].path: EXAMPLES[1].text, "/EFI/BOOT/grub.cfg": b"configfile /boot/grub/grub.cfg\n"}
    edits = TreeEdits(MemoryGuest(files))
    found = list(loaders.find_on_medium(edits, ""))
    assert len(found) == 2
    assert loaders.without_those_that_lead_on(edits, found) == [BootFile(Loader.GRUB, EXAMPLES[1].path)]


@of([example for example in EXAMPLES if loaders.places(example.loader).has_menu])
def test_a_menus_time_is_read_and_set(example):
    entry = {"/boot/loader/entries/a.conf": EXAMPLES[5].text} if example.loader is Loader.SYSTEMD_BOOT else {}
    edits, boot = TreeEdits(MemoryGuest({example.path: example.text, **entry})), BootFile(example.loader, example.path)
    module = loaders.menu_for(boot)
    (menu,) = module.read(edits, boot.path)
    assert menu.file == example.path
    assert menu.seconds == (3 if entry else 5)
    assert menu.default is not None
    module.set_timeout(edits, menu, 7)
    (menu,) = module.read(edits, boot.path)
    assert menu.seconds == 7
    module.set_default(edits, menu, menu.choices[-1])
    (menu,) = module.read(edits, boot.path)
    assert menu.default.title == menu.choices[-1].title


@pytest.mark.parametrize("loader", [loader for loader in LOADERS if loaders.places(loader).generated], ids=str)
def test_what_writes_a_configuration_anew_is_found_and_says_whether_it_keeps_the_console(loader):
    for path in loaders.places(loader).generated:
        edits = TreeEdits(MemoryGuest({path: b""}))
        (generator,) = loaders.generators_of(edits)
        console = CONSOLES[0]
        generator.enable(edits, console, EnableOptions())
        found = list(generator.checks(edits, console))
        assert all(check.ok or check.hint for check in found)
        assert loader not in ONLY_GENERATED or not any(check.ok for check in found)
        before = edits.changes()
        generator.enable(edits, console, EnableOptions())
        assert edits.changes() == before
