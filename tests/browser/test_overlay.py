"""The preview's transparent page in headless Chromium, over a coloured background."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer import Box, Emotion, Face, Frame, Result, RunSummary, SourceState
from edgeinfer.outputs.preview.sink import PreviewSink
from tools.patience import until
from tools.sink_driver import HEADER

TOKEN = "correct horse"
MAGENTA_BGR = (255, 0, 255)
IMAGE = np.zeros((360, 640, 3), np.uint8)


def face(track_id: int, box: Box, label: str, confidence: float) -> Face:
    emotion = Emotion(label, confidence, {label: confidence})
    return Face(track_id, box, emotion, emotion)


FACES = (
    face(1, Box(64, 90, 128, 180), "happy", 0.93),
    face(2, Box(400, 4, 160, 160), "sad", 0.41),
    face(3, Box(560, 280, 70, 70), "fröhlich", 0.88),
)


@pytest.fixture
def sink() -> Iterator[PreviewSink]:
    with PreviewSink("0", token=TOKEN) as sink:
        sink.start(HEADER, lambda: RunSummary(0, 0, {}, 0.0, {}))
        sink.write(Frame(IMAGE, 0, 0.0), Result(FACES, 0.0))
        yield sink


@pytest.fixture
def overlay(browser: Any, sink: PreviewSink) -> Iterator[Any]:
    """Browser with the overlay of three faces, in a window of 1280x800 pixels."""
    size = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    colour = {"r": 255, "g": 0, "b": 255, "a": 1}
    browser.execute_cdp_cmd("Emulation.setDefaultBackgroundColorOverride", {"color": colour})
    browser.get(f"{sink.url}overlay?token={TOKEN.replace(' ', '%20')}")
    until(lambda: len(rectangles(browser)) == 3)
    yield browser
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setDefaultBackgroundColorOverride", {})


def rectangles(browser: Any, selector: str = ".face") -> list[list[float]]:
    """Return x, y, width and height of the selected elements, in CSS pixels."""
    script = """
        return [...document.querySelectorAll(arguments[0])].map((element) => {
            const box = element.getBoundingClientRect();
            return [box.x, box.y, box.width, box.height];
        });
    """
    found: list[list[float]] = browser.execute_script(script, selector)
    return found


def screenshot(browser: Any) -> np.ndarray[Any, Any]:
    data = np.frombuffer(base64.b64decode(browser.get_screenshot_as_base64()), np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


def test_boxes_scale_with_the_page(overlay: Any) -> None:
    # The frame is twice as large and 40 pixels below the upper edge.
    assert rectangles(overlay) == [pytest.approx([2 * x, 2 * y + 40, 2 * w, 2 * h], abs=0.1) for x, y, w, h in
                                   (item.box.xywh for item in FACES)]  # fmt: skip
    overlay.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 640, "height": 180, "deviceScaleFactor": 1, "mobile": False}
    )
    until(lambda: rectangles(overlay)[0] == pytest.approx([192, 45, 64, 90], abs=0.1))
    assert "token" not in overlay.current_url


def test_background_is_transparent_and_labels_are_inside(overlay: Any) -> None:
    picture = screenshot(overlay)
    is_background = (picture == MAGENTA_BGR).all(axis=2)
    assert is_background[500:700, 500:700].all()  # between the faces
    assert is_background[300:500, 180:320].all()  # inside a box
    assert 0.8 < is_background.mean() < 0.98
    labels = overlay.execute_script("return [...document.querySelectorAll('.label')].map((label) => label.textContent)")
    assert labels == ["happy 93 %", "sad 41 %", "fröhlich 88 %"]
    for x, y, width, height in rectangles(overlay, ".label"):
        assert x >= 0
        assert x + width <= 1280
        assert y >= 40
        assert y + height <= 760
    assert overlay.execute_script("return document.querySelectorAll('.faint').length") == 1
    assert [line for line in overlay.get_log("browser") if line["level"] == "SEVERE"] == []


def test_boxes_follow_the_run_and_disappear(overlay: Any, sink: PreviewSink) -> None:
    sink.write(Frame(IMAGE, 1, 0.1), Result(FACES[:1], 0.1))
    until(lambda: len(rectangles(overlay)) == 1)
    sink.source_state(SourceState("stalled", 1.0, "no frame"))
    until(lambda: rectangles(overlay) == [])
    sink.source_state(SourceState("live", 2.0, ""))
    sink.write(Frame(IMAGE, 2, 2.0), Result(FACES, 2.0))
    until(lambda: len(rectangles(overlay)) == 3)
    sink.close()
    until(lambda: rectangles(overlay) == [])
