"""Tests of the example packages: a custom detector and a custom sink, installed with pip."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer import Box, Emotion, Face, Frame, Result, open_sink
from edgeinfer.results import Image
from tools.patience import PATIENCE, until
from tools.programs import running
from tools.world import World, texture

pytest.importorskip("hatchling", reason="hatchling, needed to build the packages offline, is not installed")
Run = Callable[..., subprocess.CompletedProcess[str]]
CUE = re.compile(r"(\d+)\n(\d\d):(\d\d):(\d\d,\d{3}) --> (\d\d):(\d\d):(\d\d,\d{3})\nperceived: (.+)\n\n")


@pytest.fixture(scope="session")
def site(examples: Path, run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which both packages are installed."""
    folder = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation"]
    packages = [examples / "custom_detector", examples / "custom_sink"]
    done = run("-m", "pip", "install", *options, "--target", folder, *packages)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in folder.glob("*.py")} == {"edgeinfer_largest.py", "edgeinfer_srt.py"}
    return folder


@pytest.fixture
def two_faces(portrait: Image, tmp_path: Path) -> Path:
    """Return a clip with a small face on the left and a large one on the right."""
    heads = {"small": (portrait, lambda _: (110.0, 130.0, 60.0)), "large": (portrait, lambda _: (330.0, 130.0, 120.0))}
    path = tmp_path / "two.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (480, 270))
    for _, image, _ in World(heads, texture(1)).play(1.0, fps=25):
        writer.write(image)
    writer.release()
    return path


def track_widths(path: Path) -> dict[int, int]:
    """Return the width in pixels of each track's last box."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    frames = [line["faces"] for line in lines if line["type"] == "frame"]
    return {face["track"]: face["box"][2] for faces in frames for face in faces}


def parse_cues(text: str) -> list[tuple[float, float, str]]:
    """Return start and end in seconds and the text of each cue, after validating the whole file."""
    matches = list(CUE.finditer(text))
    assert "".join(cue[0] for cue in matches) == text
    assert [int(cue[1]) for cue in matches] == list(range(1, len(matches) + 1))

    def seconds(hours: str, minutes: str, rest: str) -> float:
        return 3600 * int(hours) + 60 * int(minutes) + float(rest.replace(",", "."))

    times = [(seconds(*cue.group(2, 3, 4)), seconds(*cue.group(5, 6, 7)), cue[8]) for cue in matches]
    assert all(start < end for start, end, _ in times)
    assert all(before[1] <= after[0] for before, after in pairwise(times))
    return times


def test_detector_returns_the_largest_face(two_faces: Path, site: Path, run: Run, tmp_path: Path) -> None:
    found = {}
    for name in ("haar", "largest"):
        out = tmp_path / f"{name}.jsonl"
        command = ["-m", "edgeinfer", "run", two_faces, "--detector", name, "--out", out, "--quiet"]
        done = run(*command, PYTHONPATH=site)
        assert (done.returncode, done.stderr) == (0, "")
        found[name] = track_widths(out)
    assert len(found["haar"]) == 2
    (width,) = found["largest"].values()
    assert width == pytest.approx(max(found["haar"].values()), rel=0.1)
    assert width > 1.5 * min(found["haar"].values())


def test_detector_rejects_a_model(clip: Path, site: Path, run: Run) -> None:
    command = ["-m", "edgeinfer", "run", clip, "--detector", "largest", "--detector-model", clip]
    done = run(*command, PYTHONPATH=site)
    assert done.returncode == 2
    assert "--detector-model does not apply to the detector largest" in done.stderr


def test_subtitles_contain_the_labels_of_a_clip(
    clip: Path, two_faces: Path, site: Path, run: Run, tmp_path: Path
) -> None:
    for source, text in ((clip, "happy"), (two_faces, "happy | happy")):
        out = tmp_path / "x.srt"
        done = run("-m", "edgeinfer", "run", source, "--out", out, "--quiet", PYTHONPATH=site)
        assert (done.returncode, done.stderr) == (0, "")
        times = parse_cues(out.read_text())
        assert times[-1][2] == text
        assert times[-1][1] == pytest.approx(0.96, abs=0.05)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ([(0.0, "happy"), (2.0, "")], [(0.0, 2.0, "happy")]),
        ([(1.0, "sad happy"), (3.0, "sad"), (4.0, "")], [(1.0, 3.0, "sad | happy"), (3.0, 4.0, "sad")]),
        ([(0.0, "sad"), (0.2, "fear"), (0.4, "sad"), (1.0, "")], [(0.0, 1.0, "sad")]),
        ([(0.0, "sad"), (12.0, "")], [(0.0, 5.0, "sad"), (5.0, 10.0, "sad"), (10.0, 12.0, "sad")]),
        ([(1.0, ""), (3660.0, "sad"), (3661.5, "")], [(3660.0, 3661.5, "sad")]),
        ([(0.0, "")], []),
    ],
    ids=["one", "several", "flicker", "long", "late", "no-face"],
)
def test_subtitles_follow_label_changes(
    shown: list[tuple[float, str]],
    expected: list[tuple[float, float, str]],
    site: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Write frames with the given labels, from left to right, each from its start time until the next."""
    monkeypatch.syspath_prepend(str(site))
    out, image = tmp_path / "x.srt", np.zeros((9, 9, 3), np.uint8)
    with open_sink(str(out)) as sink:
        ends_s = [start_s for start_s, _ in shown[1:]] + [shown[-1][0] + 0.1]
        for (start_s, labels), end_s in zip(shown, ends_s, strict=True):
            for time_s in np.arange(start_s, min(end_s, start_s + 20) - 0.01, 0.1):
                # The rightmost face has the lowest track ID.
                emotions = [Emotion(label, 1.0, {label: 1.0}) for label in reversed(labels.split())]
                faces = [Face(n, Box(90 - 9 * n, 0, 9, 9), emotion, emotion) for n, emotion in enumerate(emotions)]
                sink.write(Frame(image, 0, float(time_s)), Result(tuple(faces), float(time_s)))
    assert parse_cues(out.read_text()) == expected


def test_unwritable_subtitles_exit_with_6(clip: Path, site: Path, run: Run, tmp_path: Path) -> None:
    full = tmp_path / "full.srt"
    full.symlink_to("/dev/full")
    for out, reason in ((full, "No space left on device"), (tmp_path / "none" / "x.srt", "No such file or directory")):
        done = run("-m", "edgeinfer", "run", clip, "--out", out, "--quiet", PYTHONPATH=site)
        assert done.returncode == 6
        assert done.stderr.startswith(f"edgeinfer: cannot write {out}: {reason}; ")


def test_killed_run_leaves_complete_subtitles(portrait: Image, site: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.srt"
    raw = ["-", "--pixels", "bgr24", "--size", "256x256", "--fps", "2"]
    command = [sys.executable, "-m", "edgeinfer", "run", *raw, "--out", str(out), "--quiet"]
    reading, writing = os.pipe()
    with running(command, stdin=reading, env={**os.environ, "PYTHONPATH": str(site)}) as process:
        os.close(reading)
        with os.fdopen(writing, "wb") as pipe:
            for image in [portrait] * 14 + [np.zeros_like(portrait)] * 8 + [portrait] * 14:
                pipe.write(image.tobytes())
            pipe.flush()
            until(lambda: (out.exists() and out.read_text().count("-->") >= 3) or process.poll() is not None)
            process.kill()
            process.wait(60 * PATIENCE)
    assert [cue[2] for cue in parse_cues(out.read_text())] == ["happy"] * 3
