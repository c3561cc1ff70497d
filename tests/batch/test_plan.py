"""Plans: what they may say, and the line that is named where they are wrong."""

import os
import subprocess

import pytest

from imgkit.batch.jobs import find_jobs
from imgkit.batch.plan import read_plan
from imgkit.errors import ConfigError, UsageError

ENABLE = '[operation]\nkind = "console enable"\n'


def plan(folder, text):
    path = folder / "plan.toml"
    path.write_text(text)
    return read_plan(path)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("inputs = [", 0, "is not TOML"),
        ('inputs = ["a"]\nin-place = true\ncolour = 1\n' + ENABLE, 3, "unknown key 'colour'"),
        ('inputs = "a"\nin-place = true\n' + ENABLE, 1, "inputs is a string, not a list of strings"),
        ('inputs = ["a"]\n' + ENABLE, 0, "give exactly one of output and in-place"),
        ('inputs = ["a"]\noutput = "x"\nin-place = true\n' + ENABLE, 2, "give exactly one of output and in-place"),
        ('inputs = ["a"]\noutput = "{stm}"\n' + ENABLE, 2, "{stm}"),
        ('inputs = ["a"]\nin-place = true\n', 0, "no [operation]"),
        ('inputs = ["a"]\nin-place = true\n\n[operation]\nkind = "reboot"\n', 5, "'reboot'"),
        ('inputs = ["a"]\nin-place = true\n' + ENABLE + 'baud = "fast"\n', 5, "baud is a string, not a integer"),
        ('inputs = ["a"]\nin-place = true\n' + ENABLE + "baud = 12345\n", 3, "12345"),
        ('inputs = ["a"]\nin-place = true\n' + ENABLE + "timeout = -1\n", 3, "timeout is negative"),
        (
            'inputs = ["a"]\nin-place = true\n'
            + ENABLE
            + '[[select]]\nmatch = "a"\n[[select]]\nmatch="b"\nengine="x"\n',
            9,
            "unknown engine: 'x'",
        ),
        ("in-place = true\n" + ENABLE, 0, "no inputs"),
        ('inputs = ["a"]\nin-place = true\n[operation]\nkind = "write"\npath = "/x"\n', 3, "contents or from"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, text, line, says):
    with pytest.raises(ConfigError) as caught:
        plan(tmp_path, text)
    assert says in str(caught.value)
    assert caught.value.line == line
    assert caught.value.path == str(tmp_path / "plan.toml")


def test_inputs_come_from_patterns_and_lists_and_selectors_apply(tmp_path):
    for name in ("b.img", "a.img", "old.img"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "list").write_text("# others\nold.img\n\n")
    text = 'inputs = ["?.img"]\nlist = "list"\noutput = "out/{stem}-{sha256}{suffix}"\n'
    jobs = find_jobs(plan(tmp_path, text + ENABLE + '[[select]]\nmatch = "*/old*"\nroot = "3"\n'))
    assert [job.input.name for job in jobs] == ["a.img", "b.img", "old.img"]
    assert [job.selector.root for job in jobs] == [None, None, "3"]
    (digest, *_) = subprocess.run(
        ["sha256sum", tmp_path / "a.img"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert jobs[0].output == tmp_path / "out" / f"a-{digest}.img"


def test_folders_and_files_may_be_called_like_patterns_and_variables(tmp_path):
    folder = tmp_path / "disks [1]"
    folder.mkdir()
    for name in ("a[1].img", "a1.img", "{suffix}.img"):
        (folder / name).write_bytes(name.encode())
    text = 'output = "out/{stem}-{name}"\n' + ENABLE
    jobs = find_jobs(plan(folder, 'inputs = ["*.img"]\n' + text))
    assert [str(job.output.relative_to(folder)) for job in jobs] == [
        *("out/a1-a1.img", "out/a[1]-a[1].img", "out/{suffix}-{suffix}.img")
    ]
    assert [job.input.name for job in find_jobs(plan(folder, 'inputs = ["a[1].img"]\n' + text))] == ["a[1].img"]
    assert [job.input.name for job in find_jobs(plan(folder, 'inputs = ["a[123].img"]\n' + text))] == ["a1.img"]


def test_a_name_that_no_ledger_can_hold_is_refused(tmp_path):
    (tmp_path / "ü.img").write_bytes(b"")
    assert len(find_jobs(plan(tmp_path, 'inputs = ["*.img"]\nin-place = true\n' + ENABLE))) == 1
    (tmp_path / "\udcff.img").write_bytes(b"")
    with pytest.raises(UsageError, match="not UTF-8"):
        find_jobs(plan(tmp_path, 'inputs = ["*.img"]\nin-place = true\n' + ENABLE))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('inputs = ["a.img", "./a.img"]\nin-place = true\n', "is named twice"),
        ('inputs = ["a.img", "hard.img"]\nin-place = true\n', "is the same file as"),
        ('inputs = ["a.img", "soft.img"]\nin-place = true\n', "is named twice"),
        ('inputs = ["a.img", "b.img"]\noutput = "new.img"\n', "is the output of both"),
        ('inputs = ["a.img", "b.img"]\noutput = "{stem}.img"\n', "would overwrite an input"),
        ('inputs = ["a.img"]\noutput = "hard.img"\n', "would overwrite an input"),
        ('inputs = ["*.iso"]\nin-place = true\n', "matches no file"),
        ('list = "missing"\nin-place = true\n', "cannot be read"),
    ],
)
def test_collisions_are_refused_before_anything_starts(tmp_path, text, says):
    (tmp_path / "a.img").write_bytes(b"a")
    (tmp_path / "b.img").write_bytes(b"b")
    os.link(tmp_path / "a.img", tmp_path / "hard.img")
    (tmp_path / "soft.img").symlink_to("a.img")
    with pytest.raises(UsageError, match=says):
        find_jobs(plan(tmp_path, text + ENABLE))
