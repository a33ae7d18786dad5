"""The documentation site in headless Chromium, opened from the folder in which `make docs` builds it."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from tools.patience import until

SITE = Path(__file__).parents[2] / "build" / "site"
PAGES = ("index", "reference", "python", "speed", "troubleshooting")
COLOURS = {"light": "default", "dark": "slate"}
"""Colours that the system prefers, and the scheme of the page."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (SITE / "index.html").exists(), reason="the site is not built; run: make docs"),
]


@pytest.mark.parametrize("page", PAGES)
def test_page_fits_every_window_and_loads_only_files(browser: Any, page: str) -> None:
    browser.get_log("browser")
    browser.get(f"{SITE.as_uri()}/{page}.html")
    try:
        for width, (colours, scheme) in itertools.product((1280, 390), COLOURS.items()):
            metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            preference = {"features": [{"name": "prefers-color-scheme", "value": colours}]}
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", preference)
            until(lambda: browser.execute_script("return document.body.dataset.mdColorScheme") == scheme)  # noqa: B023
            window, content = browser.execute_script("return [innerWidth, document.documentElement.scrollWidth]")
            assert content <= window == width
        loaded = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
        assert [name for name in loaded if not name.startswith(("file:", "data:", "blob:"))] == []
        assert browser.get_log("browser") == []
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_search_finds_a_page_without_a_server(browser: Any) -> None:
    browser.get(f"{SITE.as_uri()}/index.html")
    field = browser.find_element("css selector", "input.md-search__input")
    browser.execute_script("arguments[0].focus()", field)
    field.send_keys("preview token")
    until(lambda: browser.find_elements("css selector", ".md-search-result__item a[href*='preview.html']"))
