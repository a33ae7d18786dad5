"""Readers of results: killed runs, appended and damaged files, hostile content, and files that are not results."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeinfer.errors import CapabilityError, SourceError
from edgeinfer.readers import jsonl as jsonl_module
from edgeinfer.report import builder as builder_module
from edgeinfer.report.recording import Recording, shares_of
from tools.result_files import COLUMNS, face, jsonl_lines, steady, write_csv, write_jsonl, write_parquet

Read = Callable[..., list[Recording]]
FRAMES = steady([[face("happy")], [face("sad")]])


def frame_line(number: object = 1, time_s: object = 0.1, faces: str | None = None, **face_values: str) -> str:
    """Return the line of a frame with one face, with some values replaced by other JSON texts."""
    values = {"track": "1", "box": "[1,2,30,40]", "label": '"happy"', "confidence": "0.5", **face_values}
    one = ",".join(f'"{name}":{value}' for name, value in values.items())
    return f'{{"type":"frame","frame":{number},"time_s":{time_s},"faces":{faces or f"[{{{one}}}]"}}}'


def test_killed_run_is_incomplete(tmp_path: Path, read: Read) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", FRAMES, summary=None)
    with path.open("a") as file:
        file.write('{"type":"frame","frame":2,"time_')
    (recording,) = read(path)
    assert (recording.status, recording.frames) == ("incomplete", 2)
    assert [remark.title for remark in recording.remarks] == ["incomplete run", "unreadable rows"]


def test_appended_jsonl_has_a_recording_per_run(tmp_path: Path, read: Read) -> None:
    lines = [*jsonl_lines(FRAMES, summary=None), *jsonl_lines(FRAMES[:1])]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(lines) + "\n")
    first, second = read(path)
    assert [(each.name, each.frames, each.status) for each in (first, second)] == [
        ("clip.mp4", 2, "incomplete"), ("clip.mp4 (2)", 1, "complete"),
    ]  # fmt: skip


@pytest.mark.parametrize("with_header", [True, False], ids=["joined files", "appended rows"])
def test_appended_csv_has_a_recording_per_run(tmp_path: Path, read: Read, with_header: bool) -> None:
    path = write_csv(tmp_path / "a.csv", FRAMES)
    text = path.read_text()
    path.write_text(text + (text if with_header else text.partition("\n")[2]))
    assert [(each.name, each.frames) for each in read(path)] == [("a.csv", 2), ("a.csv (2)", 2)]


def test_number_of_runs_is_limited(tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder_module, "MAX_RUNS", 2)
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(jsonl_lines(FRAMES)[:2] * 3))
    assert [each.frames for each in read(path)] == [1, 2]


def test_csv_with_unknown_columns_and_a_byte_order_mark(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "a.csv"
    row = "0,0.0,1,10,10,50,50,happy,0.9,-12.5,3.0,0.9"
    path.write_text("\ufeff" + ",".join([*COLUMNS[:9], "yaw", "pitch", "happy"]) + f"\n{row}\n", encoding="utf-8")
    (recording,) = read(path)
    assert (recording.faces, recording.labels) == (1, ["happy"])


@pytest.mark.parametrize(
    "row",
    [
        pytest.param("1,nan,1,1,1,9,9,happy,0.5", id="time is NaN"),
        pytest.param("1,inf,1,1,1,9,9,happy,0.5", id="time is infinite"),
        pytest.param("1,1e300,1,1,1,9,9,happy,0.5", id="huge time"),
        pytest.param("1,0.1,1,1,1,9,9,happy,NaN", id="confidence is NaN"),
        pytest.param("1,0.1,1,1,1,9,9,happy,1.5", id="confidence above 1"),
        pytest.param(f"{'9' * 5000},0.1,1,1,1,9,9,happy,1", id="huge frame number"),
        pytest.param("-1,0.1,1,1,1,9,9,happy,1", id="negative frame number"),
        pytest.param("1,0.1,1,1,1,0,9,happy,1", id="face without width"),
        pytest.param("1,0.1,x,1,1,9,9,happy,1", id="track is text"),
        pytest.param("1,0.1,,1,1,9,9,happy,1", id="no track"),
        pytest.param("1,0.1,1,1,1,9,9,,1", id="no label"),
        pytest.param("1,0.1,1", id="torn row"),
        pytest.param("1,0.1,1,1,1,9,9,happy,0.5,0.1,extra", id="too many values"),
        pytest.param('1,"' + "x" * 200_000, id="huge field"),
    ],
)
def test_invalid_csv_row_is_left_out(tmp_path: Path, read: Read, row: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(",".join(COLUMNS[:9]) + f"\n0,0.0,1,1,1,9,9,happy,0.5\n{row}\n")
    (recording,) = read(path)
    assert (recording.frames, recording.faces) == (1, 1)
    assert [remark.title for remark in recording.remarks if remark.title.startswith("unreadable")]


@pytest.mark.parametrize(
    ("line", "frames"),
    [
        pytest.param(frame_line(time_s="NaN"), 1, id="time is NaN"),
        pytest.param(frame_line(time_s="1e999"), 1, id="time is infinite"),
        pytest.param(frame_line("9" * 5000), 1, id="huge frame number"),
        pytest.param(frame_line(2**60), 1, id="large frame number"),
        pytest.param(frame_line("true"), 1, id="frame number is a truth value"),
        pytest.param(frame_line(faces="7"), 1, id="faces are a number"),
        pytest.param(frame_line(faces="[7]"), 2, id="face is a number"),
        pytest.param(frame_line(box="[1,2,3]"), 2, id="box of three"),
        pytest.param(frame_line(box="7"), 2, id="box is a number"),
        pytest.param(frame_line(label='["happy"]'), 2, id="label is a list"),
        pytest.param(frame_line(confidence='"1"'), 2, id="confidence is text"),
        pytest.param(frame_line(confidence="NaN"), 2, id="confidence is NaN"),
        pytest.param(frame_line(track="1e400"), 2, id="track is infinite"),
        pytest.param("[" * 100_000, 1, id="deep nesting"),
        pytest.param("7", 1, id="a number"),
        pytest.param("\0\0\0", 1, id="zero bytes"),
    ],
)
def test_invalid_jsonl_line_is_left_out(tmp_path: Path, read: Read, line: str, frames: int) -> None:
    lines = jsonl_lines(FRAMES[:1])
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([*lines[:2], line, lines[2]]) + "\n")
    (recording,) = read(path)
    assert (recording.frames, recording.faces, recording.status) == (frames, 1, "complete")
    assert [remark.title for remark in recording.remarks] == ["unreadable rows"]


def test_line_that_is_too_long_is_skipped(tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl_module, "LINE_BYTES", 1000)
    lines = jsonl_lines(FRAMES)
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([*lines[:2], '{"type":"frame","x":"' + "x" * 5000, lines[2], ""]))
    (recording,) = read(path)
    assert (recording.frames, recording.faces) == (2, 2)


def test_lines_of_other_types_are_ignored(tmp_path: Path, read: Read) -> None:
    lines = jsonl_lines(FRAMES)
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([lines[0], '{"type":"source","state":"live"}', '{"type":"new"}', "", *lines[1:]]))
    (recording,) = read(path)
    assert (recording.frames, recording.remarks) == (2, [])


MINUTE = '{"type":"minute","from_s":0.0,"to_s":60.0,"faces":2,"label_s":{}}'


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        pytest.param("", "lacks the columns", id="empty"),
        pytest.param("a,b\n1,2\n", "lacks the columns", id="other CSV"),
        pytest.param("from_s,to_s,faces,happy\n", "anonymous", id="anonymous CSV"),
        pytest.param(jsonl_lines([])[0] + f"\n{MINUTE}\n", "anonymous", id="anonymous JSONL"),
        pytest.param('{"a": 1}\n', "does not begin with a header", id="other JSON"),
        pytest.param('{"type":"frame"}\n', "does not begin with a header", id="JSONL without header"),
        pytest.param('{"type":"header","schema":2}\n', "its schema is 2", id="newer schema"),
        pytest.param('{"type":"hea', "does not begin with a header", id="torn header"),
        pytest.param("source,track,first_s\n", "lacks the columns", id="summary of a report"),
        pytest.param("PAR1 and more", "cannot be read as Parquet", id="damaged Parquet"),
        pytest.param("\x89PNG\r\n", "lacks the columns", id="picture"),
    ],
)
def test_file_that_is_not_a_result_is_named(tmp_path: Path, read: Read, content: str, cause: str) -> None:
    if content.startswith("PAR1"):
        pytest.importorskip("pyarrow")
    path = tmp_path / "strange.csv"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(SourceError, match=rf"strange\.csv is not a result of edgeinfer: .*{cause}"):
        read(path)


@pytest.mark.parametrize("content", ["a,b\n", '{"a": 1}\n', "\0\0\0 ftypisom"])
def test_other_file_is_refused_with_the_suffixes_of_results(tmp_path: Path, read: Read, content: str) -> None:
    path = tmp_path / "strange.dat"
    path.write_text(content)
    with pytest.raises(SourceError, match=r"strange\.dat is not .*: expected a \.jsonl, \.csv or \.parquet file"):
        read(path)
    assert len(read(write_jsonl(path, FRAMES))) == 1


def test_parquet_result(tmp_path: Path, read: Read) -> None:
    (recording,) = read(write_parquet(tmp_path / "a.parquet", ["a/x.mp4"] * 4, track=[1, None, 1, 1],
                                      label=["sad", None, "happy", "happy"]))  # fmt: skip
    assert (recording.name, recording.info.model, recording.status) == ("a/x.mp4", "tiny", "complete")
    assert (recording.frames, recording.frames_with_face, recording.lists_all_frames) == (4, 3, True)
    assert shares_of(recording.shares) == pytest.approx({"sad": 1 / 3, "happy": 2 / 3})


def test_parquet_result_takes_the_number_of_frames_from_its_summary(tmp_path: Path, read: Read) -> None:
    (recording,) = read(write_parquet(tmp_path / "a.parquet", ["a/x.mp4"] * 3))
    assert recording.frames == 9
    assert recording.coverage == pytest.approx(1 / 3)


def test_parquet_of_several_sources_has_a_recording_each(tmp_path: Path, read: Read) -> None:
    found = read(write_parquet(tmp_path / "a.parquet", ["x", "x", "y"], header=False))
    assert [(each.info.source, each.faces) for each in found] == [("x", 2), ("y", 1)]


def test_parquet_without_rows(tmp_path: Path, read: Read) -> None:
    (recording,) = read(write_parquet(tmp_path / "a.parquet", []))
    assert (recording.name, recording.status) == ("given.mp4", "no faces")


def test_parquet_with_other_columns_or_types_is_refused_or_left_out(tmp_path: Path, read: Read) -> None:
    (recording,) = read(write_parquet(tmp_path / "a.parquet", ["x"], header=False, time_s=["0.1"]))
    assert (recording.frames, recording.remarks[0].title) == (0, "unreadable rows")
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1]}), tmp_path / "b.parquet")
    with pytest.raises(SourceError, match="lacks the columns"):
        read(tmp_path / "b.parquet")


def test_parquet_needs_its_package(tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(CapabilityError, match=r"edgeinfer\[batch\]"):
        read(path)
