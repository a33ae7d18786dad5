"""Tests of merging: chunks yield the result of one run over all pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import cv2
import pytest

import edgeinfer
from edgeinfer.batch.merging import merge_chunks
from edgeinfer.batch.worker import Worker
from edgeinfer.results import Image
from edgeinfer.system.files import partial_path
from tools.batch_jobs import job, work_settings, write_pictures

FORMATS: tuple[Literal["csv", "jsonl", "parquet"], ...] = ("csv", "jsonl", "parquet")


@pytest.fixture(scope="module")
def results(tiny_model: Path, portrait: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the results of seven pictures: 0 is the whole, 1 to 4 are chunks, of which only 1 and 4 have faces.

    The picture of chunk 2 is unreadable.
    """
    pytest.importorskip("pyarrow")
    folder = tmp_path_factory.mktemp("results")
    pictures = write_pictures(folder, portrait, 7)
    for grey in pictures[3:5]:
        cv2.imwrite(str(grey), cv2.UMat(64, 64, cv2.CV_8UC3, (90, 90, 90)).get())
    for unreadable in pictures[1:3]:
        unreadable.write_text("text")
    threads = cv2.getNumThreads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENCV_FFMPEG_THREADS", "1")
        worker = Worker(work_settings(tiny_model, empty_frames=True))
        worker.process(job(folder, pictures, number=0, kind="pictures", formats=FORMATS, name="photos"))
        for number, part in enumerate((slice(0, 2), slice(2, 3), slice(3, 5), slice(5, 7)), 1):
            chunk = job(
                folder, pictures[part], number=number, kind="pictures", formats=FORMATS, name="photos",
                first_index=part.start, is_chunk=True, source="0",
            )  # fmt: skip
            worker.process(chunk)
    cv2.setNumThreads(threads)
    return folder


def merged(folder: Path, suffix: Literal["csv", "jsonl", "parquet"], target: Path) -> Path:
    whole, *chunks = (partial_path(folder / f"{number}.{suffix}") for number in range(5))
    merge_chunks(suffix, chunks, target)
    return whole


def test_csv(results: Path, tmp_path: Path) -> None:
    whole = merged(results, "csv", tmp_path / "all.csv")
    assert (tmp_path / "all.csv").read_bytes() == whole.read_bytes()


def test_jsonl(results: Path, tmp_path: Path) -> None:
    whole = merged(results, "jsonl", tmp_path / "all.jsonl")
    *lines, summary = (tmp_path / "all.jsonl").read_text().splitlines()
    *expected_lines, expected_summary = whole.read_text().splitlines()
    assert lines == expected_lines
    assert without_times(json.loads(summary)) == without_times(json.loads(expected_summary))


def without_times(summary: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in summary.items() if name not in ("elapsed_s", "fps", "stages_ms")}


def test_parquet(results: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    whole = merged(results, "parquet", tmp_path / "all.parquet")
    table, expected = (parquet.read_table(path) for path in (tmp_path / "all.parquet", whole))
    assert table.schema.equals(expected.schema)
    assert table.to_pylist() == expected.to_pylist()
    assert [track for track in table["track"].to_pylist() if track] == [1, 2, 3]


def test_existing_target_is_replaced(results: Path, tmp_path: Path) -> None:
    target = tmp_path / "all.csv"
    target.write_text("old\n" * 1000)
    whole = merged(results, "csv", target)
    assert target.read_bytes() == whole.read_bytes()


def test_incomplete_chunk_is_refused(results: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.jsonl"
    lines = (results / ".partial.1.jsonl").read_text().splitlines(keepends=True)
    cut.write_text("".join(lines[:-1]))
    with pytest.raises(ValueError, match=r"cut\.jsonl has no summary"):
        merge_chunks("jsonl", [cut], tmp_path / "all.jsonl")


def test_unwritable_target_is_an_error(results: Path, tmp_path: Path) -> None:
    with pytest.raises(edgeinfer.OutputError, match="cannot write"):
        merged(results, "csv", tmp_path / "missing" / "all.csv")
