"""A headless Chromium, driven by selenium; nothing is downloaded."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HOW = "install a browser: apt-get install chromium chromium-driver (.ci/run does)"
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--lang=en")


def missing() -> str:
    """Why the browser tests cannot run here; empty where they can."""
    if not any(map(shutil.which, BROWSERS)):
        return f"no Chromium found; {HOW}"
    if not shutil.which("chromedriver"):
        return f"no chromedriver found; {HOW}"
    return ""


@contextmanager
def chromium() -> Iterator["Chrome"]:
    """A browser that keeps a log of its console and of every request."""
    from selenium.webdriver import Chrome
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = next(path for name in BROWSERS if (path := shutil.which(name)))
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def console(driver: "Chrome") -> list[str]:
    """Everything the page complained about since the last call."""
    return [entry["message"] for entry in driver.get_log("browser")]


def requests(driver: "Chrome") -> list[str]:
    """Every address asked for since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]


def look(driver: "Chrome", *, width: int, height: int = 900, dark: bool = False) -> None:
    """Give the window a size and the system a preference."""
    features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def save_screenshot(driver: "Chrome", path: Path) -> None:
    """What the window shows, as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(driver.get_screenshot_as_png())
