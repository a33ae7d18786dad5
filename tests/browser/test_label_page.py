"""The page of `edgeinfer-train label` in headless Chromium, and its table in `prepare`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer_train.datasets.labelling.crops import Crop
from edgeinfer_train.datasets.labelling.page import page_face, save_page
from edgeinfer_train.datasets.prepare import prepare_folder
from tools.patience import PATIENCE

HOSTILE = "<script>document.title='x'<|script><img src=x onerror=\"document.title='x'\">,'&"
LABELS = ("happy", "sad", "</script><b>tired</b>", *(f"label {number}" for number in range(4, 13)))
FACES = 80


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with 80 crops; the answer of face N is label N mod 2, with a confidence of N percent."""
    folder = tmp_path_factory.mktemp("label")
    rows = []
    for number in range(FACES):
        label = LABELS[number % 2]
        name = f"{HOSTILE if number == 5 else 'clip'}_{number:03d}.png"
        image = np.random.default_rng(number).integers(0, 256, (48, 48), dtype=np.uint8)
        (folder / label).mkdir(exist_ok=True)
        cv2.imwrite(str(folder / label / name), image)
        rows.append(page_face(Crop(f"{label}/{name}", label, number / 100, image)))
    save_page(folder / "label.html", HOSTILE, rows, LABELS)
    return folder


@pytest.fixture
def page(browser: Any, folder: Path, tmp_path: Path) -> Iterator[Any]:
    """Browser with the page and without stored answers; at the end no error was logged, and nothing was requested."""
    browser.get_log("browser")
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    browser.get(f"file://{folder}/label.html")
    browser.execute_script("localStorage.clear()")
    browser.refresh()
    yield browser
    assert browser.get_log("browser") == []
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in loaded if not name.startswith("data:")] == []
    assert browser.title == "Label faces"


def press(browser: Any, *keys: str, modifiers: int = 0) -> None:
    for key in keys:
        for kind in ("keyDown", "keyUp"):
            browser.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": kind, "key": key, "modifiers": modifiers})


def text(browser: Any, name: str) -> str:
    return str(browser.find_element("id", name).text)


def choose(browser: Any, name: str, value: str) -> None:
    script = (
        "const e = document.getElementById(arguments[0]); e.value = arguments[1]; e.dispatchEvent(new Event('change'))"
    )
    browser.execute_script(script, name, value)


def test_names_and_labels_are_text(page: Any) -> None:
    assert HOSTILE in text(page, "work") + page.find_element("css selector", "h1").text
    assert LABELS[2] in text(page, "labels")
    assert page.execute_script("return document.querySelectorAll('script').length") == 2
    assert page.execute_script("return document.querySelectorAll('b').length") == 0
    assert len(page.find_elements("css selector", "#grid li")) == 60


def test_keys_label_remove_skip_and_undo(page: Any) -> None:
    assert text(page, "answer") == "1 of 80: happy (model: happy, 0 %)"
    press(page, "2", "w", "Enter", "Delete", "ArrowRight")
    assert text(page, "progress") == "4 of 80 reviewed, 2 changed, 1 removed"
    assert text(page, "answer").startswith("6 of 80")
    assert text(page, "file") == f"sad/{HOSTILE}_005.png"
    press(page, "z", "z")
    assert text(page, "progress") == "2 of 80 reviewed, 2 changed, 0 removed"
    assert text(page, "answer").startswith("3 of 80")
    press(page, "ArrowLeft")
    assert text(page, "answer") == f"2 of 80: {LABELS[10]} (model: sad, 1 %)"
    press(page, "z", modifiers=2)
    page.refresh()
    assert text(page, "progress") == "1 of 80 reviewed, 1 changed, 0 removed"


def test_filters_select_class_and_state(page: Any) -> None:
    press(page, "x", "1", "1")
    choose(page, "class", "=sad")
    assert text(page, "answer").startswith("1 of 39")
    choose(page, "state", "changed")
    assert page.find_element("id", "empty").is_displayed()
    choose(page, "class", "=happy")
    assert text(page, "answer").startswith("1 of 1: happy (model: sad")
    choose(page, "class", "all")
    choose(page, "state", "removed")
    assert text(page, "answer").startswith("1 of 1: removed")
    choose(page, "state", "open")
    choose(page, "order", "file")
    assert text(page, "answer").startswith("1 of 77")


def test_saved_table_is_applied_by_prepare(page: Any, folder: Path, tmp_path: Path) -> None:
    press(page, "2", "1", "3", "x", "ArrowRight", "3")
    page.find_element("id", "save").click()
    table = tmp_path / "corrections.csv"
    deadline = time.monotonic() + 20 * PATIENCE
    while not table.is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    lines = table.read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["file,label", "happy/clip_000.png,sad"]
    labels = "happy", "sad", "tired"
    table.write_text(table.read_text(encoding="utf-8").replace(LABELS[2], "tired"), encoding="utf-8")
    report = prepare_folder(folder, tmp_path / "data", corrections=table, labels=labels)
    assert {label: sum(counts[label] for counts in report.counts.values()) for label in labels} == {
        "happy": 39, "sad": 38, "tired": 2
    }  # fmt: skip
    assert report.skipped_by_reason() == {"removed by correction": ["sad/clip_003.png"]}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_layout_has_no_horizontal_scrolling(page: Any, scheme: str) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    assert page.execute_script("return document.documentElement.scrollWidth") == 390
    colour = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, colour[4:-1].split(","))) < 300) == (scheme == "dark")
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
