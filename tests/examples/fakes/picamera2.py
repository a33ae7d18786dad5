"""Fake picamera2 that plays a clip repeatedly, with the part of the API that the example uses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np

UPTIME_S, FRAME_S = 5000, 0.04


class Request:
    def __init__(self, image: Any, number: int) -> None:
        self._image, self._number = image, number

    def make_array(self, stream: str) -> Any:
        assert stream == "main"
        return self._image

    def get_metadata(self) -> dict[str, int]:
        return {"SensorTimestamp": round((UPTIME_S + self._number * FRAME_S) * 1e9), "ExposureTime": 8000}


class Picamera2:
    def __init__(self) -> None:
        self._size_wh, self._started, self._pending, self._number = (0, 0), False, 0, 0
        self._clip = cv2.VideoCapture()

    def create_video_configuration(self, *, main: dict[str, Any], controls: dict[str, Any]) -> dict[str, Any]:
        assert main["format"] == "RGB888", "the format with the byte order blue, green, red"
        assert set(controls) == {"FrameRate"}
        return main

    def configure(self, main: dict[str, Any]) -> None:
        self._size_wh = main["size"]

    def start(self) -> None:
        self._started = self._size_wh != (0, 0)

    @contextmanager
    def captured_request(self) -> Iterator[Request]:
        assert self._started
        assert self._pending == 0, "an earlier request was not released"
        self._pending += 1
        try:
            yield Request(cv2.resize(self._read(), self._size_wh), self._number)
        finally:
            self._pending -= 1
        self._number += 1

    def _read(self) -> Any:
        success, image = self._clip.read()
        if not success:
            self._clip.open(os.environ["FAKE_CAMERA_CLIP"])
            success, image = self._clip.read()
        assert success
        return np.asarray(image)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        Path(os.environ["FAKE_CAMERA_LOG"]).write_text(f"closed, {self._pending} requests pending")
