"""Pictures of the documentation: a frame of the demo clip, the preview, a report and the page to label faces.

This command writes them to docs/images; it needs Chromium and chromedriver:

    PYTHONPATH=tests python tests/tools/screenshots.py
"""

from __future__ import annotations

import base64
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from selenium import webdriver

import edgeinfer
from edgeinfer.model.card import asset_path
from edgeinfer.results import LABELS, Image
from tools.programs import running
from tools.result_files import Faces, face, write_batch_table, write_jsonl

IMAGES = Path(__file__).parents[2] / "docs" / "images"
DEMO = asset_path("demo.mp4")
DEMO_FRAME = 115
QUALITY = 82
MAX_BYTES = 120_000
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
SHOWN_S = 20.0
"""Time for which the preview runs before its picture is taken, in seconds."""


def save(name: str, image: Image) -> None:
    """Write a JPEG and print its size."""
    encoded = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1))[1]
    assert encoded.size <= MAX_BYTES, f"{name} has {encoded.size} bytes"
    (IMAGES / name).write_bytes(encoded.tobytes())
    print(f"{name}: {encoded.size / 1000:.0f} kB")


def save_page(browser: Any, name: str, size_wh: tuple[int, int]) -> None:
    """Write a picture of the open page in the light colours, without scrolling."""
    screenshot = base64.b64decode(browser.execute_cdp_cmd("Page.captureScreenshot", {})["data"])
    image = cv2.imdecode(np.frombuffer(screenshot, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape[1::-1] == size_wh
    save(name, np.asarray(image, np.uint8))


@contextmanager
def open_page(url: str, size_wh: tuple[int, int]) -> Iterator[Any]:
    """Open a page in headless Chromium with a window of the given size in pixels."""
    options = webdriver.ChromeOptions()
    for argument in ARGUMENTS:
        options.add_argument(argument)
    with webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver")) as browser:
        metrics = {"width": size_wh[0], "height": size_wh[1], "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.get(url)
        yield browser


def save_demo() -> None:
    """Write an annotated frame of the demo clip."""
    pipeline = edgeinfer.load_pipeline()
    with edgeinfer.open_source(str(DEMO)) as source:
        for frame in source:
            result = pipeline(frame.image, timestamp_s=frame.timestamp_s)
            if frame.index == DEMO_FRAME:
                save("demo.jpg", edgeinfer.annotate(frame.image, result))
                return


def save_preview(folder: Path) -> None:
    """Write the page of a run that plays the demo clip forwards and backwards."""
    with edgeinfer.open_source(str(DEMO)) as source:
        images = [frame.image for frame in source]
    height, width = images[0].shape[:2]
    video = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25, (width, height))
    for image in [*images, *images[::-1]] * 3:
        video.write(image)
    video.release()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "edgeinfer", "run", "clip.mp4", "--preview", str(port), "--quiet"]
    with running(command, cwd=folder) as program:
        time.sleep(2)
        with open_page(f"http://127.0.0.1:{port}/", size := (1100, 760)) as browser:
            time.sleep(SHOWN_S)
            save_page(browser, "preview.jpg", size)
        program.send_signal(signal.SIGTERM)


def made_frames(number: int) -> list[tuple[float, Faces]]:
    """Return a minute of results of two people whose expressions change; `number` varies them."""
    frames: list[tuple[float, Faces]] = []
    for index in range(600):
        time_s = index / 10
        faces = []
        for track in (1, 2):
            phase = time_s / (7 + 3 * track + number) + number
            label = LABELS[int(3 * abs(math.sin(phase)) + track + number % 2) % 5]
            if time_s > 4 * track or track == 1:
                faces.append(face(label, 0.62 + 0.33 * abs(math.sin(5 * phase)), track, 60 + 20 * track))
        frames.append((time_s, faces))
    return frames


def save_report(folder: Path) -> None:
    """Write the report about six made recordings."""
    names = [f"{group}/0{number}" for group in ("before", "after") for number in (1, 2, 3)]
    for number, name in enumerate(names):
        write_jsonl(folder / "results" / f"{name}.jsonl", made_frames(number), source=f"{name}.mp4")
    write_batch_table(folder / "results", *([f"{name}.mp4", "done"] for name in names))
    page = folder / "report.html"
    command = [sys.executable, "-m", "edgeinfer", "report", str(folder / "results"), "--out", str(page)]
    subprocess.run([*command, "--group", "before|after"], check=True, stdout=subprocess.DEVNULL)
    with open_page(page.as_uri(), size := (1000, 900)) as browser:
        save_page(browser, "report.jpg", size)


def save_label_page(folder: Path) -> None:
    """Write the page to label the faces of the demo clip."""
    command = [sys.executable, "-m", "edgeinfer_train.cli.app", "label", str(DEMO), "--out"]
    subprocess.run([*command, str(folder / "crops"), "--every", "0.2"], check=True, stdout=subprocess.DEVNULL)
    with open_page((folder / "crops" / "label.html").as_uri(), size := (1000, 700)) as browser:
        time.sleep(1)
        save_page(browser, "label.jpg", size)


if __name__ == "__main__":
    os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"
    save_demo()
    with tempfile.TemporaryDirectory() as name:
        save_preview(Path(name))
        save_report(Path(name))
        save_label_page(Path(name))
