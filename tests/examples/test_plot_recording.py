"""Tests of the plot example by the colours of its image."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer.outputs.palette import EXPRESSION_COLOURS

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
pytest.importorskip("pandas", reason="pandas is not installed")
Run = Callable[..., subprocess.CompletedProcess[str]]
HAPPY, SAD = (tuple(bytes.fromhex(EXPRESSION_COLOURS[label][1:])[::-1]) for label in ("happy", "sad"))
"""Plot colours, BGR."""


def colour_mask(path: Path, colour: tuple[int, ...]) -> Any:
    """Return the mask of a colour, (H, W) bool."""
    image = cv2.imread(str(path))
    assert image is not None
    return (image == colour).all(axis=2)


def write_recording(path: Path, *runs: Iterable[tuple[float, int, str]]) -> Path:
    """Write a recording of faces with one expression each: time in seconds, track, label."""
    lines: list[dict[str, Any]] = []
    for faces in runs:
        lines.append({"type": "header", "schema": 1})
        for number, (time_s, track, label) in enumerate(faces):
            face = {"track": track, "box": [0, 0, 9, 9], "label": label, "confidence": 1.0}
            face["probabilities"] = {"neutral": 0.0, "happy": 0.0, label: 1.0}
            lines.append({"type": "frame", "frame": number, "time_s": time_s, "faces": [face]})
            lines.append({"type": "source", "state": "live", "time_s": time_s})
        lines.append({"type": "summary", "faces": 3})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def time_range(start: float, stop: float) -> list[float]:
    return [float(time_s) for time_s in np.arange(start, stop + 0.01, 0.1)]


def test_recording_of_a_run_is_plotted(clip: Path, examples: Path, run: Run, tmp_path: Path) -> None:
    recording, picture = tmp_path / "faces.jsonl", tmp_path / "faces.png"
    assert run("-m", "edgeinfer", "run", clip, "--out", recording, "--quiet").returncode == 0
    done = run("-W", "error", examples / "plot_recording.py", recording, picture)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert colour_mask(picture, HAPPY).mean() > 0.4


def test_each_face_has_a_strip_and_gaps_stay_empty(examples: Path, run: Run, tmp_path: Path) -> None:
    older = [(time_s, 5, "sad") for time_s in time_range(0, 20)]
    first = [(time_s, 1, "happy") for time_s in time_range(0, 2) + time_range(6, 8)]
    second = [(time_s, 2, "sad") for time_s in time_range(4, 8)]
    recording, picture = write_recording(tmp_path / "a.jsonl", older, sorted(first + second)), tmp_path / "a.png"
    done = run("-W", "error", examples / "plot_recording.py", recording, picture)
    assert (done.returncode, done.stderr) == (0, "")
    happy, sad = colour_mask(picture, HAPPY), colour_mask(picture, SAD)
    legend = np.flatnonzero(happy.any(axis=0) & sad.any(axis=0)).max() - 80
    happy, sad = happy[:, :legend], sad[:, :legend]
    assert np.flatnonzero(happy.any(axis=1)).max() < np.flatnonzero(sad.any(axis=1)).min()
    columns = np.flatnonzero(happy.any(axis=0))
    pauses = np.diff(columns)
    assert (pauses > 1).sum() == 1
    assert pauses.max() / (columns[-1] - columns[0]) == pytest.approx(0.5, abs=0.02)
    assert np.flatnonzero(sad.any(axis=0)).min() == pytest.approx((columns[0] + columns[-1]) / 2, abs=10)


def test_recording_without_faces_is_rejected(examples: Path, run: Run, tmp_path: Path) -> None:
    recording = write_recording(tmp_path / "a.jsonl", [])
    done = run(examples / "plot_recording.py", recording, tmp_path / "a.png")
    message = f"{recording} contains no faces; record some with: edgeinfer run clip.mp4 --out {recording}\n"
    assert (done.returncode, done.stderr) == (1, message)
