"""Chromium for tests, without a screen; they are skipped where there is none."""

import shutil

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

_CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
_DRIVER = shutil.which("chromedriver")
MARKS = [
    pytest.mark.slow,
    pytest.mark.skipif(not (_CHROMIUM and _DRIVER), reason="no chromium and chromedriver found"),
]


def start(*words, patience_s):
    """A browser of its own, with cookies and a store of its own; to be ended with `quit()`.

    Args:
        words: flags, beside those that it needs to run here.
        patience_s: for a page to load.
    """
    options = webdriver.ChromeOptions()
    options.binary_location = _CHROMIUM
    needed = ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage")
    for word in (*needed, *words):
        options.add_argument(f"--{word}")
    driver = webdriver.Chrome(options, webdriver.ChromeService(_DRIVER))
    driver.set_page_load_timeout(patience_s)
    return driver
