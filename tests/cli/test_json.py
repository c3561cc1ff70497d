"""`--json`: each command's document has the fields and types that docs/json.md promises, no more and no fewer."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.command import imgkit
from tests.support.guests import Part, make_disk

TYPES = {"string": str, "integer": int, "boolean": bool, "number": float, "object": dict}


def documented():
    """Types by field by schema, as the documentation has them."""
    schemas, fields = {}, {}
    for line in Path("docs/json.md").read_text().splitlines():
        if heading := re.fullmatch(r"## (imgkit/\S+)", line):
            fields = schemas[heading[1]] = {}
        elif row := re.fullmatch(r"\| ([\w.\[\]*]+) \| ((?:\w|\\\|)+)(\?)? \|.*\|", line):
            kinds = {TYPES[kind] for kind in row[2].split("\\|")} if row[2] in TYPES or "|" in row[2] else set()
            if kinds:
                fields[row[1]] = kinds | ({type(None)} if row[3] else set())
    return schemas


SCHEMAS = documented()


def leaves(value, where=""):
    """All (field, type) of a document, objects that stand in for null and empty lists among them."""
    if isinstance(value, dict):
        if where:
            yield where, dict
        for key, item in value.items():
            yield from leaves(item, f"{where}.{key}" if where else key)
    elif isinstance(value, list):
        yield f"{where}[]", None
        for item in value:
            yield from leaves(item, f"{where}[]")
    else:
        yield where, type(value)


def check(document, name, *, whole=True):
    """The document is as documented. `whole`: every documented field is there, except below an empty list."""
    schema = document.pop("schema")
    assert schema == f"imgkit/{name}"
    fields = SCHEMAS[schema]
    found = {}
    for field, kind in leaves(document):
        # These objects have keys of their own.
        plain = re.sub(r"^(system\.mounts|details|table\.usable)\..*", r"\1.*", field)
        found.setdefault(plain, set()).add(kind)
    for field, kinds in found.items():
        if field in fields:
            assert kinds - {None} <= fields[field], f"{field} is {kinds}"
        elif field != "table.usable.*":
            assert kinds <= {dict, None}, f"{field} is not documented"
            assert any(other.startswith(f"{field}.") for other in fields), f"{field} is not documented"
    if whole:
        nothing = ({None}, {type(None)})
        empty = tuple(field for field, kinds in found.items() if kinds in nothing)
        missing = {field for field in fields if field not in found and not field.startswith(empty or "\0")}
        assert missing <= {"details.*"}, f"documented and not there: {missing}"


def test_every_command_is_documented():
    commands = {"inspect", "ls", "cat", "write", "edit", "undo", "recover", "doctor", "exit-status"}
    commands |= {"console-enable", "console-status", "error", "inspect-iso", "iso-add", "iso-rm", "iso-extract"}
    commands |= {"login-enable", "login-status", "iso-answers"}
    commands |= {"location-inspect", "location-fetch", "verify"}
    commands |= {"vm-install", "vm-import", "vm-start", "vm-stop", "vm-list", "vm-remove", "vm-console"}
    commands |= {"batch-run", "batch-image", "batch-undo", "batch-report"}
    assert set(SCHEMAS) == {f"imgkit/{name}/1" for name in commands} | {"imgkit/batch-status/2"}
    assert all(SCHEMAS.values())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("inspect", ["inspect", "{}"]),
        ("inspect", ["inspect", "{}", "--map"]),
        ("ls", ["ls", "{}", "/"]),
        ("cat", ["cat", "{}", "/etc/fstab"]),
        ("write", ["write", "{}", "/etc/motd", "--in-place", "--undo", "u"]),
        ("write", ["write", "{}", "/etc/motd", "--dry-run"]),
        ("edit", ["edit", "{}", "/etc/motd", "-o", "new.qcow2"]),
        ("console-enable", ["console", "enable", "{}", "--in-place"]),
        ("console-enable", ["console", "enable", "{}", "--dry-run"]),
        ("login-enable", ["login", "enable", "{}", "--dry-run", "--hostname", "web1"]),
        ("recover", ["recover", "{}"]),
        ("exit-status", ["exit-status"]),
    ],
)
def test_the_document_of_a_command_that_succeeds(small, name, words):
    words = [str(small) if word == "{}" else word for word in words]
    env = {"EDITOR": "sed -i 1s/^/x/"}
    done = imgkit(*words, "--json", stdin=b"hello\n", env=env, cwd=small.parent)
    assert (done.status, done.stderr) == (0, "")
    check(done.json, f"{name}/1")


def test_documents_with_a_negative_answer(small):
    told = (("console-status", ["console", "status", small]), ("login-status", ["login", "status", small]))
    for name, words in (*told, ("doctor", ["doctor"])):
        done = imgkit(*words, "--json")
        assert done.status in (0, 1)
        assert done.stderr == ""
        check(done.json, f"{name}/1")
    assert imgkit("console", "status", small, "--json").json["enabled"] is False


def test_the_document_of_an_undo(small):
    undo = small.with_name("u")
    made = imgkit("console", "enable", small, "--in-place", "--undo", undo, "--json").json
    assert made["undo"] == str(undo)
    assert made["changed"] is True
    assert made["output"] is None
    done = imgkit("undo", small, undo, "--json")
    assert done.status == 0
    check(done.json, "undo/1")


def test_patches_are_what_differs(small):
    before = small.read_bytes()
    made = imgkit("console", "enable", small, "--in-place", "--json").json
    after = small.read_bytes()
    covered = {at for patch in made["patches"] for at in range(patch["offset"], patch["offset"] + patch["length"])}
    longest = max(len(before), len(after))
    old, new = before.ljust(longest, b"\0"), after.ljust(longest, b"\0")
    assert {at for at in range(longest) if old[at] != new[at]} <= covered


def test_a_disk_without_a_system(tmp_path):
    image = make_disk(tmp_path / "disk.img", [Part("ext4", {"/x": b""})])
    done = imgkit("inspect", image, "--json")
    assert done.status == 0
    document = done.json
    assert document["system"] is None
    assert document["problem"] == "no root file system was found"
    assert document["hint"]
    assert document["table"]["usable"] == {"start": 2048 * 512, "stop": image.stat().st_size - 33 * 512}
    check(document, "inspect/1", whole=False)


@pytest.mark.parametrize(
    ("words", "error", "details"),
    [
        (["inspect", "nothing"], "MissingFileError", {}),
        (["cat", "{}", "/nothing"], "PathNotFoundError", {"path": "/nothing"}),
        (["console", "enable", "{}"], "UsageError", {}),
        (["console", "enable", "{}", "--in-place", "--root", "9"], "NoRootError", {}),
    ],
)
def test_an_error_is_a_document_too(small, words, error, details):
    words = [str(small) if word == "{}" else word for word in words]
    done = imgkit(*words, "--json", cwd=small.parent)
    assert done.stderr == ""
    document = done.json
    assert document["error"] == error
    assert document["status"] == done.status > 1
    assert document["details"] == details
    check(document, "error/1")


def test_a_format_error_names_structure_offset_and_field(small):
    with small.open("r+b") as file:
        file.seek(20)
        file.write(b"\0\0\0\x3f")
    document = imgkit("inspect", small, "--json").json
    assert document["details"] == {
        "structure": "qcow2 header",
        "offset": 20,
        "field": "cluster_bits",
        "path": str(small),
    }
    check(document, "error/1")


def test_names_that_are_not_utf_8_are_still_json(tmp_path):
    image = make_disk(tmp_path / "disk.img", [Part("ext4", {"/etc/os-release": b"ID=x\n", "/odd\udcff": b"x"})])
    assert "odd\\xff" in [entry["name"] for entry in imgkit("ls", image, "--json").json["entries"]]


def test_the_documents_of_a_batch(small):
    plan = small.with_name("plan.toml")
    plan.write_text('inputs = ["*.qcow2"]\nin-place = true\n[operation]\nkind = "console enable"\n')
    small.with_name("broken.qcow2").write_bytes(b"no image")
    for command, name, status in (("run", "batch-run", 1), ("retry", "batch-run", 1), ("undo", "batch-undo", 0)):
        done = imgkit("batch", command, plan, "--json")
        assert done.status == status, done.stderr
        check(done.json, f"{name}/1", whole=command != "undo")
        *images, last = map(json.loads, imgkit("batch", "status", plan, "--json").text.splitlines())
        for image in images:
            check(image, "batch-image/1", whole=image["state"] == "done")
        assert sorted(image["state"] for image in images) == (["done", "failed"] if status else ["failed", "undone"])
        check(last, "batch-status/2")
        told = imgkit("batch", "report", plan, "-o", small.with_name("page"), "--force", "--json").json
        check(told, "batch-report/1", whole=command != "undo")
