"""Clients of the preview: tokens, slow and idle connections, limits, and the end of a run."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import numpy as np
import pytest

from edgeinfer import EmotionClassifier
from edgeinfer.outputs.preview.connections import MAX_CONNECTIONS
from edgeinfer.outputs.preview.server import MAX_STREAMS
from edgeinfer.outputs.preview.sink import PreviewSink
from tools.patience import until
from tools.preview_run import LIGHT, PATHS, TIMEOUT_S, TOKEN, PreviewRun, next_picture

CLIENT_TIMEOUT = "edgeinfer.outputs.preview.server._RequestHandler.timeout"


@pytest.fixture
def preview(classifier: EmotionClassifier) -> Iterator[PreviewRun]:
    with PreviewRun(classifier) as preview:
        yield preview


@pytest.fixture
def protected(classifier: EmotionClassifier) -> Iterator[PreviewRun]:
    with PreviewRun(classifier, token=TOKEN) as preview:
        yield preview


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_served_without_the_token(protected: PreviewRun, path: str) -> None:
    for wrong_path, headers in (
        (path, {}),
        (f"{path}?token=wrong", {}),
        (path, {"Authorization": "Bearer wrong"}),
        (path, {"Cookie": "edgeinfer-token=x"}),
    ):
        assert protected.get(wrong_path, **headers)[0] == 401
    assert protected.get(path, Authorization=f"Bearer {TOKEN}", method="HEAD")[0] == 200


def test_page_stores_the_token_in_a_cookie(protected: PreviewRun) -> None:
    with protected.request("/?token=correct%20horse%2Fbattery") as response:
        assert response.status == 200
        cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert protected.get("/snapshot.jpg", Cookie=cookie.partition(";")[0])[0] == 200
    # With a token, any host name is accepted.
    assert protected.get("/snapshot.jpg", Cookie=cookie.partition(";")[0], Host="pi.local")[0] == 200


def test_page_without_a_token_has_a_token_form(protected: PreviewRun) -> None:
    status, page = protected.get("/")
    assert status == 401
    assert b'<input name="token" type="password"' in page


def test_foreign_host_name_is_rejected(preview: PreviewRun) -> None:
    assert preview.get("/snapshot.jpg", Host="evil.example")[0] == 421


def test_stalled_client_does_not_slow_the_run(preview: PreviewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CLIENT_TIMEOUT, 0.3)
    noise = np.random.default_rng(0).integers(0, 255, (540, 960, 3), np.uint8)
    stalled = [socket.create_connection(("127.0.0.1", preview.port)) for _ in range(4)]
    for client in stalled:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(b"GET /stream.mjpg HTTP/1.0\r\nHost: localhost\r\n\r\n")
    server = preview.sink._server
    assert server is not None
    until(lambda: server.streams._value < MAX_STREAMS - 3)
    for _ in range(30):
        preview.source.put(noise)
        until(preview.source.is_drained)
        time.sleep(0.02)
    until(lambda: server.streams._value == MAX_STREAMS)  # all stalled clients are disconnected
    assert preview.get("/snapshot.jpg")[0] == 200
    for client in stalled:
        client.close()


def test_incomplete_request_times_out(preview: PreviewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CLIENT_TIMEOUT, 0.1)
    with socket.create_connection(("127.0.0.1", preview.port), timeout=TIMEOUT_S) as client:
        client.sendall(b"GET / HT")
        assert client.recv(1) == b""


def test_number_of_streams_is_limited(preview: PreviewRun) -> None:
    responses = [preview.request("/stream.mjpg") for _ in range(MAX_STREAMS)]
    for response in responses:
        next_picture(response)
    assert preview.get("/events")[0] == 503
    assert preview.get("/healthz")[0] == 200
    responses.pop().close()
    preview.source.put(LIGHT, LIGHT)
    for response in responses:
        response.close()


def test_number_of_connections_is_limited(preview: PreviewRun) -> None:
    address = ("127.0.0.1", preview.port)
    idle = [socket.create_connection(address, timeout=TIMEOUT_S) for _ in range(MAX_CONNECTIONS + 1)]
    assert idle[0].recv(1) == b"", "the oldest connection is closed in favour of the newest"
    server = preview.sink._server
    assert server is not None
    until(lambda: len(server.connections) <= MAX_CONNECTIONS)
    for client in idle:
        client.close()
    until(lambda: len(server.connections) == 0)
    assert preview.get("/healthz")[0] == 200


def test_end_of_the_run_does_not_wait_for_clients(classifier: EmotionClassifier) -> None:
    with PreviewRun(classifier) as preview:
        response = preview.request("/stream.mjpg")
        next_picture(response)
    assert preview.summary is not None
    with pytest.raises(ConnectionRefusedError):
        preview.get("/")
    with PreviewSink(str(preview.port)):  # the port is free again
        pass
    response.close()
