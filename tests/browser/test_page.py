"""The preview's page in headless Chromium."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tools.mjpeg_server import MjpegServer
from tools.patience import PATIENCE, until
from tools.programs import running

CLIP = Path(__file__).parents[1] / "assets" / "clip.mp4"
TOKEN = "correct-horse"
WAIT_S = 30 * PATIENCE


@pytest.fixture(scope="module")
def camera() -> Iterator[MjpegServer]:
    clip = cv2.VideoCapture(str(CLIP))
    pictures = [picture for found, picture in iter(clip.read, (False, None)) if found]
    with MjpegServer((320, 240), pictures=pictures) as camera:
        yield camera


@pytest.fixture(scope="module")
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def preview_run(camera: MjpegServer, port: int) -> Iterator[subprocess.Popen[str]]:
    """Run the command line with a preview until the block ends, then send SIGTERM."""
    command = [sys.executable, "-m", "edgeinfer", "run", camera.url, "--retries", "forever", "--stall-timeout", "1"]
    command += ["--preview", f"127.0.0.1:{port}", "--preview-token", TOKEN, "--quiet"]
    with running(command) as program:
        until(lambda: accepts_connections(port), 60)
        yield program
        program.send_signal(signal.SIGTERM)
        assert program.wait(WAIT_S) == 143


def accepts_connections(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def text(browser: Any, name: str) -> str:
    return str(browser.find_element("id", name).text)


def picture(browser: Any) -> np.ndarray[Any, Any]:
    data = np.frombuffer(browser.find_element("id", "stream").screenshot_as_png, np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.int16)


def coloured_pixels(browser: Any) -> int:
    """Return the number of timeline pixels in the colour of "happy"."""
    script = """
        const canvas = document.getElementById("timeline");
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height - 30).data;
        return data.filter((value, i) => i % 4 === 0 && value === 0xf0 && data[i + 1] === 0xe4).length;
    """
    return int(browser.execute_script(script))


def test_page_follows_the_run(browser: Any, camera: MjpegServer, port: int) -> None:
    with preview_run(camera, port):
        browser.get(f"http://127.0.0.1:{port}/")
        assert "requires an access token" in browser.page_source
        field = browser.find_element("name", "token")
        field.send_keys("wrong-token")
        field.submit()
        until(lambda: "wrong-token" in browser.current_url)
        assert "requires an access token" in browser.page_source

        browser.get(f"http://127.0.0.1:{port}/?token={TOKEN}")
        until(lambda: text(browser, "state") == "live")
        assert TOKEN not in browser.current_url
        until(lambda: browser.execute_script("return document.getElementById('stream').naturalWidth") == 320)
        before = picture(browser)
        until(lambda: np.abs(picture(browser) - before).max() > 50)
        until(lambda: "happy" in text(browser, "faces"))
        until(lambda: float(text(browser, "fps")) > 1)
        until(lambda: text(browser, "delay").endswith(" ms"))
        first = until(lambda: coloured_pixels(browser))
        until(lambda: coloured_pixels(browser) > first + 100)
        severe = [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]
        assert [line["message"] for line in severe if "401" not in line["message"]] == []

        camera.behaviour = "stall"
        until(lambda: text(browser, "state") in ("stalled", "connecting"))
        assert "delivered no frame" in text(browser, "detail") or "opening " in text(browser, "detail")
        camera.behaviour = "play"
        until(lambda: text(browser, "state") == "live")
    until(lambda: text(browser, "state") in ("ended", "unreachable"))

    with preview_run(camera, port):
        until(lambda: text(browser, "state") == "live")
        before = picture(browser)
        until(lambda: np.abs(picture(browser) - before).max() > 50)


@contextmanager
def staying_run(port: int) -> Iterator[subprocess.Popen[str]]:
    """Play a clip with a preview that stays."""
    command = [sys.executable, "-m", "edgeinfer", "run", str(CLIP), "--preview", str(port), "--stay", "--quiet"]
    with running(command) as program:
        until(lambda: accepts_connections(port), 60)
        yield program


def test_page_shows_the_end_of_a_file_and_a_lost_connection(browser: Any, port: int) -> None:
    with staying_run(port) as program:
        browser.get(f"http://127.0.0.1:{port}/")
        until(lambda: text(browser, "state") == "ended")
        assert text(browser, "detail") == "Ended after 25 frames; this is the last one."
        browser.get(f"http://127.0.0.1:{port}/")  # a page that is opened later shows the same
        until(lambda: text(browser, "state") == "ended" and "happy" in text(browser, "faces"))
        until(lambda: browser.execute_script("return document.getElementById('stream').naturalWidth") == 320)
        assert coloured_pixels(browser)
        program.kill()
        until(lambda: "The connection is lost; retrying." in text(browser, "detail"))
        assert text(browser, "state") == "ended"
    with staying_run(port) as program:
        until(lambda: text(browser, "detail") == "Ended after 25 frames; this is the last one.")
        program.send_signal(signal.SIGINT)
        assert program.wait(WAIT_S) == 130
        until(lambda: text(browser, "detail") != "Ended after 25 frames; this is the last one.")
        assert text(browser, "state") == "ended"
    severe = [line["message"] for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    assert [message for message in severe if "/events" not in message] == []


def test_phone_layout_has_no_horizontal_scrolling(browser: Any, camera: MjpegServer, port: int) -> None:
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    with preview_run(camera, port):
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
        browser.get(f"http://127.0.0.1:{port}/?token={TOKEN}")
        until(lambda: text(browser, "state") == "live")
        until(lambda: coloured_pixels(browser))
        assert browser.execute_script("return document.documentElement.scrollWidth") == 360
        widths = browser.execute_script("return [...document.querySelectorAll('main > *')].map(e => e.offsetWidth)")
        assert min(widths) > 300
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
