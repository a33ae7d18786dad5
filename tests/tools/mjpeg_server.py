"""MJPEG server on the loopback interface that fails on demand."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self

import cv2
import numpy as np

Behaviour = Literal["play", "stall", "die", "garbage", "refuse"]


class MjpegServer:
    """Network camera that serves MJPEG over HTTP.

    Attributes:
        behaviour: "play" sends pictures; "stall" keeps connections open and sends nothing; "die" closes them;
            "garbage" sends random bytes; "refuse" responds to requests with an error.
        size_wh: (width, height) of the pictures in pixels.
        connections: Number of requests so far.
        served_connections: Number of connections that received at least one complete picture.
        pictures_sent: Number of complete pictures sent so far.
    """

    def __init__(
        self, size_wh: tuple[int, int] = (160, 120), *, pictures: list[Any] | None = None, fps: float = 25
    ) -> None:
        """Create a server without starting it.

        Args:
            size_wh: Size of the pictures.
            pictures: Images to send in turn; grey pictures by default.
            fps: Pictures per second.
        """
        self.behaviour: Behaviour = "play"
        self.size_wh, self._pictures, self._interval_s = size_wh, pictures, 1 / fps
        self.connections = self.served_connections = self.pictures_sent = 0
        self._stopping = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner._serve(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        """Address of the stream."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/live.mjpg"

    def _encode(self, number: int) -> bytes:
        if self._pictures is not None:
            image = cv2.resize(self._pictures[number % len(self._pictures)], self.size_wh)
        else:
            image = np.full((self.size_wh[1], self.size_wh[0], 3), 40 + number % 160, np.uint8)
        return bytes(cv2.imencode(".jpg", image)[1])

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        self.connections += 1
        if self.behaviour == "refuse":
            handler.send_error(503)
            return
        handler.send_response(200)
        handler.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        handler.end_headers()
        noise = np.random.default_rng(self.connections)
        number = 0
        try:
            while not self._stopping.wait(self._interval_s) and self.behaviour != "die":
                if self.behaviour == "play":
                    data = self._encode(number)
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n".encode()
                    handler.wfile.write(head + data + b"\r\n")
                    number += 1
                    self.served_connections += number == 1
                    self.pictures_sent += 1
                elif self.behaviour == "garbage":
                    handler.wfile.write(noise.bytes(2000))
        except OSError:
            pass  # the client has disconnected
        handler.close_connection = True

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
