"""A camera on the loopback network that serves MJPEG over HTTP and fails on command."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self

import cv2
import numpy as np

Behaviour = Literal["play", "stall", "die", "garbage", "refuse"]
FRAME_S = 0.04


class MjpegServer:
    """Serves pictures of any size at 25 a second until told otherwise.

    Attributes:
        behaviour: "play"; "stall" keeps connections and sends nothing; "die" breaks them off; "garbage" sends noise;
            "refuse" answers with an error.
        size_wh: of the pictures.
        connections: opened so far.
        lives: connections that got at least one whole picture.
    """

    def __init__(self, size_wh: tuple[int, int] = (160, 120), *, pictures: list[Any] | None = None) -> None:
        self.behaviour: Behaviour = "play"
        self.size_wh, self._pictures = size_wh, pictures
        self.connections = self.lives = 0
        self._over = threading.Event()
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
        return f"http://127.0.0.1:{self._server.server_address[1]}/live.mjpg"

    def _picture(self, number: int) -> bytes:
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
            while not self._over.wait(FRAME_S) and self.behaviour != "die":
                if self.behaviour == "play":
                    data = self._picture(number)
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n".encode()
                    handler.wfile.write(head + data + b"\r\n")
                    number += 1
                    self.lives += number == 1
                elif self.behaviour == "garbage":
                    handler.wfile.write(noise.bytes(2000))
        except OSError:
            pass  # the reader has gone
        handler.close_connection = True

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
