"""What the command says of itself: help, examples, exit statuses, completion; and how little it loads to say it."""

import os
import re
import shlex
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from imgkit import errors
from imgkit.cli.main import BUG, EXIT_STATUS, app
from tests.cli.command import environment, imgkit, script

ROOT = typer.main.get_command(app)


def commands(group=ROOT, words=()):
    """All commands as (words, command), groups among them."""
    for name, command in sorted(group.commands.items()):
        yield (*words, name), command
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))


COMMANDS = {" ".join(words): command for words, command in commands()}
LEAVES = {name: command for name, command in COMMANDS.items() if not hasattr(command, "commands")}


def examples(name):
    return re.findall(r"^    (.*\bimgkit .*)$", CliRunner().invoke(app, [*name.split(), "--help"]).output, re.MULTILINE)


def test_all_commands_are_there():
    plain = ["inspect", "ls", "cat", "write", "edit", "undo", "recover", "verify", "doctor", "exit-status"]
    grouped = ["console enable", "console status", "login enable", "login status"]
    grouped += ["iso add", "iso rm", "iso extract", "iso answers"]
    grouped += ["location inspect", "location fetch"]
    grouped += ["vm install", "vm import", "vm start", "vm stop", "vm list", "vm remove", "vm console"]
    grouped += ["batch run", "batch retry", "batch status", "batch undo", "batch report"]
    grouped += ["batch console enable", "batch iso add", "batch write"]
    assert sorted(LEAVES) == sorted([*plain, *grouped])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_option_and_argument_has_a_help_text(name):
    command = COMMANDS[name]
    assert command.help.strip()
    for parameter in command.params:
        assert parameter.help, f"{name}: {parameter.name} has no help text"
        assert parameter.help.endswith((".", "]")), parameter.help


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_every_example_in_the_help_is_a_command_that_parses(name):
    found = examples(name)
    assert any(f"imgkit {name}" in line for line in found)
    for line in found:
        words = shlex.split(line.partition(" > ")[0])
        words = words[words.index("imgkit") + 1 :]
        depth = next(n for n in range(1, 4) if not hasattr(COMMANDS[" ".join(words[:n])], "commands"))
        command = COMMANDS[" ".join(words[:depth])]
        command.make_context(line, words[depth:])  # raises for what it does not take


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_fits_a_terminal_of_80_columns_and_goes_to_stdout(name):
    done = imgkit(*name.split(), "-h", env={"COLUMNS": "80"})
    assert done.status == 0
    assert done.stderr == ""
    assert done.text.startswith("Usage: imgkit")
    assert max(map(len, done.text.splitlines())) <= 80
    assert "..." not in done.text.partition("Commands:")[2]


def test_the_exit_statuses_are_listed_and_distinct():
    listed = imgkit("exit-status")
    assert listed.status == 0
    numbers = [int(line.split()[0]) for line in listed.text.splitlines()]
    assert numbers == [0, 1, *EXIT_STATUS.values(), BUG, 129, 130, 143, 141]
    assert len(set(numbers)) == len(numbers)


def test_every_error_has_an_exit_status():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ImgkitError)]
    for kind in set(kinds) - {errors.ImgkitError}:
        assert any(parent in EXIT_STATUS for parent in kind.__mro__), kind


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["nonsense"], "no such command 'nonsense'"),
        (["console", "disable"], "no such command 'disable'"),
        (["inspect"], "missing argument 'IMAGE'"),
        (["inspect", "x", "--nonsense"], "no such option: --nonsense"),
        (["console", "enable", "x", "--timeout", "-1"], "invalid value for '--timeout'"),
        (["console", "enable", "x", "--baud", "fast"], "invalid value for '--baud'"),
    ],
)
def test_a_wrong_command_line_is_an_error_like_all_others_with_the_usage(words, complaint):
    done = imgkit(*words)
    command = {"console": words[:1] if "disable" in words else words[:2], "nonsense": []}.get(words[0], words[:1])
    assert done.status == 2
    assert done.stdout == b""
    assert done.stderr.startswith(f"imgkit: error: {complaint}")
    assert "  Usage: imgkit" in done.stderr
    assert f"see `{' '.join(['imgkit', *command])} --help`." in done.stderr
    assert "Did you mean" not in done.stderr


def test_without_a_command_the_help_is_shown():
    done = imgkit()
    assert done.status == 2
    assert "Commands:" in done.text + done.stderr


def test_python_m_is_the_same_command():
    done = subprocess.run([sys.executable, "-m", "imgkit", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == imgkit("--version").text


# What only some commands need, and what takes long to import.
HEAVY = {
    "construct",
    "rich",
    "fatfs",
    "guestfs",
    "libvirt",
    "zstandard",
    "hypothesis",
    "pydantic",
    "sqlite3",
    "asyncio",
}


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["console", "enable", "--help"], ["exit-status"]])
def test_nothing_heavy_is_imported_before_it_is_needed(words):
    traced = subprocess.run(
        [sys.executable, "-X", "importtime", str(script()), *words], capture_output=True, text=True, check=True
    )
    loaded = {line.rpartition("|")[2].strip() for line in traced.stderr.splitlines() if line.startswith("import time")}
    assert "imgkit.cli.main" in loaded
    assert {name.partition(".")[0] for name in loaded} & HEAVY == set()
    rooms = {".".join(name.split(".")[:2]) for name in loaded if name.startswith("imgkit.")}
    allowed = "__main__ cli errors tree storage remote visible"
    assert rooms <= {f"imgkit.{name}" for name in allowed.split()}
    assert not any(name.startswith(("imgkit.formats.qcow2", "imgkit.formats.image")) for name in loaded)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell):
    done = imgkit(env={"_IMGKIT_COMPLETE": f"source_{shell}"})
    assert done.status == 0
    assert f"complete_{shell}" in done.text


def test_bash_completes_commands_and_options():
    # Typer looks for the shell among its parents, which is why the script is made inside of one.
    program = f"""script=$({script()} --show-completion; true) && eval "$script"
complete_words() {{ COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _imgkit_completion imgkit; echo "${{COMPREPLY[*]}}"; }}
complete_words imgkit con
complete_words imgkit console en
complete_words imgkit console enable --in-
"""
    path = f"{script().parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", program], capture_output=True, text=True, check=True, env=environment(PATH=path)
    )
    assert done.stdout.split("\n")[:3] == ["console", "enable", "--in-place"]
