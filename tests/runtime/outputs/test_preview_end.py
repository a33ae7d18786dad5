"""The preview after the end of a run, and playback in real time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from edgeinfer import EmotionClassifier, Result, RunSummary
from edgeinfer.outputs.preview.sink import PreviewSink
from edgeinfer.results import Frame
from tools.cli import edgeinfer
from tools.patience import PATIENCE
from tools.preview_run import DARK, LIGHT, PreviewRun, next_event, next_picture, port_of
from tools.preview_run import request as send_request
from tools.programs import running
from tools.sink_driver import HEADER

SUMMARY = RunSummary(0, 0, {}, 0.0, {})


def test_preview_stays_with_the_last_frame_until_it_is_closed(classifier: EmotionClassifier) -> None:
    with PreviewRun(classifier, stay=True) as preview:
        preview.source.put(DARK)
        follower = preview.request("/events")
    status, body = preview.get("/healthz")
    assert (status, json.loads(body)["state"], json.loads(body)["well"]) == (503, "ended", False)
    with preview.request("/stream.mjpg") as response:
        for _ in range(2):  # Chromium shows a picture when the next one begins
            assert next_picture(response)[50, 70].mean() < 20
    with preview.request("/events") as response:
        shown = next_event(response, "status")
        assert (shown["state"], shown["frames"]) == ("ended", 2)
        assert shown["detail"] == "Ended after 2 frames; this is the last one."
        assert next_event(response, "message")["frame"] == 1
    preview.sink.close()
    with follower:
        assert next_event(follower, "end") == {"detail": "The run has ended; waiting for the next run."}
    with pytest.raises(ConnectionRefusedError):
        preview.get("/")
    preview.sink.close()  # has no effect


@pytest.mark.parametrize("stay", [False, True])
def test_preview_of_a_failed_run_is_closed(stay: bool) -> None:
    sink = PreviewSink("0", stay=stay)
    with suppress(ValueError), sink:
        sink.start(HEADER, lambda: SUMMARY)
        sink.write(Frame(LIGHT, 0, 0.0), Result((), 0.0))
        follower = send_request(port_of(sink), "/events")
        next_event(follower, "status")
        raise ValueError("failed")
    with follower:
        assert next_event(follower, "end") == {"detail": "The run was stopped; waiting for the next run."}
    with pytest.raises(ConnectionRefusedError):
        send_request(port_of(sink), "/")


def test_preview_without_stay_returns_after_the_run() -> None:
    with PreviewSink("0") as sink:
        sink.start(HEADER, lambda: SUMMARY)
    sink.after_run()


@pytest.mark.parametrize(
    ("source", "number", "code"),
    [("clip", signal.SIGINT, 130), ("clip", signal.SIGTERM, 143), ("face_picture", signal.SIGINT, 130)],
)
def test_command_stays_until_a_signal(
    tmp_path: Path, request: pytest.FixtureRequest, source: str, number: signal.Signals, code: int
) -> None:
    arguments = [str(request.getfixturevalue(source)), "--out", str(tmp_path / "x.jsonl"), "--preview", "0", "--stay"]
    command = [sys.executable, "-m", "edgeinfer", "run", *arguments]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stderr.readline().split()[-1]
        frames = 25 if source == "clip" else 1
        assert process.stderr.readline() == (
            f"edgeinfer: the source has ended; the preview stays at {url} until Ctrl-C\n"
        )
        assert json.loads((tmp_path / "x.jsonl").read_text().splitlines()[-1])["frames"] == frames
        while not (line := process.stdout.readline()).startswith("wrote "):
            assert line
        assert line == f"wrote {tmp_path / 'x.jsonl'} ({frames} frame{'s' if frames > 1 else ''})\n"
        with send_request(int(url.rstrip("/").rpartition(":")[2]), "/snapshot.jpg") as response:
            assert response.status == 200
        process.send_signal(number)
        assert process.wait(30 * PATIENCE) == code
        assert process.stderr.read() == "edgeinfer: interrupted; all outputs are closed\n"


@pytest.mark.parametrize(
    ("options", "paced"),
    [
        pytest.param(["--preview", "0"], True, id="preview"),
        pytest.param(["--preview", "0", "--mode", "file"], False, id="preview-at-full-speed"),
        pytest.param([], False, id="no-preview"),
    ],
)
def test_file_with_a_preview_plays_in_real_time(
    clip: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], paced: bool
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("edgeinfer.sources.paced.PacedSource._wait_for", lambda _, time_s: waited.append(time_s))
    done = edgeinfer("run", clip, *options, "--detector", "none")
    assert done.returncode == 0
    assert "25 frames, 25 faces" in done.stdout
    assert np.allclose(waited, np.arange(25) / 25 if paced else [])
