"""The report: what it says, what hostile names and contents cannot do in it, how large it gets."""

import re
import stat
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources

import pytest

from imgkit.batch.jobs import find_jobs
from imgkit.batch.ledger import FileChange, Outcome, State
from imgkit.batch.markup import element, joined
from imgkit.batch.plan import read_plan
from imgkit.batch.report import Image, Report, causes, shape, timings
from imgkit.batch.reportpage import render
from imgkit.batch.work import Task, carry_out
from imgkit.layoutmap.model import Claim, RangeKind, decode, make_map
from imgkit.units import ByteRange
from tests.cli.command import assert_refused, imgkit

pytestmark = pytest.mark.batch

HOSTILE = (
    "<script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "--><img src=x onerror=alert(1)>",
    "\"' onmouseover='alert(1)' x=\"",
    "$style ${script} %s {0} &lt;script&gt;",
    "`<b>` and `</code></pre></details><iframe src=//evil.example>`",
    "javascript:alert(1)",
    "\udcff\x00\x1b[31m\u202egnp.exe",
)
MAP = make_map(
    10 << 20,
    [
        Claim(ByteRange(0, 512), RangeKind.TABLE, "MBR"),
        Claim(ByteRange(1 << 20, 8 << 20), RangeKind.FILE_SYSTEM, "/dev/sda1 ext4", 1 << 20),
    ],
    [ByteRange(2 << 20, (2 << 20) + 512)],
)


def image(number, name, state=State.DONE, **told):
    outcome = Outcome(state, **{"sha256": "0" * 64, "engine": "native", "seconds": 0.04} | told)
    return Image(number, name, f"/data/{name}", "", "console enable", outcome, outcome.message, None)


def report(images):
    counts = {state: sum(each.outcome.state is state for each in images) for state in State}
    return Report("fleet.batch", "/data/", counts, tuple(images), causes(images), timings(images))


class Page(HTMLParser):
    """All elements of a page with their attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def count(self, tag):
        return sum(each == tag for each, _ in self.elements)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_from_an_image_becomes_markup(hostile):
    told = {"error": hostile, "message": hostile, "hint": hostile, "notices": (hostile,), "engine": hostile}
    told |= {"changes": (FileChange(hostile, f"--- a\n+++ b\n@@ {hostile}\n-{hostile}\n+{hostile}\n {hostile}\n"),)}
    drawn = make_map(1 << 20, [Claim(ByteRange(0, 4096), RangeKind.FILES, hostile)])
    bad = [replace(image(n, hostile, state, **told), layout=drawn) for n, state in enumerate(State, 1)]
    bad = [replace(each, operation=hostile, output=hostile, input=hostile) for each in bad]
    page = Page(render(replace(report(bad), batch=hostile, folder=hostile), 0))
    assert page.count("script") == page.count("style") == 1
    assert not {"img", "iframe", "object", "embed", "base", "link"} & {tag for tag, _ in page.elements}
    for _, attributes in page.elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        assert not attributes.get("src")
        assert attributes.get("href", "#").startswith("#")
    assert not re.search(r"[\x00\x1b\u202e\udc80-\udcff]", page.text)


def test_the_policy_lets_nothing_run_but_what_it_names():
    page = Page(render(report([image(1, "a")]), 0))
    (policy,) = [each["content"] for tag, each in page.elements if each.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert page.elements.index(("meta", {"charset": "utf-8"})) < 5


def test_markup_escapes_whatever_is_not_its_own():
    assert element("p", "<b>", element("b", "&"), title='"') == '<p title="&quot;">&lt;b&gt;<b>&amp;</b></p>'
    assert element("input", checked=True, hidden=False, data_x=None, class_="a") == '<input checked class="a">'
    assert joined("a\u202eb\x07\ud800c\n") == "a\\u202eb\\x07\\ud800c\n"


def test_failures_are_grouped_by_what_their_messages_have_in_common():
    told = [
        ("a.img", "FormatError", "ends at 1,000 (header at byte 40)"),
        ("b.img", "FormatError", "ends at 17 (header at byte 0x28)"),
        ("c.img", "UsageError", "ends at 17 (header at byte 40)"),
    ]
    failed = [
        image(number, name, State.FAILED, error=error, message=f"/data/{name}: {message}", hint=f"Get {name}.")
        for number, (name, error, message) in enumerate(told, 1)
    ]
    first, second = causes([*failed, image(4, "d.img")])
    assert (first.error, first.message, first.images) == ("FormatError", "ends at … (header at byte …)", (1, 2))
    assert first.hint == "Get IMAGE."
    assert (second.error, second.images) == ("UsageError", (3,))
    assert shape("no 'x y' and \"z\" at 0xff", "") == "no '…' and '…' at …"


def test_times_are_told_by_engine_and_failures_apart():
    images = [image(n, f"{n}", seconds=n / 100) for n in range(1, 101)]
    images += [image(200, "i", engine="iso", seconds=2.0), image(201, "f", State.FAILED, seconds=0.001)]
    images += [image(202, "p", State.PENDING, seconds=0.0)]
    native, iso, failed = timings(images)
    assert (native.engine, len(native.seconds)) == ("native", 100)
    assert (native.quantile(0.5), native.quantile(0.95)) == (0.51, 0.96)
    assert (iso.engine, iso.seconds) == ("iso", (2.0,))
    assert failed.engine == "failed"


def test_an_empty_batch_and_one_without_maps_have_a_page():
    assert "no images" in render(report([]), 0)
    assert "1 failed, for 1 reason<" in render(report([image(1, "a", State.FAILED, error="E", message="m")]), 0)


@pytest.mark.parametrize("alike", [True, False])
def test_a_thousand_images_are_a_page_of_some_megabytes(alike):
    lines = "".join(f" linux /vmlinuz-{n} root=UUID=00000000-0000-4000-8000-000000000000 ro quiet\n" for n in range(40))
    images = []
    for n in range(1000):
        change = FileChange("/boot/grub/grub.cfg", f"--- a\n+++ b\n@@ -1 +1 @@\n-{0 if alike else n}\n+x\n{lines}")
        images.append(replace(image(n, f"node-{n}.qcow2", changes=(change,)), layout=MAP))
    page = render(report(images), 0)
    assert len(page) < (1_300_000 if alike else 5_000_000)
    assert page.count('id="m0"') == 1
    assert page.count("<symbol") == 2
    assert page.count('class="hunk"') == 1 if alike else page.count('class="hunk"') > 500
    assert ("left out for size" in page) is not alike


def test_a_very_long_diff_is_cut_and_says_so():
    change = FileChange("/x", "--- a\n+++ b\n" + "+y\n" * 5000)
    page = render(report([image(1, "a", changes=(change,))]), 0)
    assert "… and 3,002 lines more" in page
    assert page.count('class="add"') < 2001


def test_colours_can_be_read_in_both_schemes():
    """Contrast of text by WCAG 2.2, 1.4.3: at least 4.5 to 1."""
    css = resources.files("imgkit.batch").joinpath("assets/report.css").read_text()
    light, dark = re.findall(r":root \{(.*?)\}", css, re.DOTALL)[:2]
    pairs = [("text", "page"), ("text", "card"), ("soft", "page"), ("soft", "card"), ("link", "page"), ("link", "card")]
    pairs += [(name, f"{name}-back") for name in ("done", "unchanged", "failed", "pending", "undone", "add", "del")]
    pairs += [("hunk", "card"), ("failed", "card"), ("done", "page"), ("failed", "page")]
    for block in (light, dark):
        colours = dict(re.findall(r"--([\w-]+): #([0-9a-f]{6})", block))
        for front, back in pairs:
            high, low = sorted((_luminance(colours[front]), _luminance(colours[back])), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, f"{front} on {back}"


def _luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_command_writes_a_page_once_and_says_the_figures(disks):
    plan = disks(2, broken=2)
    folder = plan.parent
    assert_refused(folder, "batch", "report", plan, status=2, says="contains no ledger", hint="imgkit batch run")
    assert imgkit("batch", "run", plan).status == 1
    page = folder / "page.html"
    done = imgkit("batch", "report", plan, "-o", page)
    assert (done.status, done.stdout, done.stderr) == (0, b"", f"imgkit: 4 images: written to {page}\n")
    assert stat.S_IMODE(page.stat().st_mode) & 0o777 == 0o644
    first = page.read_bytes()
    words = ("batch", "report", plan, "-o", page)
    assert_refused(folder, *words, status=8, says=f"{page}: exists", hint="--force")
    assert_refused(
        folder, *words[:3], "-o", folder / "no/x", status=8, says="no such directory", hint="Create it first"
    )
    assert_refused(folder, *words[:3], "-o", folder, "--force", status=8, says="not a regular file", hint="-o -")
    found = imgkit(*words, "--force", "--json").json
    assert found["counts"] == {"pending": 0, "done": 2, "partly": 0, "unchanged": 0, "failed": 2, "undone": 0}
    (cause,) = found["causes"]
    assert [name.rpartition("/")[2] for name in cause["images"]] == ["broken-0.qcow2", "broken-1.qcow2"]
    assert {each["engine"]: each["images"] for each in found["timings"]} == {"native": 2, "failed": 2}
    assert b"<h1>plan.batch</h1>" in first
    streamed = imgkit("batch", "report", folder / "plan.batch", "-o", "-").stdout
    assert streamed.startswith(b"<!doctype html>")
    assert not list(folder.glob(".*"))


def test_the_same_ledger_gives_the_same_page(disks):
    plan = disks(2)
    imgkit("batch", "run", plan)
    env = {"SOURCE_DATE_EPOCH": "1700000000"}
    first, second = (imgkit("batch", "report", plan, "-o", "-", env=env).stdout for _ in range(2))
    assert first == second
    assert b"2023-11-14 22:13 UTC" in first


def test_what_lies_where_is_known_after_a_kill_and_of_what_failed(disks):
    plan = disks(1)
    (job,) = find_jobs(read_plan(plan))
    task = Task(job, plan.with_name("1.undo"))
    first, again = carry_out(task), carry_out(task)  # the second one finds that the first one committed
    assert first.layout == again.layout
    drawn = decode(first.layout)
    systems = [area for area in drawn.areas if area.kind is RangeKind.FILE_SYSTEM]
    assert len(systems) == 3
    assert drawn.changed
    assert all(any(s.start <= each.start and each.stop <= s.stop for s in systems) for each in drawn.changed)
    job.input.write_bytes(b"\0" * (1 << 20))
    failed = carry_out(Task(job, plan.with_name("2.undo")))
    assert failed.state is State.FAILED
    assert decode(failed.layout).size == 1 << 20
