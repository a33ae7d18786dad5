"""Any file name as a source, output, cascade or detector model: processed, or rejected with a one-line error."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from edgeinfer.detection.cascade_files import find_cascade
from tools.cli import edgeinfer, error_of

NAMES = [
    b"caf\xe9.mp4", b"2024-01-01T12:30:05.mp4", b"-dash.mp4", b"x%03d.mp4", b"a#b*c[1].mp4", b" sp ace .mp4",
    b"new\nline\x1b[31m.mp4", b"http:x.mp4", b"pipe:0.mp4", b"q?x.mp4", "ümlaut😀.mp4".encode(),
]  # fmt: skip
IMPOSSIBLE = {"long": "x" * 5000, "deep": "a/" * 3000 + "x", "unknown-user": "~nosuch/x"}


@pytest.mark.parametrize("name", NAMES, ids=[repr(name)[2:-1] for name in NAMES])
def test_name_works_as_source_and_output(tmp_path: Path, clip: Path, name: bytes) -> None:
    source = os.fsdecode(name)
    shutil.copy(clip, tmp_path / source)
    options = ("--detector", "none", "--max-frames", "5", "--quiet")
    done = edgeinfer(
        "run", *options, f"--save-video=out {source}", "--out", "x.csv", "--out", "x.jsonl", "--", source, cwd=tmp_path
    )
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if "H.264 needs PyAV" not in line] == []
    assert (tmp_path / f"out {source}").stat().st_size > 1000
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 6
    assert len((tmp_path / "x.jsonl").read_text().splitlines()) == 7


@pytest.mark.parametrize("name", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
@pytest.mark.parametrize(
    ("arguments", "suffix", "code"),
    [
        ((), ".mp4", 4),
        (("CLIP", "--save-video"), ".mp4", 6),
        (("CLIP", "--cascade"), ".xml", 5),
        (("CLIP", "--detector", "yunet", "--detector-model"), ".onnx", 5),
    ],
    ids=["source", "save-video", "cascade", "detector-model"],
)
def test_impossible_name_is_rejected_with_one_line(
    clip: Path, arguments: tuple[str, ...], suffix: str, code: int, name: str
) -> None:
    named = [str(clip) if argument == "CLIP" else argument for argument in arguments]
    assert len(error_of(edgeinfer("run", *named, name + suffix, "--quiet"), code)) < 600


@pytest.mark.parametrize(
    "url",
    ["http://u:secret@127.0.0.1:1/caf\udce9", "rtsp://u:secret@127.0.0.1:1/a\nb", f"http://127.0.0.1:1/{'x' * 5000}"],
    ids=["not-utf-8", "line-end", "long"],
)
def test_address_with_hostile_characters_is_refused(url: str) -> None:
    message = error_of(edgeinfer("run", url, "--quiet"), 4)
    assert "is invalid" in message
    assert "secret" not in message


def test_cascade_and_detector_model_with_hostile_names_are_read(tmp_path: Path, clip: Path, face_picture: Path) -> None:
    cascade, model = tmp_path / "caf\udce9.xml", tmp_path / "caf\udce9.onnx"
    shutil.copy(find_cascade(None), cascade)
    shutil.copy(clip, model)
    assert edgeinfer("run", face_picture, "--cascade", cascade, "--quiet").returncode == 0
    message = error_of(edgeinfer("run", face_picture, "--detector", "yunet", "--detector-model", model, "--quiet"), 5)
    assert r"caf\xe9.onnx is not a YuNet model" in message


def test_name_that_is_not_utf_8_does_not_crash_the_process(tmp_path: Path, clip: Path) -> None:
    """Make the first attempt in a separate process, because a crash would end the test run."""
    shutil.copy(clip, tmp_path / "caf\udce9.mp4")
    options = ["run", "caf\udce9.mp4", "--max-frames", "3", "--save-video", "\udce9.mp4"]
    command = [sys.executable, "-m", "edgeinfer", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    shutil.copy(tmp_path / "\udce9.mp4", tmp_path / "copy.mp4")
    assert cv2.VideoCapture(str(tmp_path / "copy.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 3
