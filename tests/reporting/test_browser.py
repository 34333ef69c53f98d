"""Report and comparison in Chromium: on a phone, on a screen, in print."""

import base64
import json

import chromium
import pytest
from reported import NAMES, PALETTE, run

from cbda_jax.reporting import compare
from cbda_jax.reporting.report import write_report

pytestmark = chromium.MARKS


@pytest.fixture(scope="module")
def browser():
    driver = chromium.start("hide-scrollbars", patience_s=60)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    root = tmp_path_factory.mktemp("pages")
    for name in ("a", "b"):
        run(root / name)
        (root / name / "config.json").write_text(json.dumps({"seed": 0, "method": name}))
    report = write_report(
        root / "a",
        class_names=NAMES,
        palette=PALETTE,
        title="cbda on a_city_with_a_very_long_name_that_has_no_space_in_it",
        config_text="a.field: '" + 300 * "x" + "'",
        radius=1,
        budget=0.02,
    )
    compare.write_comparison(compare.read_runs([root / "a", root / "b"]), root / "compare.html")
    return {"report": report, "compare": root / "compare.html"}


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", ["report", "compare"])
def test_only_what_scrolls_in_itself_is_wider_than_the_screen(browser, pages, name, width):
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(pages[name].as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    fetched = browser.execute_script(
        "return performance.getEntriesByType('resource')"
        ".map(e => e.name).filter(name => !name.startsWith('data:'))"
    )
    assert fetched == []
    broken = "return [...document.images].filter(i => !i.naturalWidth).length"
    assert browser.execute_script(broken) == 0


@pytest.mark.parametrize("name", ["report", "compare"])
def test_prints(browser, pages, name):
    browser.get(pages[name].as_uri())
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    # 190 mm, what is left of A4 between margins of 14 mm, give or take.
    size = {"width": 700, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert browser.execute_script("return document.documentElement.scrollWidth") == 700
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
