"""Tests of the processing of single jobs: the same rows as a run, and failures that concern only one source."""

from __future__ import annotations

import csv
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest

import edgeinfer
from edgeinfer import runner
from edgeinfer.batch.jobs import Kind, Outcome, Progress
from edgeinfer.batch.worker import MAX_REASON_CHARACTERS, Worker
from edgeinfer.expression.classifier import EmotionClassifier
from edgeinfer.outputs.factory import open_sink
from edgeinfer.outputs.line_writer import LineWriter
from edgeinfer.results import Image
from tools.batch_jobs import job, work_settings, write_pictures


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restore the numbers of threads, which a worker sets for its whole process."""
    monkeypatch.setenv("OPENCV_FFMPEG_THREADS", "1")
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


@pytest.fixture
def worker(tiny_model: Path) -> Worker:
    return Worker(work_settings(tiny_model))


def run_rows(tmp_path: Path, tiny_model: Path, source: str | Path) -> list[str]:
    """Return the lines of CSV of a run."""
    target = tmp_path / "run.csv"
    pipeline = edgeinfer.load_pipeline(model=tiny_model, track=not Path(source).is_dir())
    with edgeinfer.open_source(source) as opened:
        runner.run(opened, pipeline, [open_sink(str(target))])
    return target.read_text().splitlines()


def rows(folder: Path, number: int = 1) -> list[str]:
    return (folder / f".partial.{number}.csv").read_text().splitlines()


def lines(folder: Path, number: int = 1) -> list[dict[str, Any]]:
    text = (folder / f".partial.{number}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_rows_of_a_video_are_those_of_a_run(worker: Worker, tmp_path: Path, tiny_model: Path, clip: Path) -> None:
    expected = run_rows(tmp_path, tiny_model, clip)
    for number in (1, 2):  # the second source must not continue the tracks of the first one
        reports: list[Progress] = []
        outcome = worker.process(job(tmp_path, clip, number=number, formats=("csv", "jsonl")), reports.append)
        assert rows(tmp_path, number) == expected
        assert (outcome.status, outcome.reason, outcome.frames) == ("done", "", 25)
        assert outcome.faces == len(expected) - 1
        assert outcome.tracks == len({row["track"] for row in csv.DictReader(expected)})
        assert outcome.duration_s == pytest.approx(1.0)
        assert outcome.elapsed_s > 0
        assert all(report.job == number for report in reports)
    header, *frames, summary = lines(tmp_path)
    assert header["source"] == str(clip)
    assert (len(frames), summary["frames"]) == (25, 25)


def test_rows_of_pictures_are_those_of_a_run(
    worker: Worker, tmp_path: Path, tiny_model: Path, portrait: Image, clip: Path
) -> None:
    pictures = write_pictures(tmp_path / "photos", portrait, 3)
    assert worker.process(job(tmp_path, clip)).status == "done"
    outcome = worker.process(job(tmp_path, pictures, kind="pictures", name="photos"))
    assert rows(tmp_path) == run_rows(tmp_path, tiny_model, tmp_path / "photos")
    assert (outcome.frames, outcome.faces, outcome.tracks, outcome.duration_s) == (3, 3, 0, 0.0)


def test_pictures_of_a_chunk_are_numbered_in_their_source(worker: Worker, tmp_path: Path, portrait: Image) -> None:
    pictures = write_pictures(tmp_path, portrait, 2)
    chunk = job(tmp_path, pictures, kind="pictures", formats=("jsonl",), first_index=500, is_chunk=True)
    worker.process(chunk)
    frames = lines(tmp_path)[1:-1]
    assert [(frame["frame"], frame["time_s"], frame["picture"]) for frame in frames] == [
        (500, 500.0, str(pictures[0])),
        (501, 501.0, str(pictures[1])),
    ]


def test_chunk_without_readable_pictures_succeeds(worker: Worker, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_text("text")
    outcome = worker.process(job(tmp_path, broken, kind="pictures", is_chunk=True))
    assert (outcome.status, outcome.frames) == ("no_faces", 0)
    assert "skipped 1 of 1 pictures" in outcome.reason
    assert len(rows(tmp_path)) == 1


def test_source_without_faces(worker: Worker, tmp_path: Path) -> None:
    grey = tmp_path / "grey.png"
    cv2.imwrite(str(grey), cv2.UMat(64, 64, cv2.CV_8UC3, (90, 90, 90)).get())
    assert worker.process(job(tmp_path, grey, kind="pictures")).status == "no_faces"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("missing.mp4", None, "no source at"),
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"text", "cannot be read as a video"),
        ("line\nbreak.mp4", b"text", "line break.mp4 cannot be read"),
        (os.fsdecode(b"\xe9.mp4"), b"text", r"\xe9.mp4 cannot be read"),
        ("text.jpg", b"text", "is not a picture"),
    ],
)
def test_unreadable_source_is_a_failure(
    worker: Worker, tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "in" / name
    path.parent.mkdir()
    if content is not None:
        path.write_bytes(content)
    out = tmp_path / "out"
    kind: Kind = "pictures" if name.endswith(".jpg") else "video"
    outcome = worker.process(job(out, path, kind=kind, formats=("csv", "jsonl", "parquet")))
    assert outcome.status == "failed"
    assert reason in outcome.reason
    assert outcome.reason.isprintable()
    assert list(out.iterdir()) == []


def test_truncated_video_is_done_with_a_reason(worker: Worker, tmp_path: Path, clip: Path) -> None:
    path = tmp_path / "clip.avi"
    with edgeinfer.open_source(clip) as source:
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (320, 240))
        for frame in source:
            writer.write(frame.image)
    writer.release()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    outcome = worker.process(job(tmp_path, path))
    assert outcome.status == "done"
    assert "it may be truncated" in outcome.reason


def test_skipped_pictures_are_the_reason(worker: Worker, tmp_path: Path, portrait: Image) -> None:
    pictures = write_pictures(tmp_path, portrait, 1)
    broken = [tmp_path / f"{'x' * 180}{number}.jpg" for number in range(8)]
    for path in broken:
        path.write_text("text")
    outcome = worker.process(job(tmp_path, [*pictures, *broken], kind="pictures"))
    assert (outcome.status, outcome.frames) == ("done", 1)
    assert "skipped 8 of 9 pictures" in outcome.reason
    assert len(outcome.reason) == MAX_REASON_CHARACTERS
    assert outcome.reason.endswith("...")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError("Unable to allocate 9 GiB"), "not enough memory: Unable to allocate 9 GiB"),
        (MemoryError(), "not enough memory"),
        (ZeroDivisionError("division by zero"), "unexpected ZeroDivisionError: division by zero"),
    ],
    ids=["memory", "memory without a message", "unexpected"],
)
def test_any_exception_fails_only_its_source(
    worker: Worker, tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(runner, "run", fail)
        assert worker.process(job(tmp_path, clip)).reason == reason
    assert worker.process(job(tmp_path, clip)).status == "done"


def test_unwritable_result_is_an_error(worker: Worker, tmp_path: Path, clip: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(edgeinfer.OutputError, match="cannot write"):
        worker.process(job(tmp_path / "out", clip))


@pytest.mark.parametrize("token", ["", "1a2b3c4d"])
def test_full_disk_is_an_error(
    worker: Worker, tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LineWriter, "_write_blocks", fail)
    with pytest.raises(edgeinfer.OutputError, match=r"^cannot write \S+/1\.csv: No space left on device$"):
        worker.process(job(tmp_path, clip, token=token))
    assert not any(tmp_path.iterdir())


def test_file_of_a_killed_batch_is_replaced(worker: Worker, tmp_path: Path, clip: Path) -> None:
    path = tmp_path / ".partial.1.csv"
    with path.open("w") as orphan:
        orphan.write("old\n")
        orphan.flush()
        fcntl.flock(orphan, fcntl.LOCK_EX)
        assert worker.process(job(tmp_path, clip)).status == "done"
        assert rows(tmp_path)[0].startswith("frame,")


@pytest.mark.parametrize("name", ["csi:1.mp4", "http:x.mp4", "7"])
def test_file_named_like_an_address(
    worker: Worker, tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(clip.read_bytes())
    outcome = worker.process(job(Path("out"), Path(name), formats=("jsonl",)))
    assert outcome.status == "done"
    assert lines(tmp_path / "out")[0]["source"] == name


def test_model_is_loaded_once(
    tiny_model: Path, tmp_path: Path, clip: Path, portrait: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []
    load = EmotionClassifier.load

    def counted_load(*args: Any, **options: Any) -> EmotionClassifier:
        loads.append(args)
        return load(*args, **options)

    monkeypatch.setattr(EmotionClassifier, "load", counted_load)
    worker = Worker(work_settings(tiny_model))
    worker.process(job(tmp_path, clip))
    worker.process(job(tmp_path, write_pictures(tmp_path, portrait, 1), kind="pictures"))
    assert len(loads) == 1


def test_refused_model_is_an_error(tmp_path: Path, clip: Path) -> None:
    with pytest.raises(edgeinfer.ModelError):
        Worker(work_settings(tmp_path / "missing.onnx")).process(job(tmp_path, clip))


def test_number_of_frames_and_rows_without_faces(tiny_model: Path, tmp_path: Path, clip: Path) -> None:
    worker = Worker(work_settings(tiny_model, max_frames=3, empty_frames=True))
    assert worker.process(job(tmp_path, clip)).frames == 3
    grey = tmp_path / "grey.png"
    cv2.imwrite(str(grey), cv2.UMat(64, 64, cv2.CV_8UC3, (90, 90, 90)).get())
    worker.process(job(tmp_path, grey, kind="pictures"))
    assert len(rows(tmp_path)) == 2


def test_parquet_has_the_path_of_the_source(worker: Worker, tmp_path: Path, clip: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    outcome = worker.process(job(tmp_path, clip, formats=("parquet",)))
    table = parquet.read_table(tmp_path / ".partial.1.parquet.part")
    assert set(table["source"].to_pylist()) == {"1"}
    assert table.num_rows == outcome.faces


def test_annotated_video(worker: Worker, tmp_path: Path, clip: Path) -> None:
    copy = tmp_path / "annotated" / ".partial.clip.mp4"
    assert worker.process(job(tmp_path, clip, annotated_video=str(copy))).status == "done"
    with edgeinfer.open_source(copy) as source:
        assert sum(1 for _ in source) == 25


def test_annotated_pictures(worker: Worker, tmp_path: Path, portrait: Image) -> None:
    pictures = write_pictures(tmp_path, portrait, 2)
    copies = tuple(str(tmp_path / "annotated" / path.name) for path in pictures)
    chunk = job(tmp_path, pictures, kind="pictures", first_index=500, is_chunk=True, annotated_pictures=copies)
    assert worker.process(chunk).status == "done"
    for picture, copy in zip(pictures, copies, strict=True):
        image, annotated = cv2.imread(str(picture)), cv2.imread(copy)
        assert image is not None
        assert annotated is not None
        assert image.shape == annotated.shape
        assert (image != annotated).any()


def test_outcome_of_a_merge(worker: Worker, tmp_path: Path, portrait: Image) -> None:
    pictures = write_pictures(tmp_path, portrait, 2)
    for number in (1, 2):
        worker.process(job(tmp_path, pictures[number - 1], number=number, kind="pictures", is_chunk=True))
    chunks = {"csv": tuple(str(tmp_path / f".partial.{number}.csv") for number in (1, 2))}
    merged = worker.process(job(tmp_path, (), number=3, kind="pictures", chunks=chunks, name="x"))
    assert (merged.status, merged.frames) == ("done", 0)
    assert len(rows(tmp_path, 3)) == 3


def test_missing_chunk_is_an_error(worker: Worker, tmp_path: Path) -> None:
    chunks = {"csv": (str(tmp_path / "missing.csv"),)}
    with pytest.raises(edgeinfer.OutputError, match="No such file"):
        worker.process(job(tmp_path, (), kind="pictures", chunks=chunks, name="x"))


def test_damaged_chunk_fails_its_source(worker: Worker, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    outcome = worker.process(job(tmp_path, (), kind="pictures", chunks={"csv": (str(tmp_path / "empty.csv"),)}))
    assert outcome == Outcome("failed", outcome.reason, elapsed_s=outcome.elapsed_s)
    assert "empty.csv is empty" in outcome.reason
