"""POST requests to servers with hostile responses, on the loopback interface only."""

from __future__ import annotations

import logging
import random
import socket
import time

import pytest

from edgeinfer import Event, UsageError
from edgeinfer.outputs.http_post import PostError, PostTarget, post_json
from edgeinfer.outputs.webhook import WebhookSink
from tools.raw_server import Handler, RawServer, answer, answer_endlessly

OK = b"HTTP/1.1 204 No Content\r\n"
EVENT = Event("appeared", 1, 0.0, "happy", 1.0, None, 0.0)


def post(server: RawServer, timeout_s: float = 1.0) -> None:
    target = PostTarget.parse(f"http://me:secret@127.0.0.1:{server.port}/hook/T000SECRET")
    post_json(target, b'{"a":1}', timeout_s=timeout_s)


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(answer(OK + b"\r\n"), id="ordinary"),
        pytest.param(answer(b"HTTP/1.0 200\r\n\r\n"), id="no-phrase"),
        pytest.param(answer(OK + b"X: y\r\n" * 5000 + b"\r\n"), id="5000-headers"),
        pytest.param(answer(OK + b"X: " + b"y" * 5_000_000), id="long-header"),
        pytest.param(answer(OK + b"\x00\xff garbage \r\n\r\n"), id="garbage-behind-the-status"),
        pytest.param(answer(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\n" + OK), id="interim"),
        pytest.param(answer_endlessly(OK + b"\r\n", b"x" * 65536), id="endless-body"),
    ],
)
def test_status_alone_determines_success(handler: Handler) -> None:
    with RawServer(handler) as server:
        post(server)


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        pytest.param(answer(b""), "closed without a response", id="closed"),
        pytest.param(answer(b"garbage"), "not HTTP", id="garbage"),
        pytest.param(answer(b"\x00" * 100_000), "not HTTP", id="zeros"),
        pytest.param(answer(b"HTTP/1.1 2x4 No\r\n\r\n"), "not HTTP", id="status-no-number"),
        pytest.param(answer(b"HTTP/1.1 999 No\r\n\r\n"), "not HTTP", id="status-out-of-range"),
        pytest.param(answer(b"HTTP/1.1 200 " + b"x" * 100_000), "not HTTP", id="long-status-line"),
        pytest.param(answer(b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000), "not HTTP", id="only-interim"),
        pytest.param(answer(b"HTTP/1.1 500 No\r\n\r\n"), "received status 500", id="server-error"),
        pytest.param(answer_endlessly(b"HTTP/1.1 100 C\r\n", b"a: b\r\n"), "not HTTP", id="endless-interim"),
        pytest.param(answer_endlessly(b"H", b""), "no response within 0.5 s", id="silent"),
        pytest.param(answer_endlessly(b"HTTP/1.1 100 C\r\n", b"a", 0.05), "no response within 0.5 s", id="slow"),
    ],
)
def test_failure_has_a_reason_within_the_deadline(handler: Handler, reason: str) -> None:
    started_s = time.monotonic()
    with RawServer(handler) as server, pytest.raises(PostError, match=reason) as caught:
        post(server, timeout_s=0.5)
    assert time.monotonic() - started_s < 5
    assert "secret" not in repr(caught.value).lower()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:{port}/", "/elsewhere", "ftp://127.0.0.1/x", "file:///etc/passwd"]
)
def test_redirect_is_not_followed(status: int, location: str) -> None:
    with RawServer(answer(OK + b"\r\n")) as other:
        head = f"HTTP/1.1 {status} Found\r\nLocation: {location.format(port=other.port)}\r\n\r\n"
        with (
            RawServer(answer(head.encode())) as server,
            pytest.raises(PostError, match=f"received status {status}, a redirect"),
        ):
            post(server)
        assert (server.connections, other.connections) == (1, 0)


def test_random_responses_raise_only_post_errors() -> None:
    generator = random.Random(0)
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: y\r\n\r\nabc"
    answers = []
    for _ in range(150):
        data = bytearray(start)
        for _ in range(generator.randint(1, 8)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        answers.append(bytes(data[: generator.randint(0, len(data))]))
    remaining = list(answers)

    def serve(connection: socket.socket) -> None:
        answer(remaining.pop())(connection)

    failures = []
    with RawServer(serve) as server:
        for _ in answers:
            try:
                post(server)
            except PostError as error:
                failures.append(str(error))
    assert 0 < len(failures) < len(answers)
    assert set(failures) <= {"the response is not HTTP", "the connection was closed without a response"} | {
        f"received status {status}" for status in range(100, 600)
    }


def test_failed_deliveries_are_reported_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    with RawServer(answer(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n")) as server:
        sink = WebhookSink(f"http://me:secret@127.0.0.1:{server.port}/T000/SECRET?SECRET", pause_s=0.0)
        with sink:
            sink.handle_events([EVENT] * 3, None, None)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    where = f"http://127.0.0.1:{server.port}"
    assert warnings == [
        f"{where}: event dropped: received status 302, a redirect, which is not followed; "
        "further drops are only counted",
        f"{where}: 0 events delivered, 3 dropped",
    ]


def test_unexpected_error_does_not_end_the_thread(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("edgeinfer.outputs.webhook.post_json", fail)
    with WebhookSink("http://127.0.0.1:9/", pause_s=0.0) as sink:
        sink.handle_events([EVENT] * 5, None, None)
    assert sink.dropped == 5
    assert "unexpected RuntimeError" in caplog.text
    assert "secret" not in caplog.text


def test_certificate_is_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    import ssl

    from edgeinfer.outputs import http_post

    context = http_post._tls_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, tls: bool) -> None:
    received: list[bytes] = []

    def refuse(connection: socket.socket) -> None:
        received.append(connection.recv(4096))
        connection.sendall(b"HTTP/1.1 403 No\r\n\r\n")

    scheme = "https" if tls else "http"
    with RawServer(refuse) as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", f"http://a:b@127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        with pytest.raises(PostError, match="refused the connection" if tls else "received status 403"):
            post_json(PostTarget.parse(f"{scheme}://me:secret@hooks.invalid/x"), b"{}", timeout_s=2.0)
    start = b"CONNECT hooks.invalid:443 HTTP/1.1" if tls else b"POST http://hooks.invalid/x HTTP/1.1"
    assert received[0].startswith(start + b"\r\n")
    assert b"Proxy-Authorization: Basic YTpi\r\n" in received[0]
    assert (b"\r\nAuthorization:" in received[0]) is not tls, "the receiver's password must not reach a TLS proxy"


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("http://h", "h", "/"),
        ("https://h/a?b=c@d", "h", "/a?b=c@d"),
        ("HTTPS://h:8443/a%20b", "h:8443", "/a%20b"),
        ("http://[::1]:80/ü", "[::1]", "/%C3%BC"),
        ("http://me:p%40ss@büro.example/#x", "xn--bro-hoa.example", "/"),
    ],
)
def test_url_is_parsed(url: str, authority: str, path: str) -> None:
    target = PostTarget.parse(url)
    assert (target.authority, target.path) == (authority, path)


@pytest.mark.parametrize(
    "url",
    [
        "http://me:se/cret@h/x", "http://me:12/cret@h/x", "http://me:12#cret@h", "http://me:12?cret@h", "me:cret@h/x",
        "http://me:cret@h:0/", "http://me:cret@h:99999/", "http://me:cret@[/", "http://me:cret@h /x",
        "http://me:cret@h/\nx", "http://me:cret@h/\udce9", "ftp://me:cret@h/x", "file:///cret", "http://me:cret@/x",
        "http://me:cret@a..b/x", "http://me:cret@h\\x", "//me:cret@h", "http:me:cret@h", "",
    ],
)  # fmt: skip
def test_invalid_url_is_not_quoted(url: str) -> None:
    with pytest.raises(UsageError, match="invalid webhook URL") as caught:
        PostTarget.parse(url)
    assert "cret" not in str(caught.value)
