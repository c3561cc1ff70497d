"""Chromium without a screen, driven by ChromeDriver: Debian's packages, a profile of its own, and no network."""

from __future__ import annotations

import base64
import json
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.support import oracle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Chromium's own sandbox needs user namespaces, which containers often refuse. It opens only pages of ours.
_SWITCHES = (
    "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run --hide-scrollbars "
    "--disable-background-networking --disable-component-update --disable-sync"
)
_TABLET = 600
_LOGS = {"browser": "ALL", "performance": "ALL"}


class Browser:
    """A browser with one page."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, page: Path, *, width: int, scheme: str = "light", scripts: bool = True) -> None:
        """Open a page on a screen of that width, in light or dark; without `scripts`, as if it had none."""
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < _TABLET}
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.command("Emulation.setDeviceMetricsOverride", screen)
        self.command("Emulation.setEmulatedMedia", {"features": features})
        self.command("Emulation.setScriptExecutionDisabled", {"value": not scripts})
        self.driver.get(page.as_uri())

    def command(self, name: str, parameters: dict[str, Any]) -> Any:
        """A command of the Chrome DevTools Protocol."""
        return self.driver.execute_cdp_cmd(name, parameters)

    def run(self, script: str, *arguments: object) -> Any:
        """What a script returns that runs in the page."""
        return self.driver.execute_script(script, *arguments)

    def requests(self) -> list[str]:
        """The addresses that were asked for since the last time, but those of the browser's own first page."""
        messages = (json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance"))
        asked = (each["params"] for each in messages if each["method"] == "Network.requestWillBeSent")
        return [each["request"]["url"] for each in asked if not each["documentURL"].startswith("chrome:")]

    def complaints(self) -> list[dict[str, Any]]:
        """What the page's console says since the last time: errors, warnings, what its policy refused."""
        return list(self.driver.get_log("browser"))

    def screenshot(self, path: Path) -> None:
        """A picture of the page from its top to its end, as PNG."""
        width, height = self.run("return [document.documentElement.clientWidth, document.documentElement.scrollHeight]")
        whole = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = self.command("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": whole})
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser for the time of a `with` block."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(oracle.find("chromium"))
    for switch in _SWITCHES.split():
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", _LOGS)
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options.add_argument(f"--user-data-dir={profile}")
        driver = webdriver.Chrome(options=options, service=Service(str(oracle.find("chromedriver"))))
        try:
            yield Browser(driver)
        finally:
            driver.quit()
