from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

from tools.cli import edgeinfer, error_of
from tools.patience import PATIENCE
from tools.programs import running


@pytest.mark.parametrize("source", [(), ("demo",)])
def test_run_processes_the_demo_clip(source: tuple[str, ...]) -> None:
    done = edgeinfer("run", *source)
    assert done.returncode == 0, done.stderr
    assert "125 frames" in done.stdout
    assert "dominant expression: happy" in done.stdout
    assert "frames/s" in done.stdout
    assert done.stderr == ""


def test_file_named_demo_has_precedence_over_the_demo_clip(clip: Path, tmp_path: Path) -> None:
    shutil.copy(clip, tmp_path / "demo")
    assert "25 frames" in edgeinfer("run", "demo", cwd=tmp_path).stdout


def test_out_dash_writes_only_jsonl_to_stdout(clip: Path) -> None:
    done = edgeinfer("run", clip, "--out", "-")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["type"] for line in lines] == ["header", *["frame"] * 25, "summary"]
    assert "25 frames" in done.stderr


def test_all_file_outputs_together(clip: Path, tmp_path: Path) -> None:
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


def test_max_temp_is_monitored_and_reported(clip: Path) -> None:
    done = edgeinfer("run", clip, "--max-temp", "1", "--quiet")
    assert done.returncode == 0
    assert re.fullmatch(
        r"edgeinfer: (temperature limit of 1 °C ignored: this system has no temperature sensor|.* duty cycle now .*)\n",
        done.stderr,
    )


def test_file_in_live_mode(clip: Path) -> None:
    done = edgeinfer("run", clip, "--out", "-", "--mode", "live")
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["frames"] + summary["dropped"] == 25
    assert 0 < summary["delay_ms"]["p50"] <= summary["delay_ms"]["p95"]
    assert "from capture to result" in done.stderr


def test_pictures_of_a_folder_are_not_tracked(tmp_path: Path, face_picture: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(face_picture, tmp_path / name)
    lines = [json.loads(line) for line in edgeinfer("run", tmp_path, "--out", "-").stdout.splitlines()]
    assert [line["faces"][0]["track"] for line in lines[1:3]] == [1, 2]


def test_new_run_replaces_a_longer_existing_output(tmp_path: Path, face_picture: Path) -> None:
    (tmp_path / "x.csv").write_text("earlier\n" * 1000)
    assert edgeinfer("run", face_picture, "--out", tmp_path / "x.csv").returncode == 0
    assert (tmp_path / "x.csv").read_text().count("\n") == 2


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_closes_every_output(tmp_path: Path, clip: Path, number: signal.Signals, code: int) -> None:
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
    lines = [line for line in errors.splitlines() if "H.264 needs PyAV" not in line]
    assert lines == ["edgeinfer: interrupted; all outputs are closed"]
    results = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert results[-1]["type"] == "summary"
    assert 0 < results[-1]["frames"] < 400
    video = cv2.VideoCapture(str(tmp_path / "x.mp4"))
    assert video.read()[0]
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) >= results[-1]["frames"]


def test_models_lists_and_prints_cards(tiny_model: Path) -> None:
    listed = edgeinfer("models")
    assert "edgenet" in listed.stdout
    assert "(default)" in listed.stdout
    shown = edgeinfer("models", tiny_model).stdout
    for text in ("neutral, happy", "8x8 grey", "Apache-2.0", "anything else"):
        assert text in shown
    error_of(edgeinfer("models", "missing"), 5)
    assert "has no digest in its metadata" in error_of(edgeinfer("models", tiny_model, "--verify"), 5)


def test_doctor_lists_the_installation() -> None:
    done = edgeinfer("doctor")
    assert done.returncode == 0, done.stdout
    for text in ("onnxruntime", "haarcascade_frontalface_default.xml", "cameras", "threads", "edgenet"):
        assert text in done.stdout


def test_doctor_prints_json() -> None:
    done = edgeinfer("doctor", "--json")
    assert done.returncode == 0
    findings = json.loads(done.stdout)
    assert {"versions", "machine", "opencv", "models"} <= {finding["name"] for finding in findings}
    assert all(finding.keys() == {"name", "state", "detail"} for finding in findings)


def test_doctor_reports_a_missing_cascade(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "CascadeClassifier")
    done = edgeinfer("doctor")
    assert done.returncode == 3
    assert "problem cascade" in done.stdout


@pytest.mark.parametrize("arguments", [[], ["--help"], ["run", "--help"], ["--version"]])
def test_help_and_version(arguments: list[str]) -> None:
    done = edgeinfer(*arguments)
    assert done.returncode == (0 if arguments else 2)
    assert (done.stdout or done.stderr).strip()
