"""Parquet sink and the merging of Parquet files."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer import (
    Box,
    CapabilityError,
    CsvSink,
    EmotionClassifier,
    OutputError,
    Pipeline,
    UsageError,
    open_sink,
    run,
)
from edgeinfer.outputs import parquet_file
from edgeinfer.outputs.parquet import HEADER_KEY, SUMMARY_KEY, ParquetSink, merge_parquet, read_metadata
from edgeinfer.outputs.rotation import Rotation
from edgeinfer.results import Frame
from edgeinfer.sources.pictures import PictureSource
from tools.cli import edgeinfer, error_of
from tools.fakes import FakeDetector, FakeSource

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

FRAMES = [np.full((60, 80, 3), grey, np.uint8) for grey in (0, 0, 250)]
FACES = [Box(10, 10, 20, 20), Box(50, 30, 20, 20)]


@pytest.fixture
def pipeline(classifier: EmotionClassifier) -> Pipeline:
    return Pipeline(FakeDetector(FACES), classifier)


def rows(path: Path) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return result


def write(
    path: Path,
    pipeline: Pipeline,
    frames: Sequence[Any] = FRAMES,
    *,
    source: str = "a/x.mp4",
    empty_frames: bool = False,
) -> None:
    run(FakeSource(frames), pipeline, [ParquetSink(str(path), source, empty_frames=empty_frames)])


def write_pictures(path: Path, folder: Path, face_picture: Path, pipeline: Pipeline) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "face.jpg").write_bytes(face_picture.read_bytes())
    with PictureSource([str(folder / "face.jpg")], name=str(folder)) as source:
        run(source, pipeline, [ParquetSink(str(path), "photos/pictures")])


def test_rows_equal_those_of_csv(tmp_path: Path, pipeline: Pipeline) -> None:
    path = tmp_path / "x.parquet"
    run(FakeSource(FRAMES), pipeline, [ParquetSink(str(path), "a/x.mp4"), CsvSink(str(tmp_path / "x.csv"))])
    written = rows(path)
    assert {row.pop("source") for row in written} == {"a/x.mp4"}
    assert {row.pop("picture") for row in written} == {None}
    expected = list(csv.DictReader((tmp_path / "x.csv").read_text().splitlines()))
    assert [{name: str(value) for name, value in row.items()} for row in written] == expected
    assert len(expected) == 6


def test_all_files_have_the_same_schema(tmp_path: Path, pipeline: Pipeline, face_picture: Path) -> None:
    write(tmp_path / "video.parquet", pipeline)
    write(tmp_path / "none.parquet", Pipeline(FakeDetector([]), pipeline.classifier))
    write(tmp_path / "empty.parquet", Pipeline(FakeDetector([]), pipeline.classifier), empty_frames=True)
    write_pictures(tmp_path / "pictures.parquet", tmp_path / "photos", face_picture, pipeline)
    schemas = [pq.read_schema(path).remove_metadata() for path in sorted(tmp_path.glob("*.parquet"))]
    assert len(schemas) == 4
    assert all(schema == schemas[0] for schema in schemas)
    columns = ["source", "picture", "frame", "time_s", "track", "x", "y", "w", "h", "label", "confidence"]
    assert schemas[0].names == [*columns, *pipeline.classifier.labels]
    assert [field.name for field in schemas[0] if not field.nullable] == ["source", "frame", "time_s"]
    assert pq.read_metadata(tmp_path / "none.parquet").num_rows == 0


def test_folder_of_videos_and_pictures_is_one_data_set(tmp_path: Path, pipeline: Pipeline, face_picture: Path) -> None:
    import pyarrow.dataset as ds

    (tmp_path / "a").mkdir()
    (tmp_path / ".edgeinfer").mkdir()
    write(tmp_path / ".edgeinfer" / "chunk.parquet", pipeline)
    write(tmp_path / "a" / "x.parquet", pipeline)
    write_pictures(tmp_path / "pictures.parquet", tmp_path / "photos", face_picture, pipeline)
    for name in ("batch.csv", "a/x.csv", "a/x.jsonl"):
        (tmp_path / name).write_text("a,b\n1,2\n")
    (tmp_path / "photos" / "face.jpg").unlink()
    data = ds.dataset(sorted(tmp_path.rglob("[!.]*.parquet")), format="parquet").to_table()
    assert {(row["source"], row["picture"]) for row in data.to_pylist()} >= {
        ("a/x.mp4", None),
        ("photos/pictures", str(tmp_path / "photos" / "face.jpg")),
    }
    found = ds.dataset(tmp_path, format="parquet", exclude_invalid_files=True).to_table()
    assert found.num_rows == 6 + 2


def test_empty_frames_have_rows_without_a_face(tmp_path: Path, classifier: EmotionClassifier) -> None:
    detector = FakeDetector([FACES[0]], [])
    write(tmp_path / "x.parquet", Pipeline(detector, classifier, track=False), FRAMES[:2], empty_frames=True)
    face, empty = rows(tmp_path / "x.parquet")
    assert (face["frame"], face["label"]) == (0, "neutral")
    assert {name: value for name, value in empty.items() if value is not None} == {
        "source": "a/x.mp4",
        "frame": 1,
        "time_s": 0.0333,
    }


def test_metadata_hold_header_and_summary(tmp_path: Path, pipeline: Pipeline) -> None:
    write(tmp_path / "x.parquet", pipeline)
    metadata = read_metadata(tmp_path / "x.parquet")
    assert (metadata[HEADER_KEY]["schema"], metadata[HEADER_KEY]["model"]["name"]) == (1, "tiny")
    assert len(metadata[HEADER_KEY]["model"]["sha256"]) == 64
    assert (metadata[SUMMARY_KEY]["frames"], metadata[SUMMARY_KEY]["faces"]) == (3, 6)
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(OutputError, match="not a result of edgeinfer"):
        read_metadata(tmp_path / "other.parquet")


def test_row_groups_are_bounded_and_compressed(
    tmp_path: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeinfer.outputs.parquet.ROW_GROUP_ROWS", 4)
    write(tmp_path / "x.parquet", pipeline, FRAMES * 3)
    metadata = pq.read_metadata(tmp_path / "x.parquet")
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [4, 4, 4, 4, 2]
    assert {metadata.row_group(0).column(number).compression for number in range(metadata.num_columns)} == {"ZSTD"}


def test_merged_chunks_equal_one_run(tmp_path: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "ROW_GROUP_ROWS", 5)
    monkeypatch.setattr("edgeinfer.outputs.parquet.ROW_GROUP_ROWS", 5)
    chunks = [tmp_path / f"{number}.parquet" for number in range(3)]
    for number, chunk in enumerate(chunks):
        with ParquetSink(str(chunk), "photos/pictures") as sink:
            relay = _Relay(sink, number * 3)
            run(FakeSource(FRAMES if number != 1 else FRAMES[:1]), _untracked(pipeline), [relay])
    merge_parquet(chunks, tmp_path / "all.parquet")
    merged = rows(tmp_path / "all.parquet")
    assert [row["frame"] for row in merged] == [0, 0, 1, 1, 2, 2, 3, 3, 6, 6, 7, 7, 8, 8]
    assert [row["track"] for row in merged] == list(range(1, 15))
    metadata = read_metadata(tmp_path / "all.parquet")
    assert metadata[HEADER_KEY] == read_metadata(chunks[0])[HEADER_KEY]
    assert (metadata[SUMMARY_KEY]["frames"], metadata[SUMMARY_KEY]["faces"]) == (7, 14)
    assert pq.read_schema(tmp_path / "all.parquet").remove_metadata() == pq.read_schema(chunks[0]).remove_metadata()


def _untracked(pipeline: Pipeline) -> Pipeline:
    return Pipeline(FakeDetector(FACES), pipeline.classifier, track=False)


class _Relay:
    """Sink that passes frames with another index to an open sink."""

    def __init__(self, sink: ParquetSink, offset: int) -> None:
        self._sink, self._offset = sink, offset
        self.start = sink.start

    def write(self, frame: Frame, result: Any) -> None:
        self._sink.write(Frame(frame.image, frame.index + self._offset, frame.timestamp_s), result)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def test_damaged_chunk_leaves_no_merged_file(tmp_path: Path, pipeline: Pipeline) -> None:
    write(tmp_path / "a.parquet", pipeline)
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-20])
    with pytest.raises(OutputError, match=r"cannot read .*b\.parquet"):
        merge_parquet([tmp_path / "a.parquet", tmp_path / "b.parquet"], tmp_path / "all.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.parquet", "b.parquet"]


def test_failed_run_keeps_its_frames(tmp_path: Path, pipeline: Pipeline) -> None:
    source = FakeSource(FRAMES, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run(source, pipeline, [ParquetSink(str(tmp_path / "x.parquet"))])
    assert [row["source"] for row in rows(tmp_path / "x.parquet")] == ["fake"] * 6


def test_run_without_frames_leaves_an_existing_file(tmp_path: Path, pipeline: Pipeline) -> None:
    write(tmp_path / "x.parquet", pipeline)
    with pytest.raises(OSError, match="no frames"):
        run(FakeSource([], error=OSError("no frames")), pipeline, [ParquetSink(str(tmp_path / "x.parquet"))])
    assert len(rows(tmp_path / "x.parquet")) == 6
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


def test_unfinished_file_is_not_found_by_its_suffix(tmp_path: Path, pipeline: Pipeline) -> None:
    with ParquetSink(str(tmp_path / "x.parquet")) as sink:
        assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
        run(FakeSource(FRAMES), pipeline, [_Relay(sink, 0)])
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


def test_second_run_on_the_same_file_is_refused(tmp_path: Path, pipeline: Pipeline) -> None:
    path = tmp_path / "x.parquet"
    with ParquetSink(str(path)) as first:
        with pytest.raises(OutputError, match="another run is writing"), ParquetSink(str(path)):
            pass
        run(FakeSource(FRAMES), pipeline, [_Relay(first, 0)])
    assert len(rows(path)) == 6


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_full_disk_is_an_output_error(pipeline: Pipeline) -> None:
    with pytest.raises(OutputError, match="No space left"):
        run(FakeSource(FRAMES), pipeline, [ParquetSink("/dev/full")])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        pytest.param({"append": True}, "`append`", id="append"),
        pytest.param({"rotation": Rotation(1000)}, "`split_size` and `split_every`", id="rotation"),
        pytest.param({"anonymous": True}, "only .jsonl and .csv", id="anonymous"),
    ],
)
def test_options_of_text_files_are_refused(tmp_path: Path, options: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        open_sink(str(tmp_path / "x.parquet"), **options)
    assert list(tmp_path.iterdir()) == []


def test_existing_file_is_kept_on_request(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("old")
    with pytest.raises(OutputError, match="exists already"):
        open_sink(str(tmp_path / "x.parquet"), no_overwrite=True)
    assert (tmp_path / "x.parquet").read_text() == "old"


def test_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(CapabilityError, match=r"pip install 'edgeinfer\[batch\]'") as error:
        ParquetSink(str(tmp_path / "x.parquet"))
    assert error.value.exit_code == 3


def test_command_writes_parquet(tmp_path: Path, tiny_model: Path, clip: Path) -> None:
    path = tmp_path / "x.parquet"
    done = edgeinfer("run", clip, "--model", tiny_model, "--out", path, "--max-frames", "3")
    assert done.returncode == 0, done.stderr
    assert f"{path} (3 rows)" in done.stdout
    assert [(row["source"], row["frame"]) for row in rows(path)] == [(str(clip), number) for number in range(3)]
    refused = error_of(edgeinfer("run", clip, "--model", tiny_model, "--out", path, "--append"), 2)
    assert "excludes --append" in refused
