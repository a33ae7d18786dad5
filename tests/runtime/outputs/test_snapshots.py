from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer import (
    Box,
    Emotion,
    EmotionClassifier,
    Event,
    Face,
    Frame,
    OutputError,
    Pipeline,
    Result,
    UsageError,
    run,
)
from edgeinfer.outputs import snapshots
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


def test_missing_parent_folders_are_created(tmp_path: Path, pipeline: Pipeline) -> None:
    run(FakeSource(FRAMES), pipeline, [SnapshotSink(tmp_path / "new" / "shots")])
    assert file_names(tmp_path / "new" / "shots")


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


def test_vanished_folder_ends_the_run(tmp_path: Path, pipeline: Pipeline) -> None:
    folder = tmp_path / "shots"
    with pytest.raises(OutputError, match="No such file or directory"):
        run(FakeSource(FRAMES), pipeline, [SnapshotSink(folder)], on_result=lambda *_: shutil.rmtree(folder, True))


def test_failed_encoding_ends_the_run(tmp_path: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imencode", lambda *_: (False, None))
    with pytest.raises(OutputError, match="cannot encode a picture of 80x60 pixels"):
        run(FakeSource(FRAMES), pipeline, [SnapshotSink(tmp_path)])


def test_error_of_the_run_is_not_replaced(tmp_path: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cv2, "imencode", lambda *_: (False, None))
    with pytest.raises(ZeroDivisionError):
        run(FakeSource(FRAMES), pipeline, [SnapshotSink(tmp_path)], on_result=fail)


@pytest.mark.parametrize(
    ("label", "written"),
    [
        pytest.param("happy/x", "happy%2Fx", id="slash"),
        pytest.param("../../x", "..%2F..%2Fx", id="parent-folder"),
        pytest.param(".hidden", ".hidden", id="leading-dot"),
        pytest.param("very happy", "very%20happy", id="space"),
        pytest.param("semi-happy", "semi-happy", id="hyphen"),
        pytest.param("glücklich", "gl%C3%BCcklich", id="not-ascii"),
        pytest.param("a\0b\n\x1b", "a%00b%0A%1B", id="control-characters"),
        pytest.param("\ud800", "%3F", id="surrogate"),
        pytest.param("n" * 300, "n" * 60, id="long"),
        pytest.param("n" * 59 + "/", "n" * 59, id="long-with-escape"),
        pytest.param("", "_", id="empty"),
    ],
)
def test_any_label_gives_a_file_name_that_is_removed_again(tmp_path: Path, label: str, written: str) -> None:
    emotion = Emotion(label, 0.9, {label: 0.9})
    frame = Frame(LIGHT, 0, 0.0)
    for hour in range(3):
        with SnapshotSink(tmp_path, keep=2, clock=lambda hour=hour: NOW_S + 3600 * hour) as sink:  # type: ignore[misc]
            face = Face(7, Box(10, 10, 20, 20), emotion=emotion, raw=emotion)
            event = Event("appeared", 7, 0.0, label, 0.9, None, 0.0)
            sink.handle_events([event], frame, Result((face,), timestamp_s=0.0))
    assert file_names(tmp_path) == [f"20270115T{hour:02}0000123Z-7-appeared-{written}.jpg" for hour in (9, 10)]


def test_snapshot_of_a_picture_contains_its_path(tmp_path: Path, pipeline: Pipeline) -> None:
    frame = Frame(LIGHT, 0, 0.0, picture="photos/caf\udce9 1.png")
    event = Event("appeared", 1, 0.0, "happy", 0.9, None, 0.0)
    with SnapshotSink(tmp_path, clock=lambda: NOW_S) as sink:
        for _ in range(2):
            sink.handle_events([event], frame, pipeline(LIGHT))
    stamps = ("20270115T080000123Z", "20270115T080000124Z")
    assert file_names(tmp_path) == [f"{stamp}-1-appeared-happy-caf%3F%201.png.jpg" for stamp in stamps]
    for name in file_names(tmp_path):
        data = (tmp_path / name).read_bytes()
        assert data[:4] == b"\xff\xd8\xff\xfe"
        assert data[6 : 4 + int.from_bytes(data[4:6], "big")] == b"photos/caf\\xe9 1.png"
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert picture.shape == (60, 80, 3)


@pytest.mark.parametrize(("height", "width"), [(4, 70_000), (70_000, 4), (1, 200_000)])
def test_picture_beyond_the_limit_of_jpeg_is_scaled_down(
    tmp_path: Path, pipeline: Pipeline, height: int, width: int
) -> None:
    frame = Frame(np.full((height, width, 3), 250, np.uint8), 0, 0.0)
    with SnapshotSink(tmp_path) as sink:
        sink.handle_events([Event("appeared", 1, 0.0, "happy", 0.9, None, 0.0)], frame, pipeline(LIGHT))
    picture = cv2.imread(str(next(tmp_path.iterdir())))
    assert picture is not None
    assert max(picture.shape) == 65_500


def test_dropped_snapshots_are_reported(
    tmp_path: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    released = threading.Event()
    monkeypatch.setattr(snapshots, "write_file", lambda *_: released.wait(60 * PATIENCE))
    event = Event("appeared", 1, 0.0, "happy", 0.9, None, 0.0)
    with SnapshotSink(tmp_path) as sink:
        for _ in range(snapshots.QUEUE_CAPACITY + 3):
            sink.handle_events([event], Frame(LIGHT, 0, 0.0), pipeline(LIGHT))
        released.set()
    assert sink.dropped in (2, 3)
    assert caplog.messages == [f"{sink.dropped} snapshots were not saved, because writing took too long"]


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
