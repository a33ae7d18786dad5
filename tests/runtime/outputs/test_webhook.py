"""Events posted to a real server over loopback."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from edgeinfer import Box, EmotionClassifier, Pipeline, UsageError, run
from edgeinfer.outputs.webhook import MOST_WAITING, WebhookSink, check_url
from tools.fakes import FakeDetector, FakeSource

DARK, LIGHT = np.full((60, 80, 3), 0, np.uint8), np.full((60, 80, 3), 250, np.uint8)
FILM = [DARK] * 30 + [LIGHT] * 30


class Listener:
    """Takes events, or answers with errors first."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.refusals = 0
        self.hold = threading.Event()
        self.hold.set()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                owner.hold.wait(20)
                owner.headers.append(dict(self.headers))
                owner.refusals -= 1
                if owner.refusals < 0:
                    owner.bodies.append(json.loads(body))
                self.send_response(204 if owner.refusals < 0 else 500)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    thread = threading.Thread(target=listener.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield listener
    listener.hold.set()
    listener.server.shutdown()
    listener.server.server_close()
    thread.join()


@pytest.fixture
def pipeline(classifier: EmotionClassifier) -> Pipeline:
    return Pipeline(FakeDetector([Box(10, 10, 20, 20)]), classifier)


def test_events_arrive_as_json_in_their_order(listener: Listener, pipeline: Pipeline) -> None:
    sink = WebhookSink(listener.url.replace("http://", "http://me:p%40ss@"))
    run(FakeSource(FILM), pipeline, [sink])
    assert [body["type"] for body in listener.bodies] == ["appeared", "changed", "left"]
    changed = listener.bodies[1]
    assert (changed["previous"], changed["label"], changed["track_id"]) == ("neutral", "happy", 1)
    assert changed["source"] == "fake"
    assert 1.0 < changed["timestamp_s"] < 1.8
    assert set(changed) == {
        "type", "source", "at", "track_id", "timestamp_s", "label", "confidence", "previous", "present_s",
    }  # fmt: skip
    assert base64.b64decode(listener.headers[0]["Authorization"].removeprefix("Basic ")) == b"me:p@ss"
    assert (sink.sent, sink.dropped) == (3, 0)


def test_what_is_refused_is_sent_again(listener: Listener, pipeline: Pipeline) -> None:
    listener.refusals = 2
    sink = WebhookSink(listener.url, pause_s=0.01)
    with sink:
        sink.start(_Header, lambda: None)  # type: ignore[arg-type, return-value]
        sink.write(None, pipeline(DARK))  # type: ignore[arg-type]
        until_s = time.monotonic() + 20
        while not listener.bodies:
            assert time.monotonic() < until_s
            time.sleep(0.01)
    assert (sink.sent, sink.dropped) == (2, 0)


class _Header:
    source = "fake"


def test_a_listener_that_does_not_answer_holds_nobody(
    listener: Listener, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edgeinfer.outputs.webhook.CLOSING_S", 0.1)
    listener.hold.clear()
    summary = run(FakeSource(FILM), pipeline, [WebhookSink(listener.url)])
    assert summary.frames == len(FILM)
    assert "not delivered in time" in caplog.text


def test_of_too_many_the_oldest_are_dropped(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeinfer.outputs.events import Event

    monkeypatch.setattr("edgeinfer.outputs.webhook.CLOSING_S", 0.1)
    listener.hold.clear()
    sink = WebhookSink(listener.url)
    with sink:
        sink.start(_Header, lambda: None)  # type: ignore[arg-type, return-value]
        for number in range(MOST_WAITING + 50):
            sink._put(Event("appeared", number, 0.0, "happy", 1.0, None, 0.0))
    assert 49 <= sink.dropped <= 50  # one may be on its way


def test_nobody_there_is_said_once(pipeline: Pipeline, caplog: pytest.LogCaptureFixture) -> None:
    sink = WebhookSink("http://me:secret@127.0.0.1:9/hook?key=secret", pause_s=0.01)
    run(FakeSource(FILM), pipeline, [sink])
    assert sink.dropped == 3
    assert caplog.text.count("an event was dropped") == 1
    assert "secret" not in caplog.text


@pytest.mark.parametrize("url", ["ftp://host/x", "host/x", "http://", "http://host:port/", "http://[::1/"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(UsageError):
        check_url(url)
