"""The report of a real batch in a real browser, on a wide screen and on a phone, with and without its script."""

import shutil

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests.cli.command import imgkit
from tests.support.browser import browser
from tests.support.guests import OS_RELEASE, Part, make_disk
from tests.support.images import fixture

pytestmark = pytest.mark.batch

PLAN = """inputs = ["*.qcow2", "*.img", "*.iso"]
in-place = true
[operation]
kind = "console enable"
[[select]]
match = "*"
engine = "native"
"""
HOSTILE = "<img src=x onerror=document.title='owned'>.img"
MENU = """set timeout=5
menuentry 'x</code></pre></details><script>document.title="owned"</script>' {
  linux /vmlinuz root=/dev/sda1 ro quiet
  initrd /initrd
}
"""
WIDE, NARROW = 1280, 390
STATES = {"done": 7, "unchanged": 1, "failed": 5}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The report of a batch of copies, ISOs of two families, a hostile disk, and broken ones."""
    folder = tmp_path_factory.mktemp("fleet")
    for n in range(4):
        shutil.copyfile(fixture("small-qcow2"), folder / f"web-{n}.qcow2")
    shutil.copyfile(fixture("small-qcow2"), folder / "ready.qcow2")
    assert imgkit("console", "enable", folder / "ready.qcow2", "--in-place").status == 0
    for name in ("iso-grub-rescue", "iso-isolinux"):
        shutil.copyfile(fixture(name), folder / f"{name}.iso")
    files = {"/etc/os-release": OS_RELEASE.encode(), "/etc/fstab": b"/dev/sda1 / ext4 defaults 0 1\n"}
    files |= {"/boot/grub/grub.cfg": MENU.encode(), "/etc/default/grub": b"", "/lib/systemd/systemd": b""}
    make_disk(folder / "disk.img", [Part("ext4", files, label="<b>root"), Part("", size=4)]).rename(folder / HOSTILE)
    for n in range(3):
        (folder / f"cut-{n}.qcow2").write_bytes(fixture("small-qcow2").read_bytes()[: 90_000 + 1000 * n])
    (folder / "letter.img").write_bytes(b"dear sir")
    (folder / "empty.img").write_bytes(bytes(1 << 20))
    (folder / "fleet.toml").write_text(PLAN)
    assert imgkit("batch", "run", folder / "fleet.toml").status == 1
    path = folder / "report.html"
    assert imgkit("batch", "report", folder / "fleet.toml", "-o", path).status == 0
    return path


@pytest.fixture(scope="module")
def chromium():
    with browser() as opened:
        yield opened


@pytest.fixture
def wide(chromium, page):
    chromium.open(page, width=WIDE)
    yield chromium
    check_quiet(chromium, page)


def check_quiet(chromium, page):
    """No complaint in the console, nothing asked for but the page, nothing that images hold has run."""
    assert chromium.complaints() == []
    assert set(chromium.requests()) <= {page.as_uri()}
    assert chromium.driver.title == "fleet.batch · imgkit batch report"


def shown(chromium):
    """Names of the images that can be seen, in order."""
    script = """return Array.from(document.querySelectorAll('.image'))
        .filter((card) => card.checkVisibility()).map((card) => card.querySelector('.name').textContent)"""
    return chromium.run(script)


def find(chromium, selector):
    return chromium.driver.find_element(By.CSS_SELECTOR, selector)


def filled(chromium, number):
    """Wait until so many open cards have their maps and diffs: browsers tell of an opened element a little later."""
    script = "return document.querySelectorAll('.image[open][data-filled]').length"
    WebDriverWait(chromium.driver, 60).until(lambda _driver: chromium.run(script) == number)


def choose(chromium, order):
    find(chromium, f"select[name=sort] option[value={order}]").click()


def test_totals_and_cards_say_what_the_ledger_says(wide):
    tiles = [tile.text.split("\n") for tile in wide.driver.find_elements(By.CSS_SELECTOR, ".tile")]
    assert tiles[:-1] == [["13", "images"], *([str(number), state] for state, number in STATES.items())]
    names = shown(wide)
    assert len(names) == 13
    assert HOSTILE in names
    for state, number in STATES.items():
        assert len(wide.driver.find_elements(By.CSS_SELECTOR, f".image[data-state={state}]")) == number
    assert "5 failed, for 3 reasons" in find(wide, "#failures").text
    assert len(wide.driver.find_elements(By.CSS_SELECTOR, ".strip circle")) == 13


def test_filters_by_text_state_and_cause(wide):
    box = find(wide, "input[type=search]")
    box.send_keys("web")
    assert shown(wide) == [f"web-{n}.qcow2" for n in range(4)]
    assert find(wide, ".shown").text == "4 of 13 shown"
    box.send_keys(" nowhere")
    assert shown(wide) == []
    assert find(wide, ".none").is_displayed()
    find(wide, ".clear").click()
    assert len(shown(wide)) == 13
    find(wide, "input[value=done]").send_keys(Keys.SPACE)
    find(wide, "input[value=unchanged]").send_keys(Keys.SPACE)
    assert sorted(shown(wide)) == ["cut-0.qcow2", "cut-1.qcow2", "cut-2.qcow2", "empty.img", "letter.img"]
    find(wide, ".clear").click()
    find(wide, ".causes li:first-child button").click()
    assert shown(wide) == ["cut-0.qcow2", "cut-1.qcow2", "cut-2.qcow2"]
    box.send_keys("cut-1")
    assert shown(wide) == ["cut-1.qcow2"]


def test_sorts_and_goes_back_to_the_order_of_the_plan(wide):
    before = shown(wide)
    choose(wide, "name")
    assert shown(wide) == sorted(before)
    choose(wide, "seconds")
    times = wide.run("return Array.from(document.querySelectorAll('.image'), (card) => Number(card.dataset.seconds))")
    assert times == sorted(times, reverse=True)
    choose(wide, "state")
    assert shown(wide)[:2] == ["cut-0.qcow2", "cut-1.qcow2"]
    choose(wide, "plan")
    assert shown(wide) == before


def test_a_card_opens_by_keyboard_and_shows_map_and_diffs(wide):
    card = next(c for c in wide.driver.find_elements(By.CSS_SELECTOR, ".image") if "web-1" in c.text)
    card.find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)
    filled(wide, 1)
    rows = card.find_elements(By.CSS_SELECTOR, ".legend tbody tr")
    assert [row.find_elements(By.TAG_NAME, "td")[1].text for row in rows][2:] == [
        f"/dev/sda{n} ext4" for n in (1, 2, 3)
    ]
    assert len(card.find_elements(By.CSS_SELECTOR, ".legend svg use")) == 2  # areas, and what changed
    diff = card.find_element(By.CSS_SELECTOR, ".diff")
    assert "/boot/grub/grub.cfg" in diff.text
    assert not diff.find_element(By.TAG_NAME, "pre").is_displayed()
    diff.find_element(By.TAG_NAME, "summary").click()
    assert "terminal_output gfxterm" in diff.text
    added, removed = (diff.find_elements(By.CSS_SELECTOR, f"pre .{sign}") for sign in ("add", "del"))
    assert added
    assert removed
    assert all(line.size["height"] > 8 and line.rect["x"] < 200 for line in (*added, *removed))


def test_what_an_image_holds_is_text(wide):
    choose(wide, "name")
    find(wide, ".image summary").click()
    filled(wide, 1)
    card = find(wide, ".image")
    assert HOSTILE in card.text
    assert "/dev/sda1 ext4 '<b>root'" in card.text
    for diff in card.find_elements(By.CSS_SELECTOR, ".diff summary"):
        diff.click()
    assert "</pre></details><script>" in card.text
    assert wide.run("return document.querySelectorAll('main script, main img').length") == 0


def test_a_link_to_an_image_opens_it_although_it_was_filtered_away(wide):
    find(wide, "input[type=search]").send_keys("web")
    find(wide, ".causes li:first-child .names a").click()
    filled(wide, 1)
    opened = wide.run("return Array.from(document.querySelectorAll('.image[open] .name'), (name) => name.textContent)")
    assert opened == ["cut-0.qcow2"]


def test_every_control_and_drawing_has_a_name_and_the_focus_is_seen(wide):
    tree = wide.command("Accessibility.getFullAXTree", {})["nodes"]
    named = {
        "textbox",
        "searchbox",
        "checkbox",
        "combobox",
        "button",
        "link",
        "img",
        "image",
        "figure",
        "table",
        "region",
    }
    for node in tree:
        role = node.get("role", {}).get("value", "")
        if role in named - {"figure", "table"} and not node.get("ignored"):
            assert node.get("name", {}).get("value"), node
    ActionChains(wide.driver).send_keys(Keys.TAB).perform()
    assert wide.run("return document.activeElement.className") == "skip"
    assert wide.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"


@pytest.mark.parametrize(("width", "scheme"), [(WIDE, "light"), (WIDE, "dark"), (NARROW, "light"), (320, "dark")])
def test_it_fits_the_screen_whatever_is_open(chromium, page, width, scheme, tmp_path):
    chromium.open(page, width=width, scheme=scheme)
    chromium.run("for (const each of document.querySelectorAll('.image, .more')) each.open = true")
    filled(chromium, 13)
    chromium.run("for (const each of document.querySelectorAll('.diff')) each.open = true")
    assert chromium.run("return document.documentElement.scrollWidth") == width
    beyond = """return Array.from(document.querySelectorAll('main *'))
        .filter((each) => !each.closest('pre, .scroll, svg') && each.checkVisibility())
        .filter((each) => each.getBoundingClientRect().right > innerWidth + 1).map((each) => each.outerHTML)"""
    assert chromium.run(beyond) == []
    back = chromium.run("return getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, back[4:-1].split(","))) < 64) is (scheme == "dark")
    shot = tmp_path / "report.png"
    chromium.screenshot(shot)
    assert shot.read_bytes().startswith(b"\x89PNG")
    assert shot.stat().st_size > 50_000
    check_quiet(chromium, page)


def test_without_its_script_everything_is_there_to_be_read(chromium, page):
    chromium.open(page, width=NARROW, scripts=False)
    try:
        text = find(chromium, "main").text
        assert "13\nimages" in text
        assert not find(chromium, ".tools").is_displayed()
        assert not find(chromium, ".causes button").is_displayed()
        assert find(chromium, "#map0 table").is_displayed()
        assert find(chromium, "#diff0 summary").is_displayed()
        link = find(chromium, ".changed a")
        assert find(chromium, link.get_attribute("href").partition(page.name)[2]).is_displayed()
    finally:
        chromium.command("Emulation.setScriptExecutionDisabled", {"value": False})
    check_quiet(chromium, page)
