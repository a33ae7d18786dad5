"""The preview over loopback: what it serves, to whom, and that nobody who watches slows a run."""

from __future__ import annotations

import http.client
import json
import queue
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import pytest

from edgeinfer import Box, EmotionClassifier, Pipeline, run
from edgeinfer.outputs.preview.sink import PreviewSink
from edgeinfer.outputs.preview.state import LARGEST_PICTURE
from edgeinfer.outputs.summary import RunSummary
from edgeinfer.results import Frame, Image, SourceState
from tools.fakes import FakeDetector, FakeSource
from tools.patience import PATIENCE, until

LIGHT, DARK = np.full((60, 80, 3), 250, np.uint8), np.full((60, 80, 3), 5, np.uint8)
BOX = Box(10, 10, 20, 20)
TOKEN = "correct horse/battery"
PATHS = ("/", "/page.js", "/page.css", "/stream.mjpg", "/events", "/snapshot.jpg", "/healthz", "/metrics")


class Feed(FakeSource):
    """Gives pictures when it is told to.

    Attributes:
        given: those that the run is done with.
    """

    def __init__(self) -> None:
        super().__init__([])
        self._queue: queue.Queue[Image | None] = queue.Queue()
        self.given = 0

    def put(self, *images: Image) -> None:
        for image in images:
            self._queue.put(image)

    def end(self) -> None:
        self._queue.put(None)

    def __iter__(self) -> Iterator[Frame]:
        while (image := self._queue.get()) is not None:
            yield Frame(image, self.given, self.given / 10, time.monotonic())
            self.given += 1


class Watched:
    """A run with a preview, in a thread of its own."""

    def __init__(self, classifier: EmotionClassifier, **options: Any) -> None:
        self.feed, self.sink = Feed(), PreviewSink("0", **options)
        self.summary: RunSummary | None = None
        self._pipeline = Pipeline(FakeDetector([BOX]), classifier)
        self._thread = threading.Thread(target=self._run)
        self.port = int(self.sink.url.rstrip("/").rpartition(":")[2])

    def _run(self) -> None:
        self.summary = run(self.feed, self._pipeline, [self.sink])

    def __enter__(self) -> Self:
        self.feed.put(LIGHT)
        self._thread.start()
        until(lambda: self.feed.given > 0 or self.get("/snapshot.jpg")[0] == 200)
        return self

    def __exit__(self, *_: object) -> None:
        self.feed.end()
        self._thread.join(20 * PATIENCE)
        assert not self._thread.is_alive()

    def ask(self, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20 * PATIENCE)
        client.request(method, path, headers=headers)
        return client.getresponse()

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
        with self.ask(path, method, **headers) as answer:
            return answer.status, answer.read()


@pytest.fixture
def watched(classifier: EmotionClassifier) -> Iterator[Watched]:
    with Watched(classifier) as watched:
        yield watched


@pytest.fixture
def guarded(classifier: EmotionClassifier) -> Iterator[Watched]:
    with Watched(classifier, token=TOKEN) as watched:
        yield watched


def decoded(jpeg: bytes) -> Image:
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def next_picture(answer: http.client.HTTPResponse) -> Image:
    while not (line := answer.readline()).startswith(b"Content-Length"):
        assert line
    answer.readline()
    return decoded(answer.read(int(line.split(b":")[1])))


def next_event(answer: http.client.HTTPResponse, name: str) -> dict[str, Any]:
    while answer.readline() != f"event: {name}\n".encode():
        assert not answer.closed
    event: dict[str, Any] = json.loads(answer.readline().removeprefix(b"data: "))
    return event


def test_the_page_and_its_parts(watched: Watched) -> None:
    for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")):
        with watched.ask(path) as answer:
            assert (answer.status, answer.headers.get_content_type()) == (200, kind)
            assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
            assert len(answer.read()) > 500
    assert watched.get("/elsewhere")[0] == 404
    assert watched.get("/", "POST")[0] == 501


def test_a_head_has_no_body(watched: Watched) -> None:
    for path in PATHS:
        assert watched.get(path, "HEAD") == (200, b"")


def test_a_snapshot_has_the_frames_size_and_its_box(watched: Watched) -> None:
    status, data = watched.get("/snapshot.jpg")
    picture = decoded(data)
    assert (status, picture.shape) == (200, LIGHT.shape)
    assert np.abs(picture.astype(int) - 250).max() > 100  # the box and its text
    assert np.abs(picture[50:].astype(int) - 250).max() < 30


def test_the_stream_shows_each_newest_picture(watched: Watched) -> None:
    with watched.ask("/stream.mjpg") as answer:
        assert answer.headers.get_content_type() == "multipart/x-mixed-replace"
        assert next_picture(answer)[50, 70].mean() > 240
        watched.feed.put(DARK)
        assert next_picture(answer)[50, 70].mean() < 20


def test_a_large_picture_is_made_smaller_and_its_boxes_too(watched: Watched) -> None:
    watched.feed.put(np.full((1080, 1920, 3), 250, np.uint8))
    until(lambda: watched.feed.given == 2)
    with watched.ask("/stream.mjpg") as answer:
        picture = next_picture(answer)
    assert picture.shape == (LARGEST_PICTURE * 1080 // 1920, LARGEST_PICTURE, 3)
    marked = np.argwhere(np.abs(picture.astype(int) - 250).max(axis=2) > 100)
    assert marked[:, 0].min() >= 3
    assert marked[:, 0].max() < 40


def test_events_are_the_lines_of_jsonl_and_a_status(watched: Watched) -> None:
    with watched.ask("/events") as answer:
        assert answer.headers.get_content_type() == "text/event-stream"
        status = next_event(answer, "status")
        assert (status["source"], status["state"], status["frames"]) == ("fake", "live", 1)
        frame = next_event(answer, "message")
        assert (frame["type"], frame["frame"]) == ("frame", 0)
        face = frame["faces"][0]
        assert (face["track"], face["box"], face["label"]) == (1, [10, 10, 20, 20], "happy")
        assert status["tracks"] == [{"track": 1, "spans": [[0.0, 0.0, "happy"]]}]
        watched.feed.put(LIGHT)
        assert next_event(answer, "message")["frame"] == 1
        watched.feed.end()
        assert next_event(answer, "end") == {}
        assert answer.readline() == b"\n"
        assert answer.readline() == b""


def test_health_follows_the_source(watched: Watched) -> None:
    assert watched.get("/healthz")[0] == 200
    watched.sink.source_state(SourceState("lost", 1.0, "the cable is loose"))
    status, told = watched.get("/healthz")
    assert (status, json.loads(told)["state"], json.loads(told)["well"]) == (503, "lost", False)
    with watched.ask("/events") as answer:
        assert next_event(answer, "status")["detail"] == "the cable is loose"
    watched.sink.source_state(SourceState("live", 2.0, "it is back"))
    assert watched.get("/healthz")[0] == 200


def test_a_run_without_frames_is_not_well(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeinfer.outputs.preview.state.STALE_S", 0.0)
    assert watched.get("/healthz")[0] == 503


def test_before_the_first_frame_there_is_no_picture(classifier: EmotionClassifier) -> None:
    with PreviewSink("0") as sink:
        sink._thread.start()
        port = int(sink.url.rstrip("/").rpartition(":")[2])
        for path, status in (("/snapshot.jpg", 503), ("/healthz", 503), ("/metrics", 200)):
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=20 * PATIENCE)
            client.request("GET", path)
            assert client.getresponse().status == status


def test_metrics_are_what_prometheus_reads(watched: Watched) -> None:
    watched.feed.put(*[LIGHT] * 4, DARK, DARK)
    until(lambda: watched.feed.given == 7)
    watched.sink._board._last_summary = None
    lines = watched.get("/metrics")[1].decode().splitlines()
    samples = dict(line.rpartition(" ")[::2] for line in lines if not line.startswith("#"))
    for line in lines:
        assert re.fullmatch(r'# (HELP|TYPE) \w+ .+|\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? [-+.e\d]+', line), line
    assert samples["edgeinfer_frames_total"] == "7"
    assert samples['edgeinfer_faces_total{label="happy"}'] == "7"  # held, and smoothed
    assert samples["edgeinfer_up"] == "1"
    assert 'edgeinfer_stage_seconds{stage="decode",quantile="0.5"}' in samples
    assert "edgeinfer_dropped_frames_total" not in samples  # the source is not live
    named = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert {name.partition("{")[0] for name in samples} == named


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_served_without_the_token(guarded: Watched, path: str) -> None:
    wrong = {"Authorization": "Bearer wrong"}
    for asked, headers in (
        (path, {}),
        (f"{path}?token=wrong", {}),
        (path, wrong),
        (path, {"Cookie": "edgeinfer-token=x"}),
    ):
        assert guarded.get(asked, **headers)[0] == 401
    assert guarded.get(path, Authorization=f"Bearer {TOKEN}", method="HEAD")[0] == 200


def test_the_page_keeps_the_token_in_a_cookie(guarded: Watched) -> None:
    with guarded.ask("/?token=correct%20horse%2Fbattery") as answer:
        assert answer.status == 200
        cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert guarded.get("/snapshot.jpg", Cookie=cookie.partition(";")[0])[0] == 200
    # Who has the token may come under any name.
    assert guarded.get("/snapshot.jpg", Cookie=cookie.partition(";")[0], Host="pi.local")[0] == 200


def test_a_visitor_without_the_token_is_asked_for_it(guarded: Watched) -> None:
    status, page = guarded.get("/")
    assert status == 401
    assert b'<input name="token" type="password"' in page


def test_another_sites_name_for_this_machine_leads_nowhere(watched: Watched) -> None:
    assert watched.get("/snapshot.jpg", Host="evil.example")[0] == 421


def test_faces_are_covered_on_request(classifier: EmotionClassifier) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    with Watched(classifier, blur=True) as watched:
        watched.feed.put(noise)
        until(lambda: watched.feed.given == 2)
        picture = decoded(watched.get("/snapshot.jpg")[1])
    assert picture[14:27, 14:27].std() < picture[50:].std() / 2


def test_who_reads_nothing_slows_nobody(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeinfer.outputs.preview.server._Client.timeout", 0.3)
    noise = np.random.default_rng(0).integers(0, 255, (540, 960, 3), np.uint8)
    stuck = [socket.create_connection(("127.0.0.1", watched.port)) for _ in range(4)]
    for client in stuck:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(b"GET /stream.mjpg HTTP/1.0\r\nHost: localhost\r\n\r\n")
    watching = watched.sink._server.watching
    until(lambda: watching._value < 13)
    for _ in range(30):
        watched.feed.put(noise)
        until(watched.feed._queue.empty)
        time.sleep(0.02)
    until(lambda: watching._value == 16)  # each was let go
    assert watched.get("/snapshot.jpg")[0] == 200
    for client in stuck:
        client.close()


def test_who_sends_no_request_is_let_go(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeinfer.outputs.preview.server._Client.timeout", 0.1)
    with socket.create_connection(("127.0.0.1", watched.port), timeout=20 * PATIENCE) as client:
        client.sendall(b"GET / HT")
        assert client.recv(1) == b""


def test_the_number_who_watch_is_bounded(watched: Watched) -> None:
    answers = [watched.ask("/stream.mjpg") for _ in range(16)]
    for answer in answers:
        next_picture(answer)
    assert watched.get("/events")[0] == 503
    assert watched.get("/healthz")[0] == 200
    answers.pop().close()
    watched.feed.put(LIGHT, LIGHT)
    for answer in answers:
        answer.close()


def test_of_too_many_connections_the_last_are_closed(watched: Watched) -> None:
    idle = [socket.create_connection(("127.0.0.1", watched.port), timeout=20 * PATIENCE) for _ in range(25)]
    assert idle[-1].recv(1) == b""
    for client in idle:
        client.close()
    until(lambda: watched.sink._server._clients._value == 24)
    assert watched.get("/healthz")[0] == 200


def test_the_end_does_not_wait_for_who_watches(classifier: EmotionClassifier) -> None:
    with Watched(classifier) as watched:
        answer = watched.ask("/stream.mjpg")
        next_picture(answer)
    assert watched.summary is not None
    with pytest.raises(ConnectionRefusedError):
        watched.get("/")
    PreviewSink(str(watched.port)).__exit__()  # the port is free again
    answer.close()


def test_a_port_that_is_taken_is_6_and_costs_no_output(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces.jsonl"
    out.write_text("before")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = _edgeinfer(str(clip), "--preview", port, "--out", str(out))
    assert done.returncode == 6
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert out.read_text() == "before"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--preview", "0.0.0.0:0"], "give --preview-token, or listen on 127.0.0.1"),
        (["--preview", "nowhere"], "is no address to listen on"),
        (["--preview", "0", "--anonymous"], "--anonymous leaves nothing of anybody; it does not go with --preview"),
    ],
)
def test_options_without_meaning_are_2(clip: Path, options: list[str], sentence: str) -> None:
    done = _edgeinfer(str(clip), *options)
    assert (done.returncode, sentence in done.stderr) == (2, True), done.stderr


def test_a_run_says_where_to_look(clip: Path) -> None:
    done = _edgeinfer(str(clip), "--preview", "0", "--preview-token", "do not print")
    assert done.returncode == 0
    assert re.search(r"preview at http://127\.0\.0\.1:\d+/\n", done.stderr)
    assert "do not print" not in done.stderr + done.stdout


def _edgeinfer(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgeinfer", "run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60 * PATIENCE, check=False)
