"""The documentation site in headless Chromium, as `make docs` builds it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

SITE = Path(__file__).parents[2] / "build" / "site"
PAGES = ("", "reference", "python", "speed", "troubleshooting")
COLOURS = {"light": "default", "dark": "slate"}
"""Colours that the system prefers, and the scheme of the page."""


class QuietHandler(SimpleHTTPRequestHandler):
    """Handler that logs nothing."""

    def log_message(self, format: str, *_: object) -> None:
        """Ignore a request."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    if not (SITE / "index.html").exists():
        pytest.skip("the site is not built; run: make docs")
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(SITE))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize(("width", "colours"), [(390, "dark"), (1280, "light")])
def test_pages_fit_the_window_and_load_nothing_from_elsewhere(
    browser: Any, address: str, width: int, colours: str
) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    preference = {"features": [{"name": "prefers-color-scheme", "value": colours}]}
    browser.get_log("browser")
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", preference)
    try:
        for page in PAGES:
            browser.get(f"{address}{page}")
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width, page
            assert browser.execute_script("return document.body.dataset.mdColorScheme") == COLOURS[colours]
            loaded = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
            assert [name for name in loaded if not name.startswith((address, "data:", "blob:"))] == []
        assert browser.get_log("browser") == []
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
