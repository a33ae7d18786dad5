"""Rows for frames without faces, existing results, and the names of the results in the summary."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tools.cli import edgeinfer, error_of
from tools.patience import PATIENCE, until
from tools.programs import running

WITHOUT_FACES = ["--cascade", "haarcascade_russian_plate_number"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def folder(tmp_path: Path, clip: Path, face_picture: Path) -> Path:
    """A clip, and a folder with a picture of a face and an empty one."""
    shutil.copy(clip, tmp_path / "clip.mp4")
    (tmp_path / "photos").mkdir()
    shutil.copy(face_picture, tmp_path / "photos" / "a.jpg")
    cv2.imwrite(str(tmp_path / "photos" / "b.png"), np.full((64, 64, 3), 90, np.uint8))
    return tmp_path


def test_empty_frames_of_a_video(folder: Path) -> None:
    for options in ([], ["--append"]):
        command = ["run", "clip.mp4", "--empty-frames", "--max-frames", "2", "--out", "x.csv", "--out", "x.jsonl"]
        assert edgeinfer(*command, *WITHOUT_FACES, *options, cwd=folder).returncode == 0
    table = rows(folder / "x.csv")
    assert [(row["frame"], row["time_s"]) for row in table] == [("0", "0.0"), ("1", "0.04")] * 2
    assert {value for row in table for name, value in row.items() if name not in ("frame", "time_s")} == {""}
    assert (folder / "x.jsonl").read_text().count('"faces":[]') == 4


def test_empty_frames_of_pictures(folder: Path) -> None:
    assert edgeinfer("run", "photos", "--empty-frames", "--out", "x.csv", cwd=folder).returncode == 0
    first, second = rows(folder / "x.csv")
    assert (first["picture"], first["label"]) == ("photos/a.jpg", "happy")
    expected = {"picture": "photos/b.png", "frame": "1", "time_s": "1.0"}
    assert second == dict.fromkeys(first, "") | expected
    assert edgeinfer("run", "photos", "--out", "x.csv", cwd=folder).returncode == 0
    assert rows(folder / "x.csv") == [first]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            ["--anonymous", "--empty-frames", "--out", "x.csv"],
            "--anonymous writes no rows for frames; remove --empty-frames",
            id="anonymous",
        ),
        pytest.param(
            ["--append", "--no-overwrite", "--out", "x.csv"],
            "--append and --no-overwrite exclude each other",
            id="append",
        ),
        pytest.param(["--stay"], "--stay keeps the preview open after the end of the source; set --preview", id="stay"),
    ],
)
def test_options_that_exclude_each_other_exit_with_2(folder: Path, options: list[str], message: str) -> None:
    assert message in error_of(edgeinfer("run", "clip.mp4", *options, cwd=folder), 2)
    assert not (folder / "x.csv").exists()


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.mp4", "dangling.csv"])
def test_existing_output_is_not_overwritten_on_request(folder: Path, name: str) -> None:
    (folder / "dangling.csv").symlink_to("missing.csv")
    if name != "dangling.csv":
        (folder / name).write_text("before")
    option = "--save-video" if name == "x.mp4" else "--out"
    before = sorted(folder.iterdir())
    done = edgeinfer("run", "clip.mp4", "--out", "new.csv", option, name, "--no-overwrite", cwd=folder)
    assert error_of(done, 6) == (
        f"edgeinfer: {option} {name} exists already; choose another name, or omit --no-overwrite\n"
    )
    assert done.stdout == ""
    assert sorted(folder.iterdir()) == before
    if name != "dangling.csv":
        assert (folder / name).read_text() == "before"


def test_existing_copy_of_a_picture_is_not_overwritten_on_request(folder: Path) -> None:
    command = ["run", "photos", "--save-pictures", "copies", "--out", "x.csv", "--no-overwrite", "--quiet"]
    assert edgeinfer(*command, cwd=folder).returncode == 0
    (folder / "copies" / "b.png").unlink()
    (folder / "x.csv").unlink()
    before = (folder / "copies" / "a.jpg").read_bytes()
    assert "the annotated copy copies/a.jpg exists already" in error_of(edgeinfer(*command, cwd=folder), 6)
    assert not (folder / "x.csv").exists()
    assert [path.name for path in (folder / "copies").iterdir()] == ["a.jpg"]
    assert (folder / "copies" / "a.jpg").read_bytes() == before


def test_copy_with_an_added_suffix_is_not_overwritten_on_request(folder: Path) -> None:
    shutil.copy(folder / "photos" / "a.jpg", folder / "scan")
    (folder / "copies").mkdir()
    (folder / "copies" / "scan.jpg").write_text("before")
    done = edgeinfer("run", "scan", "--save-pictures", "copies", "--no-overwrite", "--quiet", cwd=folder)
    assert "the annotated copy copies/scan.jpg exists already" in error_of(done, 6)
    assert (folder / "copies" / "scan.jpg").read_text() == "before"


def test_new_outputs_pipes_and_devices_are_written_with_no_overwrite(folder: Path) -> None:
    (folder / "null.csv").symlink_to(os.devnull)
    outputs = ["--out", "x.csv", "--out", "x.jsonl", "--out", "null.csv", "--save-video", "x.mp4", "--out", "-"]
    done = edgeinfer("run", "clip.mp4", "--max-frames", "2", "--no-overwrite", *outputs, "--quiet", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout.splitlines()[-1])["frames"] == 2
    assert len(rows(folder / "x.csv")) == 2


def test_configured_no_overwrite_is_overridden(folder: Path) -> None:
    (folder / "c.toml").write_text("no_overwrite = true\n")
    (folder / "x.csv").write_text("before")
    command = ["run", "photos", "--config", "c.toml", "--out", "x.csv", "--quiet"]
    assert "--out x.csv exists already" in error_of(edgeinfer(*command, cwd=folder), 6)
    assert edgeinfer(*command, "--overwrite", cwd=folder).returncode == 0
    assert len(rows(folder / "x.csv")) == 1


def test_reload_continues_own_outputs_and_refuses_others(folder: Path) -> None:
    config = folder / "c.toml"
    config.write_text('out = ["x.csv"]\nno_overwrite = true\nquiet = true\ndetector = "none"\n')
    (folder / "other.csv").write_text("before")
    frame = cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    command = [sys.executable, "-m", "edgeinfer", "run", "-", "--config", "c.toml"]
    with running(command, cwd=folder, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None

        def feed(least: int) -> bool:
            os.write(process.stdin.fileno(), frame)  # type: ignore[union-attr]
            return len(rows(folder / "x.csv")) >= least if (folder / "x.csv").exists() else False

        until(lambda: feed(1))
        config.write_text(config.read_text().replace('"x.csv"', '"x.csv", "other.csv"'))
        process.send_signal(signal.SIGHUP)
        os.write(process.stdin.fileno(), 2 * frame)
        assert process.stderr.readline() == (
            "edgeinfer: not reloaded, the run continues unchanged: --out other.csv exists already; choose another "
            "name, or omit --no-overwrite\n"
        )
        config.write_text(config.read_text().replace(', "other.csv"', ""))
        process.send_signal(signal.SIGHUP)
        os.write(process.stdin.fileno(), 2 * frame)
        assert process.stderr.readline() == "edgeinfer: reloading: closing the outputs and restarting the run\n"
        before = len(rows(folder / "x.csv"))
        until(lambda: feed(before + 1))
        process.stdin.close()
        assert process.wait(30 * PATIENCE) == 0
    assert (folder / "other.csv").read_text() == "before"


def test_summary_names_each_result(folder: Path) -> None:
    outputs = ["--out", "x.csv", "--out", "x.jsonl", "--out", "-", "--snapshots", "shots", "--save-video", "x.mp4"]
    for append, video in ([], "x.mp4"), (["--append"], "x-1.mp4"):
        done = edgeinfer("run", "clip.mp4", *outputs, *append, "--split-size", "3kB", cwd=folder)
        lines = [line for line in done.stderr.splitlines() if line.startswith("wrote ")]
        parts = f", split into {len(list(folder.glob('x*.jsonl')))} files"
        assert lines[0].startswith("wrote x.csv (25 rows")
        assert lines[1] == f"wrote x.jsonl (25 frames{parts})" or append
        latest = max(path.name for path in (folder / "shots").iterdir())
        assert lines[2:] == [f"wrote {video} (25 frames)", f"wrote shots/{latest} (1 snapshot)"]


def test_summary_names_the_copies_of_pictures(folder: Path) -> None:
    done = edgeinfer("run", "photos", "--save-pictures", "copies", cwd=folder)
    assert done.stdout.splitlines()[-1] == "wrote copies (2 annotated pictures)"


def test_names_in_the_summary_are_safe(folder: Path) -> None:
    done = edgeinfer("run", "photos", "--out", "a\x1b[31m\n.csv", cwd=folder)
    assert done.stdout.splitlines()[-1] == "wrote a [31m .csv (1 row)"
    assert "wrote" not in edgeinfer("run", "photos", "--out", "b.csv", "--quiet", cwd=folder).stdout


@pytest.mark.slow
def test_interrupted_run_prints_its_summary(folder: Path, face_picture: Path) -> None:
    frame = cv2.imencode(".jpg", cv2.imread(str(face_picture)))[1].tobytes()  # type: ignore[arg-type]
    command = [sys.executable, "-m", "edgeinfer", "run", "-", "--out", "x.csv", "--snapshots", "shots"]
    with running(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        os.write(process.stdin.fileno(), 2 * frame)
        until(lambda: any((folder / "shots").glob("*-happy.jpg")))
        process.send_signal(signal.SIGINT)
        assert process.wait(30 * PATIENCE) == 130  # before stdin is closed
        counts, expression, table, pictures = process.stdout.read().splitlines()
    (snapshot,) = (folder / "shots").iterdir()
    assert re.match(r"[12] frames?, [12] faces?, ", counts)
    assert expression == "dominant expression: happy (happy 100%)"
    assert table.startswith("wrote x.csv (")
    assert pictures == f"wrote shots/{snapshot.name} (1 snapshot)"
