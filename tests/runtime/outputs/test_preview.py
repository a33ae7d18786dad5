"""Content of the preview: page, stream, events, snapshot, health and metrics."""

from __future__ import annotations

import json
import logging
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgeinfer import EmotionClassifier, OutputError
from edgeinfer.outputs.preview.sink import PreviewSink
from edgeinfer.outputs.preview.state import STREAM_SIDE
from edgeinfer.results import SourceState
from tools.patience import PATIENCE, until
from tools.preview_run import DARK, LIGHT, PATHS, PreviewRun, decode_jpeg, next_event, next_picture, port_of, request


@pytest.fixture
def preview(classifier: EmotionClassifier) -> Iterator[PreviewRun]:
    with PreviewRun(classifier) as preview:
        yield preview


def test_page_and_its_files_are_served(preview: PreviewRun) -> None:
    for path, content_type in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")):
        with preview.request(path) as response:
            assert (response.status, response.headers.get_content_type()) == (200, content_type)
            assert "default-src 'self'" in response.headers["Content-Security-Policy"]
            assert len(response.read()) > 500
    assert preview.get("/elsewhere")[0] == 404


def test_head_responses_have_no_body(preview: PreviewRun) -> None:
    for path in PATHS:
        assert preview.get(path, "HEAD") == (200, b"")


def test_snapshot_has_full_size_and_bounding_box(preview: PreviewRun) -> None:
    status, data = preview.get("/snapshot.jpg")
    picture = decode_jpeg(data)
    assert (status, picture.shape) == (200, LIGHT.shape)
    assert np.abs(picture.astype(int) - 250).max() > 100  # bounding box and text
    assert np.abs(picture[50:].astype(int) - 250).max() < 30


def test_stream_shows_each_new_picture(preview: PreviewRun) -> None:
    with preview.request("/stream.mjpg") as response:
        assert response.headers.get_content_type() == "multipart/x-mixed-replace"
        assert next_picture(response)[50, 70].mean() > 240
        preview.source.put(DARK)
        assert next_picture(response)[50, 70].mean() < 20


def test_large_picture_is_scaled_down_with_its_boxes(preview: PreviewRun) -> None:
    preview.source.put(np.full((1080, 1920, 3), 250, np.uint8))
    until(lambda: preview.source.processed == 2)
    with preview.request("/stream.mjpg") as response:
        picture = next_picture(response)
    assert picture.shape == (STREAM_SIDE * 1080 // 1920, STREAM_SIDE, 3)
    marked = np.argwhere(np.abs(picture.astype(int) - 250).max(axis=2) > 100)
    assert marked[:, 0].min() >= 3
    assert marked[:, 0].max() < 40


def test_events_are_jsonl_frames_and_status(preview: PreviewRun) -> None:
    with preview.request("/events") as response:
        assert response.headers.get_content_type() == "text/event-stream"
        status = next_event(response, "status")
        assert (status["source"], status["state"], status["frames"]) == ("fake", "live", 1)
        frame = next_event(response, "message")
        assert (frame["type"], frame["frame"]) == ("frame", 0)
        face = frame["faces"][0]
        assert (face["track"], face["box"], face["label"]) == (1, [10, 10, 20, 20], "happy")
        assert status["tracks"] == [{"track": 1, "spans": [[0.0, 0.0, "happy"]]}]
        preview.source.put(LIGHT)
        assert next_event(response, "message")["frame"] == 1
        preview.source.end()
        assert next_event(response, "end") == {"detail": "The run has ended; waiting for the next run."}
        assert response.readline() == b"\n"
        assert response.readline() == b""


def test_health_follows_the_source_state(preview: PreviewRun) -> None:
    assert preview.get("/healthz")[0] == 200
    preview.sink.source_state(SourceState("lost", 1.0, "the cable is loose"))
    status, body = preview.get("/healthz")
    assert (status, json.loads(body)["state"], json.loads(body)["well"]) == (503, "lost", False)
    with preview.request("/events") as response:
        assert next_event(response, "status")["detail"] == "the cable is loose"
    preview.sink.source_state(SourceState("live", 2.0, "reconnected"))
    assert preview.get("/healthz")[0] == 200


def test_run_without_recent_frames_is_unhealthy(preview: PreviewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeinfer.outputs.preview.state.STALE_S", 0.0)
    assert preview.get("/healthz")[0] == 503


def test_no_picture_is_served_before_the_first_frame() -> None:
    with PreviewSink("0") as sink:
        for path, status in (("/snapshot.jpg", 503), ("/healthz", 503), ("/metrics", 200)):
            assert request(port_of(sink), path).status == status


def test_metrics_have_the_prometheus_format(preview: PreviewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeinfer.outputs.preview.state.SUMMARY_AGE_S", 0.0)
    preview.source.put(*[LIGHT] * 4, DARK, DARK)
    until(lambda: preview.source.processed == 7)
    lines = preview.get("/metrics")[1].decode().splitlines()
    samples = dict(line.rpartition(" ")[::2] for line in lines if not line.startswith("#"))
    for line in lines:
        assert re.fullmatch(r'# (HELP|TYPE) \w+ .+|\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? [-+.e\d]+', line), line
    assert samples["edgeinfer_frames_total"] == "7"
    assert samples['edgeinfer_faces_total{label="happy"}'] == "7"  # smoothing delays the change of the label
    assert samples["edgeinfer_up"] == "1"
    assert 'edgeinfer_stage_seconds{stage="decode",quantile="0.5"}' in samples
    assert "edgeinfer_dropped_frames_total" not in samples  # the source is not live
    types = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert {name.partition("{")[0] for name in samples} == types


def test_blur_covers_faces(classifier: EmotionClassifier) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    with PreviewRun(classifier, blur=True) as preview:
        preview.source.put(noise)
        until(lambda: preview.source.processed == 2)
        picture = decode_jpeg(preview.get("/snapshot.jpg")[1])
    assert picture[14:27, 14:27].std() < picture[50:].std() / 2


def test_constructor_opens_no_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = str(server.getsockname()[1])
        sink = PreviewSink(address)
        assert sink.url == ""
        with pytest.raises(OutputError, match=f"cannot listen on 127.0.0.1:{address}"):
            sink.__enter__()


def test_start_logs_the_url_without_the_token(classifier: EmotionClassifier, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "edgeinfer.outputs.preview")
    with PreviewRun(classifier, token="do not print") as preview:
        assert f"preview at http://127.0.0.1:{preview.port}/" in caplog.text
    assert "do not print" not in caplog.text


def test_busy_port_exits_with_6_and_changes_no_output(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces.jsonl"
    out.write_text("before")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        completed = _edgeinfer_run(str(clip), "--preview", port, "--out", str(out))
    assert completed.returncode == 6
    assert f"cannot listen on 127.0.0.1:{port}" in completed.stderr
    assert out.read_text() == "before"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preview", "0.0.0.0:0"], "set --preview-token, or listen on 127.0.0.1"),
        (["--preview", "nowhere"], "invalid listen address 'nowhere'"),
        (["--preview", "0", "--anonymous"], "--anonymous excludes outputs about single faces; remove --preview"),
    ],
    ids=["no-token", "invalid-address", "anonymous"],
)
def test_invalid_options_exit_with_2(clip: Path, options: list[str], message: str) -> None:
    completed = _edgeinfer_run(str(clip), *options)
    assert (completed.returncode, message in completed.stderr) == (2, True), completed.stderr


@pytest.mark.parametrize("options", [[], ["--quiet"]], ids=["default", "quiet"])
def test_command_line_prints_the_url_without_the_token(clip: Path, options: list[str]) -> None:
    completed = _edgeinfer_run(str(clip), "--preview", "0", "--preview-token", "do not print", *options)
    assert completed.returncode == 0
    assert re.search(r"preview at http://127\.0\.0\.1:\d+/\n", completed.stderr)
    assert "do not print" not in completed.stderr + completed.stdout


def _edgeinfer_run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgeinfer", "run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60 * PATIENCE, check=False)
