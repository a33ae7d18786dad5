from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer import SourceLostError
from edgeinfer.cli import app as cli
from edgeinfer.sources import factory as sources
from edgeinfer.system.terminal import execute
from tools.patience import PATIENCE
from tools.programs import running
from tools.tiny_model import write_model


def edgeinfer(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgeinfer", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60 * PATIENCE, check=False, **options)


def refused(done: subprocess.CompletedProcess[str], code: int) -> str:
    """Check that a command ended with one clear sentence; give it."""
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("edgeinfer: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def test_the_demo_needs_no_argument() -> None:
    done = edgeinfer("run")
    assert done.returncode == 0, done.stderr
    assert "125 frames" in done.stdout
    assert "dominant expression: happy" in done.stdout
    assert "frames/s" in done.stdout
    assert done.stderr == ""


def test_jsonl_alone_goes_to_stdout(clip: Path) -> None:
    done = edgeinfer("run", clip, "--out", "-")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["type"] for line in lines] == ["header", *["frame"] * 25, "summary"]
    assert "25 frames" in done.stderr


def test_every_output_at_once(clip: Path, tmp_path: Path) -> None:
    done = edgeinfer(
        "run",
        clip,
        "--out",
        tmp_path / "a.jsonl",
        "--out",
        tmp_path / "b.csv",
        "--save-video",
        tmp_path / "c.mp4",
        "--quiet",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads((tmp_path / "a.jsonl").read_text().splitlines()[-1])["frames"] == 25
    assert (tmp_path / "b.csv").read_text().count("\n") > 20
    assert cv2.VideoCapture(str(tmp_path / "c.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 25


@pytest.mark.parametrize(
    ("options", "frames", "faces"),
    [
        pytest.param(["--max-frames", "3"], 3, 3, id="max-frames"),
        pytest.param(["--detector", "none", "--max-frames", "2"], 2, 2, id="no-detector"),
        pytest.param(["--cascade", "haarcascade_frontalface_alt2", "--max-frames", "2"], 2, 2, id="cascade"),
        pytest.param(["--detect-every", "5", "--threads", "1", "--max-frames", "6"], 6, 6, id="detect-every"),
        pytest.param(["--prior", "balanced", "--max-frames", "2"], 2, 2, id="prior"),
        pytest.param(["--cascade", "haarcascade_russian_plate_number", "--max-frames", "2"], 2, 0, id="no-face"),
    ],
)
def test_options(clip: Path, options: list[str], frames: int, faces: int) -> None:
    done = edgeinfer("run", clip, "--out", "-", *options)
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["frames"], summary["faces"]) == (frames, faces)


def test_heat_is_watched_and_told(clip: Path) -> None:
    done = edgeinfer("run", clip, "--max-temp", "1", "--quiet")
    assert done.returncode == 0
    assert re.fullmatch(
        r"edgeinfer: (no thermometer here; the limit of 1 °C is not kept|.* of the time at work)\n", done.stderr
    )


def test_a_file_can_be_played_live(clip: Path) -> None:
    done = edgeinfer("run", clip, "--out", "-", "--mode", "live")
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["frames"] + summary["dropped"] == 25
    assert 0 < summary["delay_ms"]["p50"] <= summary["delay_ms"]["p95"]
    assert "from capture to result" in done.stderr


def test_pictures_of_a_folder_do_not_follow_each_other(tmp_path: Path, face_picture: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(face_picture, tmp_path / name)
    lines = [json.loads(line) for line in edgeinfer("run", tmp_path, "--out", "-").stdout.splitlines()]
    assert [line["faces"][0]["track"] for line in lines[1:3]] == [1, 2]


@pytest.mark.parametrize(
    "source", ["nowhere.mp4", "321", "/dev/video321", "nowhere/*.png", "http://127.0.0.1:1/x.mjpg"]
)
def test_a_source_that_is_not_there_is_4(source: str) -> None:
    refused(edgeinfer("run", source), 4)


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".jpg", ".png", ".gif", ""])
@pytest.mark.parametrize(
    "content", [b"", b"text", np.random.default_rng(0).bytes(30_000)], ids=["empty", "text", "random"]
)
def test_a_source_that_is_none_is_4(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    assert "bad" in refused(edgeinfer("run", path, "--out", tmp_path / "x.jsonl"), 4)


def test_results_of_an_earlier_run_survive_a_source_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    for name in ("x.jsonl", "x.csv"):
        (tmp_path / name).write_text("earlier\n")
        refused(edgeinfer("run", tmp_path / "bad.jpg", "--out", tmp_path / name), 4)
        assert (tmp_path / name).read_text() == "earlier\n"


def test_a_new_run_replaces_a_longer_earlier_one(tmp_path: Path, face_picture: Path) -> None:
    (tmp_path / "x.csv").write_text("earlier\n" * 1000)
    assert edgeinfer("run", face_picture, "--out", tmp_path / "x.csv").returncode == 0
    assert (tmp_path / "x.csv").read_text().count("\n") == 2


@pytest.mark.parametrize(("name", "kept"), [("clip.mp4", 0.5), ("face.jpg", 0.02)])
def test_a_truncated_source_is_4(tmp_path: Path, name: str, kept: float) -> None:
    content = (Path(__file__).parents[2] / "assets" / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * kept)])
    refused(edgeinfer("run", tmp_path / name), 4)


@pytest.mark.parametrize(
    "content",
    [None, b"", b"text", np.random.default_rng(0).bytes(9000)],
    ids=["missing", "empty", "text", "random"],
)
def test_a_model_that_is_none_is_5(tmp_path: Path, clip: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "bad.onnx").write_bytes(content)
    assert "bad.onnx" in refused(
        edgeinfer("run", clip, "--model", tmp_path / "bad.onnx", "--out", tmp_path / "x.jsonl"), 5
    )
    assert not (tmp_path / "x.jsonl").exists()


def test_a_model_without_our_metadata_is_5(tmp_path: Path, clip: Path) -> None:
    assert "edgeinfer-export" in refused(
        edgeinfer("run", clip, "--model", write_model(tmp_path / "m.onnx", keys={})), 5
    )


@pytest.mark.parametrize("option", ["--out", "--save-video"])
def test_a_folder_that_is_not_there_is_6(tmp_path: Path, clip: Path, option: str) -> None:
    name = "x.mp4" if option == "--save-video" else "x.jsonl"
    refused(edgeinfer("run", clip, option, tmp_path / "none" / name), 6)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_6(clip: Path, tmp_path: Path) -> None:
    full = tmp_path / "full.jsonl"
    full.symlink_to("/dev/full")
    assert "No space left" in refused(edgeinfer("run", clip, "--out", full), 6)


def test_a_reader_that_goes_away_is_6(clip: Path) -> None:
    program = f"{sys.executable} -m edgeinfer"
    command = f"{program} run {clip} --out - --quiet | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60 * PATIENCE, check=False)
    assert "Broken pipe" in refused(done, 6)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--out", "x.txt"], id="unknown-suffix"),
        pytest.param(["--save-video", "x.avi"], id="unknown-video"),
        pytest.param(["--detector", "yunet"], id="yunet-without-model"),
        pytest.param(["--detector-model", "x.onnx"], id="model-without-yunet"),
        pytest.param(["--out", "x.jsonl", "--out", "x.jsonl"], id="same-output-twice"),
        pytest.param(["--prior", "nowhere.json", "--out", "x.jsonl"], id="no-prior"),
    ],
)
def test_options_without_meaning_are_2(clip: Path, tmp_path: Path, arguments: list[str]) -> None:
    refused(edgeinfer("run", clip, *arguments, cwd=tmp_path, env=_environment()), 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [["--detector", "dlib"], ["--max-frames", "0"], ["--detect-every", "x"], ["--no-such-option"]],
)
def test_wrong_usage_is_2(clip: Path, arguments: list[str]) -> None:
    done = edgeinfer("run", clip, *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(
    "GUI:                           NONE" not in cv2.getBuildInformation(), reason="this OpenCV shows windows"
)
def test_no_window_is_3(clip: Path) -> None:
    assert "opencv-python" in refused(edgeinfer("run", clip, "--show"), 3)


def test_no_cascade_is_3(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clip: Path) -> None:
    monkeypatch.delattr(cv2, "CascadeClassifier")
    assert _inside(monkeypatch, "run", str(clip)) == 3
    assert "no cascade classifier" in capsys.readouterr().err


def test_a_lost_camera_is_7(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from tools.fakes import FakeSource

    camera = FakeSource([np.zeros((60, 80, 3), np.uint8)] * 3, error=SourceLostError("the camera was lost"))
    monkeypatch.setattr(sources, "open_source", lambda _, **__: camera)
    assert _inside(monkeypatch, "run", "0", "--out", str(tmp_path / "x.jsonl")) == 7
    assert capsys.readouterr().err == "edgeinfer: the camera was lost\n"
    assert camera.closed
    assert json.loads((tmp_path / "x.jsonl").read_text().splitlines()[-1])["frames"] == 3


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_closes_every_output(tmp_path: Path, clip: Path, number: signal.Signals, code: int) -> None:
    long = tmp_path / "long"
    long.mkdir()
    picture = cv2.imread(str(Path(__file__).parents[2] / "assets" / "face.jpg"))
    assert picture is not None
    for index in range(400):
        cv2.imwrite(str(long / f"{index:03}.bmp"), picture)
    command = [sys.executable, "-m", "edgeinfer", "run", str(long)]
    outputs = [
        "--out",
        str(tmp_path / "x.jsonl"),
        "--out",
        str(tmp_path / "x.csv"),
        "--save-video",
        str(tmp_path / "x.mp4"),
    ]
    with running([*command, *outputs], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60 * PATIENCE
        while not (tmp_path / "x.mp4").exists() or (tmp_path / "x.mp4").stat().st_size < 10_000:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30 * PATIENCE)
    assert process.returncode == code
    assert errors == "edgeinfer: interrupted; every output is closed\n"
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert lines[-1]["type"] == "summary"
    assert 0 < lines[-1]["frames"] < 400
    video = cv2.VideoCapture(str(tmp_path / "x.mp4"))
    assert video.read()[0]
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) >= lines[-1]["frames"]


def test_models_lists_and_shows_cards(tiny_model: Path) -> None:
    listed = edgeinfer("models")
    assert "edgenet" in listed.stdout
    assert "(default)" in listed.stdout
    shown = edgeinfer("models", tiny_model).stdout
    for text in ("neutral, happy", "8x8 grey", "Apache-2.0", "anything else"):
        assert text in shown
    refused(edgeinfer("models", "nobody"), 5)
    assert "carries no digest to verify" in refused(edgeinfer("models", tiny_model, "--verify"), 5)


def test_doctor_tells_what_is_there() -> None:
    done = edgeinfer("doctor")
    assert done.returncode == 0, done.stdout
    for text in ("onnxruntime", "haarcascade_frontalface_default.xml", "cameras", "threads", "edgenet"):
        assert text in done.stdout


def test_doctor_names_a_missing_cascade(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delattr(cv2, "CascadeClassifier")
    assert _inside(monkeypatch, "doctor") == 3
    assert "problem cascade" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["--help"], ["run", "--help"], ["--version"]])
def test_help_and_version(arguments: list[str]) -> None:
    done = edgeinfer(*arguments)
    assert done.returncode == (0 if arguments else 2)
    assert (done.stdout or done.stderr).strip()


def _environment() -> dict[str, str]:
    """The environment, with this checkout still importable from another folder."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(p).resolve()) for p in sys.path if p)}


def _inside(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run a command in this process and put back what it changes."""
    import warnings

    monkeypatch.setattr(sys, "argv", ["edgeinfer", *arguments])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return execute(cli.app, "edgeinfer")
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
