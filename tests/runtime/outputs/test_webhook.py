"""Events posted to a real HTTP server on the loopback interface."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from edgeinfer import Box, EmotionClassifier, Event, Pipeline, UsageError, run
from edgeinfer.outputs.webhook import QUEUE_CAPACITY, WebhookSink, check_url
from tools.fakes import FakeDetector, FakeSource
from tools.patience import until
from tools.sink_driver import SinkDriver

DARK, LIGHT = np.full((60, 80, 3), 0, np.uint8), np.full((60, 80, 3), 250, np.uint8)
FRAMES = [DARK] * 30 + [LIGHT] * 30


class Receiver:
    """HTTP server that records events.

    Attributes:
        bodies: JSON bodies of the accepted requests.
        headers: headers of all requests.
        failures: number of upcoming requests that receive status 500.
        responding: while cleared, the server does not respond.
    """

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.failures = 0
        self.responding = threading.Event()
        self.responding.set()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                owner.responding.wait(20)
                owner.headers.append(dict(self.headers))
                owner.failures -= 1
                if owner.failures < 0:
                    owner.bodies.append(json.loads(body))
                self.send_response(204 if owner.failures < 0 else 500)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield receiver
    receiver.responding.set()
    receiver.server.shutdown()
    receiver.server.server_close()
    thread.join()


@pytest.fixture
def pipeline(classifier: EmotionClassifier) -> Pipeline:
    return Pipeline(FakeDetector([Box(10, 10, 20, 20)]), classifier)


def test_events_arrive_as_json_in_order(receiver: Receiver, pipeline: Pipeline) -> None:
    sink = WebhookSink(receiver.url.replace("http://", "http://me:p%40ss@"))
    run(FakeSource(FRAMES), pipeline, [sink])
    assert [body["type"] for body in receiver.bodies] == ["appeared", "changed", "left"]
    changed = receiver.bodies[1]
    assert (changed["previous"], changed["label"], changed["track_id"]) == ("neutral", "happy", 1)
    assert changed["source"] == "fake"
    assert 1.0 < changed["timestamp_s"] < 1.8
    assert set(changed) == {
        "type", "source", "at", "track_id", "timestamp_s", "label", "confidence", "previous", "present_s",
    }  # fmt: skip
    assert base64.b64decode(receiver.headers[0]["Authorization"].removeprefix("Basic ")) == b"me:p@ss"
    assert (sink.sent, sink.dropped) == (3, 0)


def test_rejected_event_is_retried(receiver: Receiver, pipeline: Pipeline) -> None:
    receiver.failures = 2
    sink = WebhookSink(receiver.url, pause_s=0.01)
    with SinkDriver(sink) as driver:
        driver.write(pipeline(DARK))
        until(lambda: receiver.bodies)
    assert (sink.sent, sink.dropped) == (2, 0)


def test_unresponsive_receiver_does_not_delay_the_run(
    receiver: Receiver, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edgeinfer.outputs.webhook.CLOSE_TIMEOUT_S", 0.1)
    receiver.responding.clear()
    summary = run(FakeSource(FRAMES), pipeline, [WebhookSink(receiver.url)])
    assert summary.frames == len(FRAMES)
    assert "not delivered in time" in caplog.text


def test_full_queue_drops_the_oldest_events(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeinfer.outputs.webhook.CLOSE_TIMEOUT_S", 0.1)
    receiver.responding.clear()
    sink = WebhookSink(receiver.url)
    with sink:
        for number in range(QUEUE_CAPACITY + 50):
            sink.handle_events([Event("appeared", number, 0.0, "happy", 1.0, None, 0.0)], None, None)
    assert 49 <= sink.dropped <= 50  # one may be in flight


def test_unreachable_receiver_is_logged_once(pipeline: Pipeline, caplog: pytest.LogCaptureFixture) -> None:
    sink = WebhookSink("http://me:secret@127.0.0.1:9/hook?key=secret", pause_s=0.01)
    run(FakeSource(FRAMES), pipeline, [sink])
    assert sink.dropped == 3
    assert caplog.text.count("event dropped") == 1
    assert "secret" not in caplog.text


@pytest.mark.parametrize("url", ["ftp://host/x", "host/x", "http://", "http://host:port/", "http://[::1/"])
def test_invalid_urls_are_rejected(url: str) -> None:
    with pytest.raises(UsageError, match="invalid webhook URL"):
        check_url(url)
