from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer import SourceLostError
from edgeinfer.sources import factory as sources
from tools.cli import Completed, edgeinfer, error_of
from tools.patience import PATIENCE
from tools.tiny_model import write_model

LONG = "x" * 5000


@pytest.mark.parametrize(
    "source", ["nowhere.mp4", "321", "/dev/video321", "nowhere/*.png", "http://127.0.0.1:1/x.mjpg"]
)
def test_missing_source_exits_with_4(source: str) -> None:
    error_of(edgeinfer("run", source), 4)


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".jpg", ".png", ".gif", ""])
@pytest.mark.parametrize(
    "content", [b"", b"text", np.random.default_rng(0).bytes(30_000)], ids=["empty", "text", "random"]
)
def test_unreadable_source_exits_with_4(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    assert "bad" in error_of(edgeinfer("run", path, "--out", tmp_path / "x.jsonl"), 4)


def test_unreadable_source_keeps_existing_outputs(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    for name in ("x.jsonl", "x.csv"):
        (tmp_path / name).write_text("earlier\n")
        error_of(edgeinfer("run", tmp_path / "bad.jpg", "--out", tmp_path / name), 4)
        assert (tmp_path / name).read_text() == "earlier\n"


@pytest.mark.parametrize(("name", "kept"), [("clip.mp4", 0.5), ("face.jpg", 0.02)])
def test_truncated_source_exits_with_4(tmp_path: Path, name: str, kept: float) -> None:
    content = (Path(__file__).parents[2] / "assets" / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * kept)])
    error_of(edgeinfer("run", tmp_path / name), 4)


@pytest.mark.parametrize(
    "content",
    [None, b"", b"text", np.random.default_rng(0).bytes(9000)],
    ids=["missing", "empty", "text", "random"],
)
def test_invalid_model_exits_with_5(tmp_path: Path, clip: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "bad.onnx").write_bytes(content)
    assert "bad.onnx" in error_of(
        edgeinfer("run", clip, "--model", tmp_path / "bad.onnx", "--out", tmp_path / "x.jsonl"), 5
    )
    assert not (tmp_path / "x.jsonl").exists()


def test_model_without_metadata_exits_with_5(tmp_path: Path, clip: Path) -> None:
    assert "edgeinfer-export" in error_of(
        edgeinfer("run", clip, "--model", write_model(tmp_path / "m.onnx", keys={})), 5
    )


@pytest.mark.parametrize("option", ["--out", "--save-video"])
def test_missing_output_folder_exits_with_6(tmp_path: Path, clip: Path, option: str) -> None:
    name = "x.mp4" if option == "--save-video" else "x.jsonl"
    error_of(edgeinfer("run", clip, option, tmp_path / "none" / name), 6)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_full_disk_exits_with_6(clip: Path, tmp_path: Path) -> None:
    full = tmp_path / "full.jsonl"
    full.symlink_to("/dev/full")
    assert "No space left" in error_of(edgeinfer("run", clip, "--out", full), 6)


def test_closed_stdout_exits_with_6(clip: Path) -> None:
    program = f"{sys.executable} -m edgeinfer"
    command = f"{program} run {clip} --out - --quiet | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60 * PATIENCE, check=False)
    assert "Broken pipe" in error_of(Completed(done.returncode, done.stdout, done.stderr), 6)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--out", "x.txt"], id="unknown-suffix"),
        pytest.param(["--save-video", "x.avi"], id="unknown-video"),
        pytest.param(["--detector-model", "x.onnx"], id="model-without-yunet"),
        pytest.param(["--out", "x.jsonl", "--out", "x.jsonl"], id="same-output-twice"),
        pytest.param(["--prior", "nowhere.json", "--out", "x.jsonl"], id="no-prior"),
    ],
)
def test_invalid_options_exit_with_2(clip: Path, tmp_path: Path, arguments: list[str]) -> None:
    error_of(edgeinfer("run", clip, *arguments, cwd=tmp_path), 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [["--detector", "dlib"], ["--max-frames", "0"], ["--detect-every", "x"], ["--no-such-option"]],
)
def test_usage_error_exits_with_2(clip: Path, arguments: list[str]) -> None:
    done = edgeinfer("run", clip, *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(
    "GUI:                           NONE" not in cv2.getBuildInformation(), reason="this OpenCV shows windows"
)
def test_missing_window_support_exits_with_3(clip: Path) -> None:
    assert "opencv-python" in error_of(edgeinfer("run", clip, "--show"), 3)


def test_missing_cascade_support_exits_with_3(monkeypatch: pytest.MonkeyPatch, clip: Path) -> None:
    monkeypatch.delattr(cv2, "CascadeClassifier")
    assert "no cascade classifier" in error_of(edgeinfer("run", clip), 3)


def test_lost_camera_exits_with_7(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tools.fakes import FakeSource

    camera = FakeSource([np.zeros((60, 80, 3), np.uint8)] * 3, error=SourceLostError("the camera was lost"))
    monkeypatch.setattr(sources, "open_source", lambda _, **__: camera)
    done = edgeinfer("run", "0", "--out", tmp_path / "x.jsonl")
    assert error_of(done, 7) == "edgeinfer: the camera was lost\n"
    assert camera.closed
    assert json.loads((tmp_path / "x.jsonl").read_text().splitlines()[-1])["frames"] == 3


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["run", LONG], 4, id="source"),
        pytest.param(["run", "--model", LONG], 5, id="model"),
        pytest.param(["run", "--cascade", f"{LONG}.xml"], 5, id="cascade"),
        pytest.param(["run", "--detector", "yunet", "--detector-model", LONG], 5, id="detector-model"),
        pytest.param(["run", "--prior", LONG], 2, id="prior"),
        pytest.param(["run", "--config", LONG], 2, id="config"),
        pytest.param(["run", "--out", f"{LONG}.csv"], 6, id="out"),
        pytest.param(["run", "--save-video", f"{LONG}.mp4"], 6, id="save-video"),
        pytest.param(["run", "--snapshots", LONG], 6, id="snapshots"),
        pytest.param(["bench", "--json", LONG], 6, id="json"),
        pytest.param(["models", LONG], 5, id="card"),
    ],
)
def test_too_long_path_is_rejected_with_one_line(arguments: list[str], code: int) -> None:
    assert "unexpected" not in error_of(edgeinfer(*arguments), code)
