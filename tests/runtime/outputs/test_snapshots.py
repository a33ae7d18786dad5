from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer import Box, EmotionClassifier, OutputError, Pipeline, UsageError, run
from edgeinfer.outputs.snapshots import FILE_NAME, SnapshotSink
from tools.fakes import FakeDetector, FakeSource
from tools.patience import PATIENCE

LIGHT, DARK = np.full((60, 80, 3), 250, np.uint8), np.full((60, 80, 3), 5, np.uint8)
FRAMES = [DARK] * 30 + [LIGHT] * 30
NOW_S = 1_800_000_000.123


@pytest.fixture
def pipeline(classifier: EmotionClassifier) -> Pipeline:
    return Pipeline(FakeDetector([Box(10, 10, 20, 20)]), classifier)


def file_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_faces_that_appear_or_change_are_saved(tmp_path: Path, pipeline: Pipeline) -> None:
    folder = tmp_path / "shots"
    run(FakeSource(FRAMES), pipeline, [SnapshotSink(folder, clock=lambda: NOW_S)])
    appeared, changed = file_names(folder)
    assert appeared == "20270115T080000123Z-1-appeared-neutral.jpg"
    assert changed == "20270115T080000123Z-1-changed-happy.jpg"
    for name, level in ((appeared, 5), (changed, 250)):
        picture = cv2.imread(str(folder / name))
        assert picture is not None
        assert abs(float(picture[50:].mean()) - level) < 3
        assert picture[:50].std() > 10  # bounding box and text


def test_newest_snapshots_and_other_files_are_kept(tmp_path: Path, pipeline: Pipeline) -> None:
    (tmp_path / "20200101T000000000Z-holiday.jpg").touch()
    for day in range(3):
        sink = SnapshotSink(tmp_path, keep=3, clock=lambda day=day: NOW_S + 86400 * day)  # type: ignore[misc]
        run(FakeSource(FRAMES), pipeline, [sink])
    assert [(name[:8], name.split("-")[-1]) for name in file_names(tmp_path)] == [
        ("20200101", "holiday.jpg"),
        ("20270116", "happy.jpg"),
        ("20270117", "neutral.jpg"),
        ("20270117", "happy.jpg"),
    ]


def test_expired_snapshots_are_removed(tmp_path: Path, pipeline: Pipeline) -> None:
    for hour in (0, 2, 3):
        sink = SnapshotSink(tmp_path, age_s=3700, clock=lambda hour=hour: NOW_S + 3600 * hour)  # type: ignore[misc]
        run(FakeSource([DARK] * 3), pipeline, [sink])
    assert [name[9:15] for name in file_names(tmp_path)] == ["100000", "110000"]


def test_file_names_match_the_removal_pattern(tmp_path: Path, pipeline: Pipeline) -> None:
    run(FakeSource(FRAMES), pipeline, [SnapshotSink(tmp_path)])
    assert all(FILE_NAME.fullmatch(name) for name in file_names(tmp_path))
    assert len(file_names(tmp_path)) == 2


def test_blur_covers_faces(tmp_path: Path, classifier: EmotionClassifier) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    pipeline = Pipeline(FakeDetector([Box(10, 10, 20, 20)]), classifier)
    run(FakeSource([noise]), pipeline, [SnapshotSink(tmp_path, blur=True)])
    picture = cv2.imread(str(next(tmp_path.iterdir())), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    assert picture[14:27, 14:27].std() < picture[50:].std() / 2


def test_keep_below_one_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="0, expected 1 or more"):
        SnapshotSink(tmp_path, keep=0)


def test_constructor_creates_no_folder(tmp_path: Path) -> None:
    SnapshotSink(tmp_path / "shots")
    assert file_names(tmp_path) == []


def test_folder_that_cannot_be_created_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot create the folder"), SnapshotSink(tmp_path / "file" / "shots"):
        pass


def test_full_disk_ends_the_run(tmp_path: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_no_space(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "write_bytes", raise_no_space)
    with pytest.raises(OutputError, match=r"cannot write a snapshot to .*: No space left on device"):
        run(FakeSource(FRAMES), pipeline, [SnapshotSink(tmp_path)])
    assert file_names(tmp_path) == []


def test_command_line_options(clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shots"
    command = [sys.executable, "-m", "edgeinfer", "run", str(clip), "--quiet", "--snapshots", str(folder)]
    command += ["--snapshots-keep", "5", "--snapshots-age", "7d"]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=60 * PATIENCE, check=False)
    assert (completed.returncode, completed.stderr) == (0, "")
    assert any("-1-appeared-" in name for name in file_names(folder))
    completed = subprocess.run(
        [*command[:-1], "soon"], capture_output=True, text=True, timeout=60 * PATIENCE, check=False
    )
    assert completed.returncode == 2
