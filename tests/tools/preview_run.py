"""A run with a preview in a background thread, and helpers that read its responses."""

from __future__ import annotations

import http.client
import json
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any, Self

import cv2
import numpy as np

from edgeinfer import Box, EmotionClassifier, Pipeline, run
from edgeinfer.outputs.preview.sink import PreviewSink
from edgeinfer.outputs.summary import RunSummary
from edgeinfer.results import Frame, Image
from tools.fakes import FakeDetector, FakeSource
from tools.patience import PATIENCE, until

LIGHT, DARK = np.full((60, 80, 3), 250, np.uint8), np.full((60, 80, 3), 5, np.uint8)
FACE_BOX = Box(10, 10, 20, 20)
TOKEN = "correct horse/battery"
PATHS = (
    "/", "/page.js", "/page.css", "/stream.mjpg", "/events", "/snapshot.jpg", "/healthz", "/metrics", "/overlay",
    "/overlay.js", "/overlay.css", "/api/state", "/api/events", "/api/openapi.json",
)  # fmt: skip
TIMEOUT_S = 20 * PATIENCE


class QueueSource(FakeSource):
    """Source whose frames the test supplies.

    Attributes:
        processed: number of frames that the run has processed.
    """

    def __init__(self) -> None:
        super().__init__([])
        self._queue: queue.Queue[Image | None] = queue.Queue()
        self.processed = 0

    def put(self, *images: Image) -> None:
        for image in images:
            self._queue.put(image)

    def end(self) -> None:
        self._queue.put(None)

    def is_drained(self) -> bool:
        return self._queue.empty()

    def __iter__(self) -> Iterator[Frame]:
        while (image := self._queue.get()) is not None:
            yield Frame(image, self.processed, self.processed / 10, time.monotonic())
            self.processed += 1


class PreviewRun:
    """Context manager that runs a `QueueSource` with a preview in a thread; on entry one light frame is processed.

    Attributes:
        source: the source.
        sink: the preview.
        summary: summary of the run, None until it has ended.
    """

    def __init__(self, classifier: EmotionClassifier, **options: Any) -> None:
        self.source, self.sink = QueueSource(), PreviewSink("0", **options)
        self.summary: RunSummary | None = None
        self._pipeline = Pipeline(FakeDetector([FACE_BOX]), classifier)
        self._thread = threading.Thread(target=self._run)

    @property
    def port(self) -> int:
        return port_of(self.sink)

    def _run(self) -> None:
        self.summary = run(self.source, self._pipeline, [self.sink])

    def __enter__(self) -> Self:
        self.source.put(LIGHT)
        self._thread.start()
        until(lambda: self.source.processed > 0)
        return self

    def __exit__(self, *_: object) -> None:
        self.source.end()
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()

    def request(self, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
        return request(self.port, path, method, **headers)

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
        with self.request(path, method, **headers) as response:
            return response.status, response.read()


def port_of(sink: PreviewSink) -> int:
    return int(sink.url.rstrip("/").rpartition(":")[2])


def request(port: int, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    client.request(method, path, headers=headers)
    return client.getresponse()


def decode_jpeg(data: bytes) -> Image:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def next_picture(response: http.client.HTTPResponse) -> Image:
    while not (line := response.readline()).startswith(b"Content-Length"):
        assert line
    response.readline()
    return decode_jpeg(response.read(int(line.split(b":")[1])))


def next_event(response: http.client.HTTPResponse, name: str) -> dict[str, Any]:
    while response.readline() != f"event: {name}\n".encode():
        assert not response.closed
    event: dict[str, Any] = json.loads(response.readline().removeprefix(b"data: "))
    return event
