"""Kernel arguments against a transliteration of the kernel's own parser, and against grubby's and mkksiso's results."""

import csv
import io
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgkit.bootloaders.grub2 import words as grubwords
from imgkit.bootloaders.grub_legacy import config as grublegacy
from imgkit.bootloaders.syslinux import config as syslinux
from imgkit.configtext import kernelargs
from imgkit.configtext.kernelargs import Argument, new, texts
from imgkit.configtext.serial import SerialConsole
from imgkit.configtext.text import decode, splice
from imgkit.errors import ConfigError
from tests.support import corpus
from tests.support import grubtext as grubcfg

CONSOLE = SerialConsole()
OURS = ("console=tty0", "console=ttyS0,115200n8")


def next_arg(args: bytearray, at: int) -> tuple[bytes, bytes | None, int]:  # noqa: C901
    """The kernel's `next_arg` (lib/cmdline.c), statement by statement, on a buffer that ends with a NUL."""
    equals = 0
    in_quote = quoted = args[at : at + 1] == b'"'
    start = at + 1 if quoted else at
    i = 0
    while args[start + i]:
        byte = args[start + i]
        if byte in b" \t\n\v\f\r" and not in_quote:
            break
        if equals == 0 and byte == ord("="):
            equals = i
        if byte == ord('"'):
            in_quote = not in_quote
        i += 1
    value_at = None
    if equals:
        args[start + equals] = 0
        value_at = start + equals + 1
        if args[value_at] == ord('"'):
            value_at += 1
            if args[start + i - 1] == ord('"'):
                args[start + i - 1] = 0
    if quoted and i > 0 and args[start + i - 1] == ord('"'):
        args[start + i - 1] = 0
    after = start + i
    if args[after]:
        args[after] = 0
        after += 1
    while args[after] and args[after] in b" \t\n\v\f\r":
        after += 1
    end = lambda where: bytes(args[where : args.index(0, where)])  # noqa: E731
    return end(start), None if value_at is None else end(value_at), after


def kernel_split(text: str) -> list[tuple[str, str | None]]:
    args = bytearray(text.encode() + b"\0\0")
    at, found = 0, []
    while args[at] in b" \t\n\v\f\r" and args[at]:
        at += 1
    while args[at]:
        name, value, at = next_arg(args, at)
        found.append((name.decode(), None if value is None else value.decode()))
    return found


# What makes a difference to the parser comes often.
command_lines = st.text(st.sampled_from('ab=-" \t\n,consletyS0'), max_size=40)
words = st.sampled_from(
    [
        *("quiet", "ro", "root=/dev/vda1", "console=tty0", "console=tty1", "console=ttyS0", "console=ttyS0,9600"),
        *("console=ttyS0,115200", "console=ttyS0,115200n8", "console=ttyS1,115200n8", "console=hvc0", "---", "--"),
        *('dyndbg="file a.c +p"', '"init=/a b"', "vga=788", "splash", "console=", "tty0", "log-buf-len=1M"),
    ]
)
real_lines = st.builds(
    lambda parts: "".join(gap + word for gap, word in parts),
    st.lists(st.tuples(st.sampled_from([" ", "  ", "\t"]), words), max_size=12),
)
consoles = st.builds(
    SerialConsole,
    port=st.sampled_from(["ttyS0", "ttyS1", "hvc0", "ttyAMA0", "ttysclp0"]),
    baud=st.sampled_from([9600, 115200]),
    parity=st.sampled_from("neo"),
    keep_vga=st.booleans(),
)


@given(command_lines)
def test_a_command_line_splits_as_the_kernel_splits_it(text):
    if text.count('"') % 2:
        with pytest.raises(ConfigError, match="not closed"):
            kernelargs.split(text)
        return
    assert [(argument.name, argument.value) for argument in kernelargs.split(text)] == kernel_split(text)


@given(st.text(st.sampled_from("ab= \t-"), min_size=1, max_size=12).filter(lambda text: text.strip()))
def test_a_quoted_argument_reads_back_in_the_kernel(text):
    expected = Argument(text)
    name, value = expected.name, expected.value
    if any(space in name for space in " \t") and value is not None:
        return  # The name holds the blank: the kernel has no such parameters.
    assert kernel_split(kernelargs.quote(text)) == [(name, value)]


def test_no_quoting_can_hold_a_double_quote():
    with pytest.raises(ConfigError, match="double quote"):
        kernelargs.quote('a="b')


@given(real_lines, consoles, st.booleans())
def test_setting_a_console_twice_is_setting_it_once(text, console, installer):
    before = kernelargs.split(text)
    once = kernelargs.set_console(before, console, installer=installer)
    assert kernelargs.has_console(once, console, installer=installer)
    assert kernelargs.set_console(once, console, installer=installer) is once


@given(real_lines, consoles)
def test_the_kernel_makes_the_port_its_console_and_all_other_arguments_stay(text, console):
    before = kernelargs.split(text)
    after = kernelargs.set_console(before, console)
    scope = list(texts(after))
    for_kernel = scope[: scope.index("--")] if "--" in scope else scope
    named = [word for word in for_kernel if word.startswith("console=")]
    assert named[-1].removeprefix("console=").split(",")[0] == console.port
    assert ("console=tty0" in named or "console=tty1" in named) == console.wants_vga
    kept = [word for word in texts(before) if not word.startswith("console=")]
    assert [word for word in texts(after) if not word.startswith("console=")] == kept
    were = list(texts(before))
    were = were[: were.index("--")] if "--" in were else were
    own = (console.port, "tty0", "tty1")
    foreign = [word for word in were if word.startswith("console=") and word[8:].split(",")[0] not in own]
    assert [word for word in for_kernel if word in foreign] == foreign


@given(real_lines, consoles, st.lists(st.sampled_from(["quiet", "vga", "splash", "console", "root=/dev/*"])))
def test_splices_give_the_edited_arguments_and_keep_the_text_of_the_others(text, console, patterns):
    for prefix in ("", "linux /vmlinuz"):
        whole = prefix + text
        before = kernelargs.split(whole, len(prefix))
        after = kernelargs.set_console(kernelargs.remove(before, patterns), console)
        changed = splice(whole, kernelargs.splices(before, after, len(prefix), follows=bool(prefix)))
        assert texts(kernelargs.split(changed, len(prefix))) == texts(after)
        assert changed.startswith(prefix)
        at = 0
        for argument in after:
            if argument.start >= 0:
                at = changed.index(whole[argument.start : argument.stop], at)
        if before == after:
            assert changed is whole


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ro quiet", "ro quiet console=tty0 console=ttyS0,115200n8"),
        ("ro console=ttyS0", "ro console=tty0 console=ttyS0,115200n8"),  # A bare port means 9600.
        ("console=tty1 console=ttyS0", "console=tty1 console=ttyS0,115200n8"),  # Ubuntu's cloud images.
        ("console=ttyS0,115200 ro console=tty0", "ro console=tty0 console=ttyS0,115200n8"),
        ("console=tty0 console=ttyS0,115200", "console=tty0 console=ttyS0,115200"),
        ("console=ttyS0,9600 console=tty0 console=ttyS0,115200", "console=tty0 console=ttyS0,115200n8"),
        ("console=ttyS1,9600n8", "console=ttyS1,9600n8 console=tty0 console=ttyS0,115200n8"),
        ("-- console=tty0", f"{' '.join(OURS)} -- console=tty0"),  # What follows is init's.
        ("ro -- single", "ro console=tty0 console=ttyS0,115200n8 -- single"),
        ("ro ---  quiet ", "ro ---  quiet console=tty0 console=ttyS0,115200n8 "),
        ("", "console=tty0 console=ttyS0,115200n8"),
    ],
)
def test_the_console_on_real_command_lines(line, expected):
    before = kernelargs.split(line)
    after = kernelargs.set_console(before, CONSOLE)
    assert splice(line, kernelargs.splices(before, after, 0, follows=False)) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # Behind "---" the kernel listens, and what is said there the installed system hears as well.
        (
            "vga=788 console=tty0 console=ttyS0,115200n8 --- quiet",
            "vga=788 console=tty0 --- quiet console=ttyS0,115200n8",
        ),
        # Behind "--" it does not listen: Linux hands the rest to init.
        ("boot=casper quiet splash --", "boot=casper quiet splash console=tty0 console=ttyS0,115200n8 --"),
        ("a -- quiet console=ttyS0,115200n8", "a console=tty0 console=ttyS0,115200n8 -- quiet console=ttyS0,115200n8"),
        ("a --- b -- c", "a --- b console=tty0 console=ttyS0,115200n8 -- c"),
        ("a -- b --- c", "a console=tty0 console=ttyS0,115200n8 -- b --- c"),
    ],
)
def test_an_installers_kernel_hears_of_the_console_whatever_separates_its_arguments(line, expected):
    before = kernelargs.split(line)
    after = kernelargs.set_console(before, CONSOLE, installer=True)
    assert " ".join(texts(after)) == expected
    assert kernelargs.set_console(after, CONSOLE, installer=True) is after


@pytest.mark.parametrize("name", ["vmlinuz-6.8.0", "kernel.img", "vmlinuz.com", "linux", "Image.gz", "bzImage.0"])
def test_a_kernels_name_may_end_in_anything(name):
    assert kernelargs.is_linux(f"/boot/{name}")


@pytest.mark.parametrize("name", ["memtest86+.bin", "mt86plus", "memdisk", "ipxe.lkrn", "wimboot", "grub.exe"])
def test_what_kernel_commands_load_beside_linux(name):
    assert not kernelargs.is_linux(f"/boot/{name}")


def test_the_vga_console_goes_when_it_is_not_kept():
    before = kernelargs.split("console=tty0 console=tty ro console=ttyS1")
    after = kernelargs.set_console(before, SerialConsole(keep_vga=False))
    assert texts(after) == ("ro", "console=ttyS1", "console=ttyS0,115200n8")


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        (["quiet"], ("vga=788", "root=/dev/vda", "log_buf_len=1")),
        (["vga", "quiet"], ("root=/dev/vda", "log_buf_len=1")),
        (["root=/dev/sda", "vga=7*"], ("quiet", "root=/dev/vda", "quiet", "log_buf_len=1")),
        (["log-buf-len"], ("quiet", "vga=788", "root=/dev/vda", "quiet")),
        (["*"], ()),
    ],
)
def test_arguments_go_by_name_and_by_pattern_every_time_they_come(patterns, left):
    before = kernelargs.split("quiet vga=788 root=/dev/vda quiet log_buf_len=1")
    assert texts(kernelargs.remove(before, patterns)) == left


def test_adding_adds_what_is_missing_only():
    assert texts(kernelargs.add(new(["a", "b=1"]), ["b=1", "b=2", "c", "c"])) == ("a", "b=1", "b=2", "c")


# -- grubby ------------------------------------------------------------------------------------------------------------

# grubby edits entries as well as arguments. What follows adds, removes, chooses or prints entries, which is not the
# business of argument editing.
NOT_ARGUMENTS = (
    *("--add-kernel", "--add-multiboot", "--remove-kernel", "--remove-multiboot", "--set-default", "--default-"),
    *("--info", "--bad-image-bad"),
)
# The corpus holds the results for these inputs, but not the inputs.
MISSING_INPUTS = {"grub.7", "grub.11", "grub.14", "extlinux.1", "extlinux.4"}


def grubby_rows():
    if corpus.root() is None:
        return []
    rows = csv.DictReader(io.StringIO(corpus.content("bootcfg/grubby/commands.tsv").decode()), delimiter="\t")
    return [(row["input"], row["expected_result_file"], shlex.split(row["args"])) for row in rows]


def options(command: list[str]) -> dict[str, str]:
    found, rest = {}, iter(command)
    for word in rest:
        name, equals, value = word.partition("=")
        takes_next = name in ("--args", "--remove-args", "--initrd", "--title") and not equals
        found[name] = next(rest) if takes_next else value
    return found


def is_argument_edit(command: list[str]) -> bool:
    return "--args" in options(command) or "--remove-args" in options(command)


def edits_entries(command: list[str]) -> bool:
    return any(word.startswith(NOT_ARGUMENTS) for word in command)


@pytest.mark.corpus
def test_each_row_of_grubby_is_reproduced_or_explained():
    corpus.path("bootcfg/grubby/commands.tsv")
    reproduced = 0
    for name, _, command in grubby_rows():
        only_initrd = "--initrd" in options(command) and not is_argument_edit(command)
        applicable = is_argument_edit(command) and not edits_entries(command)
        assert applicable != (edits_entries(command) or only_initrd), command
        reproduced += applicable and name not in MISSING_INPUTS
    assert reproduced == 16
    assert not any(corpus.path(f"bootcfg/grubby/{name}").exists() for name in MISSING_INPUTS)


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("name", "result", "command"),
    [
        (name, result, command)
        for name, result, command in grubby_rows()
        if is_argument_edit(command) and not edits_entries(command) and name not in MISSING_INPUTS
    ],
)
def test_argument_edits_give_what_grubby_gives(name, result, command):
    text = decode(corpus.content(f"bootcfg/grubby/{name}"))
    wanted = options(command)
    module = syslinux if name.startswith("extlinux") else grublegacy
    found = module.facts(text)
    # None of these inputs names a default: it is the first entry.
    first = found.labels[0].line if module is syslinux else found.kernels[0].line

    def edit(arguments, kernel):
        if wanted["--update-kernel"] == "DEFAULT" and kernel.line != first:
            return arguments
        arguments = kernelargs.remove(arguments, wanted.get("--remove-args", "").split())
        return kernelargs.replace(arguments, wanted.get("--args", "").split())

    assert module.edit_arguments(text, edit, recovery=True) == decode(corpus.content(f"bootcfg/grubby/{result}"))


# -- mkksiso -----------------------------------------------------------------------------------------------------------

REMOVED = ("console", "quiet", "inst.cmdline")
ADDED = (
    *("inst.ks=file:///installer.ks", "quoted=A longer string with spaces that is quoted should not be split"),
    *("console=ttyS0,115200n8", "console=tty1"),
)


def mkksiso(arguments, _kernel):
    return kernelargs.add(kernelargs.remove(arguments, REMOVED), ADDED)


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("name", "result"),
    [("bios-grub.cfg", "bios-grub.cfg"), ("uefi-grub.cfg", "uefi-grub-1.cfg"), ("BOOT.conf", "BOOT-1.conf")],
)
def test_argument_edits_give_what_mkksiso_gives(name, result):
    text = decode(corpus.content(f"bootcfg/lorax-mkksiso/{name}"))
    edited = grubcfg.edit_arguments(text, mkksiso)
    # Its other edits are not of arguments: a new label, and the commands' names of GRUB without Fedora's patches.
    edited = edited.replace("Fedora-rawhide-test", "Fedora-mkksiso-rawhide-test")
    edited = edited.replace("linuxefi", "linux").replace("initrdefi", "initrd")
    assert edited == decode(corpus.content(f"bootcfg/lorax-mkksiso/{result}.result"))


@pytest.mark.corpus
def test_mkksiso_edits_its_own_result_to_itself():
    text = decode(corpus.content("bootcfg/lorax-mkksiso/isolinux.cfg.result"))
    assert texts(mkksiso(kernelargs.split(text), None))
    assert syslinux.edit_arguments(text, mkksiso) == text


def test_grub_quotes_like_a_shell_and_splits_back():
    for word in (ADDED[1], "a$b", 'a="b"', "", "a'b c"):
        assert texts(grubwords.split(grubwords.quote(word))) == (word,)
