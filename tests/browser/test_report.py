"""The report's page in headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.cli import edgeinfer
from tools.result_files import Faces, face, steady, write_batch_table, write_jsonl

HOSTILE = "<script>document.title='x'<|script><img src=x onerror=\"document.title='x'\">'&\u202e"
"""Name with markup; a file name cannot contain "/"."""
LABELS = ("happy", "sad", "fear")
RECORDINGS = 120


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "results"
    rows: list[list[object]] = []
    for number in range(RECORDINGS):
        name = f"{'game' if number % 3 else 'talk'}/{number:03}"
        label = LABELS[number % 3]
        faces: list[Faces] = [*[[face(label, 0.8)]] * (number + 1), *[[face("neutral", 0.5, track=2)]] * 3, []]
        write_jsonl(folder / f"{name}.jsonl", steady(faces), source=name, summary=None if number == 7 else {})
        rows.append([f"{name}.mp4", "done"])
    write_jsonl(folder / f"{HOSTILE}.jsonl", steady([[face("</script>&'\"", 0.9)]]), source=HOSTILE)
    rows += [[f"{HOSTILE}.mp4", "done"], ["<b>bad</b>.mp4", "failed", "</script><script>document.title='x'</script>"]]
    write_batch_table(folder, *rows)
    page = folder.parent / "report.html"
    assert edgeinfer("report", folder, "--out", page, "--group", "^(game|talk)/").returncode == 0
    return page


@pytest.fixture
def opened(browser: Any, page: Path) -> Iterator[Any]:
    """Browser with the page; at the end no error was logged, and nothing was requested."""
    browser.get_log("browser")
    browser.get(f"file://{page}")
    yield browser
    assert browser.get_log("browser") == []
    assert browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)") == []
    assert browser.title == "Perceived expressions"


def names(browser: Any) -> list[str]:
    script = "return [...document.querySelectorAll('#overview tbody .name bdi')].map(e => e.textContent)"
    return list(browser.execute_script(script))


def text(browser: Any, selector: str) -> str:
    return str(browser.find_element("css selector", selector).text)


def sort_button(browser: Any, key: str) -> Any:
    return browser.find_element("css selector", f"#overview th[data-key={key}] button")


def choose(browser: Any, name: str, option: str) -> None:
    browser.find_element("id", name).send_keys(option)


def press(browser: Any, key: str, modifiers: int = 0) -> None:
    for kind in ("keyDown", "keyUp"):
        browser.execute_cdp_cmd(
            "Input.dispatchKeyEvent", {"type": kind, "key": key, "code": key, "modifiers": modifiers}
        )


def test_markup_in_names_labels_and_reasons_is_shown_as_text(opened: Any) -> None:
    shown = HOSTILE.replace("\u202e", " ") + ".mp4"
    assert shown in [name.rstrip() for name in names(opened)] + all_names(opened)
    assert "</script><script>" in text(opened, ".failed td")
    assert opened.execute_script("return document.querySelectorAll('script').length") == 2
    assert opened.execute_script("return document.querySelectorAll('img, main b:not(.legend b)').length") == 0
    assert "</script>&'\"" in text(opened, ".legend")


def all_names(browser: Any) -> list[str]:
    browser.find_element("id", "all").click()
    return names(browser)


def test_table_sorts_by_every_column(opened: Any) -> None:
    assert text(opened, "#count") == f"{RECORDINGS + 2} sources, the first 100 are shown"
    assert len(names(opened)) == 100
    sort_button(opened, "name").click()
    assert names(opened)[0] == "<b>bad</b>.mp4"
    assert names(opened)[2:4] == ["game/001.mp4", "game/002.mp4"]
    sort_button(opened, "length").click()
    assert names(opened)[0] == "game/119.mp4"
    header = opened.find_element("css selector", "th[data-key=length]")
    assert header.get_attribute("aria-sort") == "descending"
    sort_button(opened, "length").click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert names(opened)[-1] == "game/098.mp4"
    for key in ("group", "status", "tracks", "coverage", "confidence", "share"):
        sort_button(opened, key).click()
        sorted_by = opened.find_elements("css selector", "th[aria-sort=ascending], th[aria-sort=descending]")
        assert [each.get_attribute("data-key") for each in sorted_by] == [key]
    assert len(all_names(opened)) == RECORDINGS + 2


def test_filters_and_search_narrow_table_and_details(opened: Any) -> None:
    opened.find_element("id", "search").send_keys("GAME/00")
    assert names(opened) == [f"game/00{number}.mp4" for number in (1, 2, 4, 5, 7, 8)]
    assert text(opened, "#count") == f"6 of {RECORDINGS + 2} sources"
    visible = "return [...document.querySelectorAll('.recording')].filter(e => !e.hidden).length"
    assert opened.execute_script(visible) == 6
    choose(opened, "expression", "sad")
    assert names(opened) == ["game/001.mp4", "game/004.mp4", "game/007.mp4"]
    assert "sad" in text(opened, "#overview .share-value")
    choose(opened, "status", "incomplete")
    assert names(opened) == ["game/007.mp4"]
    opened.find_element("css selector", "button[type=reset]").click()
    assert text(opened, "#count").startswith(f"{RECORDINGS + 2} sources")
    choose(opened, "status", "failed")
    assert names(opened) == ["<b>bad</b>.mp4"]
    opened.find_element("css selector", "button[type=reset]").click()
    choose(opened, "group", "talk")
    assert text(opened, "#count") == f"40 of {RECORDINGS + 2} sources"
    opened.find_element("id", "search").send_keys("nothing like this")
    assert names(opened) == []


def test_recording_expands_from_the_table_with_the_keyboard(opened: Any) -> None:
    opened.find_element("id", "search").send_keys("game/005")
    link = opened.find_element("css selector", "#overview tbody a")
    link.send_keys("\n")
    detail = opened.find_element("css selector", link.get_attribute("hash"))
    assert detail.get_property("open")
    assert opened.switch_to.active_element.tag_name == "summary"
    assert "fear 67 %" in detail.text
    opened.find_element("id", "close-all").click()
    assert not detail.get_property("open")


def test_timeline_is_read_with_pointer_and_keyboard(opened: Any) -> None:
    opened.find_element("id", "search").send_keys("game/005")
    opened.find_element("id", "open-all").click()
    timeline = opened.find_element("css selector", ".recording:not([hidden]) .timeline")
    readout = opened.find_element("css selector", ".recording:not([hidden]) .readout")
    opened.execute_script("arguments[0].focus()", timeline)
    press(opened, "ArrowRight", modifiers=8)
    assert readout.text == "0:00.1 · track 1: fear 80 %"
    press(opened, "End")
    assert readout.text == "0:01.0 · no face"
    box = opened.execute_script("const r = arguments[0].getBoundingClientRect(); return [r.x, r.y, r.width]",
                                timeline.find_element("css selector", ".lane svg"))  # fmt: skip
    place = {"type": "mouseMoved", "x": box[0] + 0.75 * box[2], "y": box[1] + 5}
    opened.execute_cdp_cmd("Input.dispatchMouseEvent", place)
    assert text(opened, "#tip") == "0:00.8\ntrack 2: neutral 50 %"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_layout_has_no_horizontal_scrolling(opened: Any, scheme: str) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    opened.find_element("id", "open-all").click()
    assert opened.execute_script("return document.documentElement.scrollWidth") == 390
    colour = opened.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, colour[4:-1].split(","))) < 300) == (scheme == "dark")
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
