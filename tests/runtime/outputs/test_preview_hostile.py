"""Hostile requests to the preview: slow, malformed, too large, and with wrong tokens."""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from edgeinfer import EmotionClassifier
from edgeinfer.outputs.preview.access import FAILURE_WINDOW_S, MAX_ADDRESSES, MAX_FAILURES, FailureLimit
from edgeinfer.outputs.preview.connections import MAX_CONNECTIONS
from edgeinfer.outputs.preview.requests import MAX_REQUEST_BYTES
from tools.patience import until
from tools.preview_run import PATHS, TIMEOUT_S, TOKEN, PreviewRun

HOST = b"Host: localhost\r\n"


@pytest.fixture
def preview(classifier: EmotionClassifier) -> Iterator[PreviewRun]:
    with PreviewRun(classifier) as preview:
        yield preview


@pytest.fixture
def protected(classifier: EmotionClassifier) -> Iterator[PreviewRun]:
    with PreviewRun(classifier, token=TOKEN) as preview:
        yield preview


def send(preview: PreviewRun, request: bytes) -> bytes:
    """Send raw bytes and return the response, empty if the connection was closed without one."""
    response = b""
    with socket.create_connection(("127.0.0.1", preview.port), timeout=TIMEOUT_S) as client, suppress(OSError):
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        while chunk := client.recv(65536):
            response += chunk
    return response


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(b"GET http://[x/ HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="invalid-ipv6"),
        pytest.param(b"GET /?token=%ff%00 HTTP/1.1\r\n" + HOST + b"\r\n", 200, id="encoded-bytes"),
        pytest.param(b"GET /\0 HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="nul"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b"X: \0\r\n\r\n", 400, id="nul-in-a-header"),
        pytest.param(b"GET /\r\n\r\n", 400, id="http-0.9"),
        pytest.param(b"GET / HTTP/0.9\r\n" + HOST + b"\r\n", 400, id="http-0.9-named"),
        pytest.param(b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505, id="http-2"),
        pytest.param(b"GET / HTTP/1.x\r\n" + HOST + b"\r\n", 400, id="invalid-version"),
        pytest.param(b"GET / a HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="four-words"),
        pytest.param(b"<script> / HTTP/1.1\r\n" + HOST + b"\r\n", 501, id="invalid-method"),
        pytest.param(b"CONNECT h:1 HTTP/1.1\r\n" + HOST + b"\r\n", 405, id="connect"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n", 400, id="negative-length"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 9e9\r\n\r\n", 400, id="invalid-length"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 200 + b"\r\n", 431, id="200-headers"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b'Cookie: \xff=;;"\r\n\r\n', 200, id="invalid-cookie"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: [\r\n\r\n", 421, id="invalid-host"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b"garbage\r\n\r\n", 200, id="header-without-colon"),
        pytest.param(b"\r\n\r\n", None, id="empty"),
        pytest.param(b"GET / HTTP/1.1\r\n", None, id="incomplete"),
    ],
)
def test_response_to_a_malformed_request_does_not_quote_it(
    preview: PreviewRun, request_bytes: bytes, status: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    response = send(preview, request_bytes)
    if status is None:
        assert response == b""
    else:
        assert response.startswith(f"HTTP/1.0 {status} ".encode())
        assert b"Cross-Origin-Resource-Policy: same-origin\r\n" in response
        assert b"Content-Security-Policy: " in response
        assert b"<script>" not in response
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("line", [b"GET /" + b"x" * 1_000_000, b"GET / HTTP/1.1\r\nX: " + b"y" * 1_000_000])
def test_large_request_is_rejected(preview: PreviewRun, line: bytes) -> None:
    response = send(preview, line + b" HTTP/1.1\r\n\r\n")
    assert response == b"" or b" 431 " in response.split(b"\r\n")[0]
    assert preview.get("/healthz")[0] == 200


def test_mutated_requests_leave_no_trace(
    protected: PreviewRun, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    generator = random.Random(16)
    seeds = [
        b"GET /%s HTTP/1.1\r\nHost: localhost:80\r\nCookie: edgeinfer-token=a%%20b\r\nContent-Length: 0\r\n\r\n" % path
        for path in (b"?token=x", b"page.js", b"snapshot.jpg", b"healthz", b"metrics#a", b"//[::1]/x")
    ] + [b"HEAD http://h:1/ HTTP/1.0\r\nAuthorization: Bearer x\r\n\r\n"]
    pieces = (
        b"\r\n",
        b"\0",
        b"[",
        b"%",
        b"\xff",
        b" ",
        b":",
        b"HTTP/",
        b"A" * 20_000,
        b"\x1b[31m",
        b"//",
        b"-1",
        b"\n",
    )
    until(lambda: threading.active_count() < 20)
    before = threading.active_count()
    for _ in range(2000):
        data = bytearray(generator.choice(seeds))
        for _ in range(generator.randint(1, 6)):
            at = generator.randrange(len(data) + 1)
            length = generator.choice((0, 1, generator.randint(0, 30)))
            data[at : at + length] = generator.choice((generator.choice(pieces), generator.randbytes(2), b""))
        response = send(protected, bytes(data))
        assert response == b"" or response.startswith(b"HTTP/1.0 "), (data, response[:80])
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert capfd.readouterr().err == ""
    until(lambda: threading.active_count() <= before)
    assert protected.get("/healthz")[0] in (401, 429)


def test_slow_clients_do_not_exclude_others(preview: PreviewRun) -> None:
    stop = threading.Event()

    def trickle() -> None:
        while not stop.is_set():
            with suppress(OSError), socket.create_connection(("127.0.0.1", preview.port)) as client:
                for byte in b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1000:
                    client.sendall(bytes([byte]))
                    if stop.wait(0.2):
                        return

    threads = [threading.Thread(target=trickle) for _ in range(MAX_CONNECTIONS)]
    for thread in threads:
        thread.start()
    server = preview.sink._server
    assert server is not None
    until(lambda: len(server.connections) >= MAX_CONNECTIONS)
    try:
        assert [preview.get("/healthz")[0] for _ in range(20)] == [200] * 20
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(server.connections) <= 2 * MAX_CONNECTIONS


def test_deadline_covers_the_whole_request(preview: PreviewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeinfer.outputs.preview.server._RequestHandler.timeout", 0.5)
    started_s = time.monotonic()
    with socket.create_connection(("127.0.0.1", preview.port), timeout=TIMEOUT_S) as client, suppress(OSError):
        for byte in b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1000:
            client.sendall(bytes([byte]))
            time.sleep(0.05)
    assert time.monotonic() - started_s < 10


def test_wrong_tokens_block_an_address(protected: PreviewRun) -> None:
    statuses = [protected.get(f"/healthz?token=wrong{number}")[0] for number in range(MAX_FAILURES + 5)]
    assert statuses == [401] * MAX_FAILURES + [429] * 5
    assert protected.get("/healthz", Authorization=f"Bearer {TOKEN}")[0] == 429
    assert protected.get("/")[0] == 401, "the form is still served"


def test_missing_tokens_do_not_block_an_address(protected: PreviewRun) -> None:
    assert {protected.get("/healthz")[0] for _ in range(2 * MAX_FAILURES)} == {401}
    assert protected.get("/healthz", Authorization=f"Bearer {TOKEN}")[0] == 200


def test_block_expires_and_memory_is_bounded() -> None:
    now_s = 0.0
    limit = FailureLimit(clock=lambda: now_s)
    for _ in range(MAX_FAILURES):
        assert not limit.blocks("10.0.0.1")
        limit.add("10.0.0.1")
    assert limit.blocks("10.0.0.1")
    assert not limit.blocks("10.0.0.2")
    now_s = FAILURE_WINDOW_S
    assert not limit.blocks("10.0.0.1")
    for number in range(MAX_FAILURES):
        limit.add(f"2001:db8::{number:x}%eth0")
    assert limit.blocks("2001:db8::ffff")
    assert not limit.blocks("2001:db8:0:1::1")
    for number in range(2 * MAX_ADDRESSES):
        limit.add(f"10.1.{number >> 8}.{number & 255}")
    assert len(limit._failures) == MAX_ADDRESSES


@pytest.mark.parametrize("path", [*PATHS, "/elsewhere"])
def test_foreign_pages_cannot_embed_a_response(preview: PreviewRun, path: str) -> None:
    with preview.request(path, "HEAD") as response:
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_largest_request_is_accepted(preview: PreviewRun) -> None:
    head = b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: "
    request = head + b"y" * (MAX_REQUEST_BYTES - len(head) - 4) + b"\r\n\r\n"
    assert send(preview, request).startswith(b"HTTP/1.0 200 ")
