"""Outputs that would overwrite an input or another output are refused before anything is written."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from tools.cli import edgeinfer, error_of
from tools.patience import PATIENCE


@pytest.fixture
def folder(tmp_path: Path, clip: Path, face_picture: Path, tiny_model: Path) -> Path:
    """A clip with links to it, a folder of pictures, a model, a prior and a config file."""
    shutil.copy(clip, tmp_path / "my.mp4")
    (tmp_path / "link.mp4").symlink_to("my.mp4")
    (tmp_path / "hard.mp4").hardlink_to(tmp_path / "my.mp4")
    (tmp_path / "sub").mkdir()
    (tmp_path / "photos").mkdir()
    shutil.copy(face_picture, tmp_path / "photos" / f"face{face_picture.suffix}")
    (tmp_path / "photos" / "link.csv").symlink_to(f"face{face_picture.suffix}")
    shutil.copy(tiny_model, tmp_path / "model.onnx")
    (tmp_path / "prior.json").write_text('{"happy": 1, "neutral": 1}')
    (tmp_path / "config.toml").write_text("quiet = true\n")
    for name in ("model.onnx", "prior.json", "config.toml"):
        (tmp_path / f"{name}.csv").symlink_to(name)
    (tmp_path / "dangling.jsonl").symlink_to("new.jsonl")
    return tmp_path


def state(folder: Path) -> dict[str, str]:
    """Return the digest of every file in a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param("my.mp4 --save-video my.mp4", id="video"),
        pytest.param("my.mp4 --save-video ./my.mp4", id="video-dot"),
        pytest.param("my.mp4 --save-video sub/../my.mp4", id="video-parent"),
        pytest.param("my.mp4 --save-video link.mp4", id="video-symbolic-link"),
        pytest.param("link.mp4 --save-video my.mp4", id="source-symbolic-link"),
        pytest.param("my.mp4 --save-video hard.mp4", id="video-hard-link"),
        pytest.param("my.mp4 --save-video link.mp4 --append", id="append"),
        pytest.param("file://{folder}/my.mp4 --save-video my.mp4", id="file-url"),
        pytest.param("photos --out photos/link.csv", id="picture-of-a-folder"),
        pytest.param("photos/* --out photos/link.csv", id="picture-of-a-glob"),
        pytest.param("my.mp4 --model model.onnx --out model.onnx.csv", id="model"),
        pytest.param("my.mp4 --prior prior.json --out prior.json.csv", id="prior"),
        pytest.param("my.mp4 --config config.toml --out config.toml.csv", id="config"),
        pytest.param("my.mp4 --out a.jsonl --out ./a.jsonl", id="same-new-output"),
        pytest.param("my.mp4 --out new.jsonl --out dangling.jsonl", id="same-output-through-a-link"),
        pytest.param("my.mp4 --out - --out /dev/stdout.jsonl/../fd/1", id="unknown-format"),
        pytest.param("my.mp4 --out x.csv --out x-20260107T120000Z.csv --split-size 1kB", id="finished-part"),
        pytest.param("photos --snapshots photos", id="snapshots-in-the-source"),
        pytest.param("photos/*.jpg --snapshots photos", id="snapshots-in-the-glob"),
        pytest.param("photos/** --snapshots photos/new", id="snapshots-below-the-glob"),
    ],
)
def test_output_that_is_an_input_or_an_output_exits_with_2(folder: Path, arguments: str) -> None:
    before = state(folder)
    error_of(edgeinfer("run", *arguments.format(folder=folder).split(), cwd=folder), 2)
    assert state(folder) == before


def test_bench_report_over_its_source_exits_with_2(folder: Path) -> None:
    before = state(folder)
    assert "--json link.mp4" in error_of(edgeinfer("bench", "my.mp4", "--json", "link.mp4", cwd=folder), 2)
    assert state(folder) == before


def test_snapshot_that_is_the_source_exits_with_2(folder: Path) -> None:
    name = "20260101T000000000Z-1-appeared-happy.jpg"
    shutil.copy(next((folder / "photos").glob("face*")), folder / "sub" / name)
    error_of(edgeinfer("run", f"sub/{name}", "--snapshots", "sub", cwd=folder), 2)
    assert [path.name for path in (folder / "sub").iterdir()] == [name]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param("photos --out photos/faces.csv", id="result-in-the-source-folder"),
        pytest.param("photos --snapshots photos/snapshots", id="snapshots-below-a-folder"),
        pytest.param("photos/*.jpg --snapshots photos/snapshots", id="snapshots-below-a-glob"),
        pytest.param("my.mp4 --snapshots .", id="snapshots-beside-a-video"),
    ],
)
def test_output_beside_the_inputs_is_overwritten(folder: Path, arguments: str) -> None:
    before = state(folder)
    for _ in range(2):
        done = edgeinfer("run", *arguments.split(), "--quiet", "--detector", "none", "--max-frames", "2", cwd=folder)
        assert done.returncode == 0, done.stderr
    after = state(folder)
    assert before.items() <= after.items()
    assert len(after) > len(before)


def test_summary_over_an_output_exits_with_2(folder: Path) -> None:
    command = f"cd {folder}; {sys.executable} -m edgeinfer run my.mp4 --out x.csv >> x.csv"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60 * PATIENCE, check=False)
    assert done.returncode == 2
    assert "--out x.csv and the summary on stdout" in done.stderr
    assert (folder / "x.csv").read_bytes() == b""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("x.jsonl", b"dear diary", id="jsonl"),
        pytest.param("x.csv", b"dear diary", id="csv"),
        pytest.param("x.jsonl", b'{"type":"frame"}\n', id="jsonl-without-header"),
        pytest.param("x.jsonl", b'{"type":"header","schema":1,"note":1}\n', id="jsonl-of-another-program"),
        pytest.param("x.jsonl", b'{"type":"header","schema":1,' + b"[" * 100_000 + b"\n", id="jsonl-deep"),
        pytest.param("x.csv", b"frame,time_s,track,x,y,w,h,label,confidence\n", id="csv-with-other-columns"),
    ],
)
@pytest.mark.parametrize("option", [[], ["--anonymous"]], ids=["faces", "anonymous"])
def test_append_to_a_foreign_file_exits_with_6(folder: Path, name: str, content: bytes, option: list[str]) -> None:
    (folder / name).write_bytes(content)
    done = edgeinfer("run", "my.mp4", "--out", name, "--append", *option, "--detector", "none", cwd=folder)
    assert "cannot append" in error_of(done, 6)
    assert (folder / name).read_bytes() == content


def test_second_run_on_one_file_exits_with_6(folder: Path) -> None:
    os.mkfifo(folder / "frames")
    command = [sys.executable, "-m", "edgeinfer", "run", "-", "--out", "x.jsonl", "--append", "--detector", "none"]
    encoded = cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    with subprocess.Popen([*command, "--quiet"], cwd=folder, stdin=subprocess.PIPE) as first:
        assert first.stdin is not None
        first.stdin.write(encoded * 3)
        first.stdin.flush()
        deadline = time.monotonic() + 60 * PATIENCE
        while not (folder / "x.jsonl").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for option in ([], ["--append"]):
            done = edgeinfer("run", "my.mp4", "--out", "x.jsonl", *option, cwd=folder)
            assert "another run is writing this file" in error_of(done, 6)
        first.stdin.close()
        assert first.wait(60 * PATIENCE) == 0
    lines = (folder / "x.jsonl").read_text().splitlines()
    assert [line[9:14] for line in (lines[0], lines[-1])] == ["heade", "summa"]
