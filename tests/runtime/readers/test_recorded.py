"""Results of files as values: the same as those of a live run, also of killed runs, folders and damaged files."""

from __future__ import annotations

import dataclasses
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgeinfer
from edgeinfer import Box, CapabilityError, Emotion, Face, Frame, Pipeline, Pose, Result, SourceError
from edgeinfer import read_results as read_lazily
from edgeinfer.detection.whole_frame import WholeFrameDetector
from edgeinfer.expression.classifier import EmotionClassifier
from tools.result_files import COLUMNS, face, jsonl_lines, steady, write_batch_table, write_csv, write_jsonl

FRAMES = steady([[face("happy")], [], [face("sad", track=2)]])
HAPPY = Emotion("happy", 0.9, {"neutral": 0.1, "happy": 0.9})


def read_results(path: Path) -> list[Result]:
    """Return all results; a warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return list(read_lazily(path))


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_results_are_those_of_the_run(classifier: EmotionClassifier, clip: Path, tmp_path: Path, suffix: str) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    path, live = tmp_path / f"faces{suffix}", list[Result]()
    with edgeinfer.open_source(str(clip)) as source:
        sinks = [edgeinfer.open_sink(str(path))]
        pipeline = Pipeline(WholeFrameDetector(), classifier)
        edgeinfer.run(source, pipeline, sinks, max_frames=5, on_result=lambda _, result: live.append(result))
    found = read_results(path)
    expected = [result.to_dict() for result in live]
    if suffix == ".jsonl":
        assert expected == [json.loads(line) for line in path.read_text().splitlines()][1:-1]
    else:  # without the unsmoothed expressions
        for line in expected:
            line["faces"] = [{**each, "raw": each["probabilities"]} for each in line["faces"]]
    assert [result.to_dict() for result in found] == expected
    assert {result.source for result in found} == {str(path if suffix == ".csv" else clip)}
    assert [result.index for result in found] == [0, 1, 2, 3, 4]


def test_dictionary_with_a_frame_refers_to_the_source() -> None:
    result = Result((Face(3, Box(1, 2, 4, 4, pose=Pose(1.26, -2.0, 3.0)), HAPPY, HAPPY),), 9.0, index=0)
    frame = Frame(np.zeros((10, 10, 3), np.uint8), 7, 1.5, picture="caf\udce9.jpg", full_size_wh=(100, 50))
    line = result.to_dict(frame)
    assert (line["frame"], line["time_s"], line["picture"]) == (7, 1.5, "caf\\xe9.jpg")
    assert (line["faces"][0]["box"], line["faces"][0]["pose"]["roll"]) == ([10, 10, 40, 20], 1.3)
    assert json.loads(json.dumps(line)) == line
    assert result.to_dict()["faces"][0]["box"] == [1, 2, 4, 4]
    assert "frame" not in dataclasses.replace(result, index=None).to_dict()


def test_frames_are_read_one_at_a_time(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", FRAMES, summary=None)
    with path.open("a") as file:
        file.write('{"type":"minute"}\n')
    results = read_lazily(path)
    assert [next(results).index for _ in FRAMES] == [0, 1, 2]
    with pytest.raises(SourceError, match="anonymous counts"):
        next(results)


@pytest.mark.parametrize("write", [write_jsonl, write_csv])
def test_incomplete_last_line_of_a_killed_run_is_left_out(tmp_path: Path, write: Any) -> None:
    path = write(tmp_path / "faces", FRAMES)
    complete = read_results(path)
    lines = path.read_text().splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if "sad" in line and number)
    path.write_text("".join([*lines[:last], lines[last][:20]]))
    assert read_results(path) == complete[:-1]


def test_damaged_lines_are_left_out_with_a_warning(tmp_path: Path) -> None:
    lines = jsonl_lines(FRAMES)
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([*lines[:2], "[" * 100_000, "\0", *lines[2:], ""]))
    with pytest.warns(UserWarning, match=r"a\.jsonl: 2 lines could not be read"):
        assert [result.index for result in read_lazily(path)] == [0, 1, 2]


HOSTILE = [
    ({"probabilities": [1, 2]}, {}, None),
    ({"probabilities": {"happy": 0.5, "sad": "0.5", "fear": float("nan"), "angry": -1, "neutral": 1e300}},
     {"happy": 0.5}, None),
    ({"probabilities": {"happy": 1}, "raw": {}, "pose": {"roll": 1}}, {"happy": 1.0}, None),
    ({"probabilities": {"happy": 1}, "raw": 3, "pose": {"roll": 1, "yaw": 2, "pitch": float("inf")}},
     {"happy": 1.0}, None),
    ({"probabilities": {"happy": 1}, "pose": {"roll": 1, "yaw": 2, "pitch": 3}}, {"happy": 1.0}, Pose(1, 2, 3)),
]  # fmt: skip


@pytest.mark.parametrize(("values", "probabilities", "pose"), HOSTILE)
def test_invalid_further_values_of_a_face_are_left_out(
    tmp_path: Path, values: dict[str, Any], probabilities: dict[str, float], pose: Pose | None
) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [(0.0, [{**face("happy"), "raw": None, **values}])])
    (found,) = read_results(path)[0].faces
    assert (found.emotion.label, found.emotion.probabilities, found.pose) == ("happy", probabilities, pose)
    assert found.raw == found.emotion


def test_table_with_columns_of_other_programs(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    row = "0,0.0,1,10,10,50,50,happy,0.9,0.1,0.9,P07,,,\n"
    path.write_text(",".join([*COLUMNS[:9], "neutral", "happy", "person", "roll", "yaw", "pitch"]) + f"\n{row}")
    (found,) = read_results(path)[0].faces
    assert (found.emotion.probabilities, found.pose) == ({"neutral": 0.1, "happy": 0.9}, None)


def test_folder_of_a_batch_has_the_names_of_its_sources(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "b" / "2.jsonl", FRAMES[:1], source="/data/b/2.mp4")
    write_csv(tmp_path / "1.csv", FRAMES)
    write_csv(tmp_path / "b" / "2.csv", FRAMES)
    write_batch_table(tmp_path, ("1.mp4", "done"), ("b/2.mp4", "done"), ("3.mp4", "failed", "damaged"))
    assert [(result.source, result.index) for result in read_results(tmp_path)] == [
        ("1.mp4", 0), ("1.mp4", 2), ("b/2.mp4", 0),
    ]  # fmt: skip
    (tmp_path / "notes.csv").write_text("a,b\n")
    with pytest.warns(UserWarning, match=r"notes\.csv is not a result of edgeinfer: .*; the file was left out"):
        assert len(list(read_lazily(tmp_path))) == 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "faces.srt",
            b"1\n00:00:00,000 --> 00:00:01,000\n#1 happy\n\n",
            "subtitles cannot be read back; write a .jsonl",
        ),
        ("faces.vtt", b"WEBVTT\n\n", "subtitles cannot be read back"),
        ("a.csv", b"", "lacks the columns"),
        ("a.jsonl", b'{"type":"header","schema":2}\n', "its schema is 2"),
        ("a.jsonl", b"\xff\xfe\0{", "lacks the columns"),
    ],
)
def test_file_that_is_not_a_result_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceError, match=message):
        list(read_lazily(path))


def test_results_of_different_sources_with_one_name_are_all_read(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", FRAMES)
    write_jsonl(tmp_path / "a.jsonl", FRAMES[:1], source="p", pictures=["p/1.jpg"])
    assert {(result.source, result.picture) for result in read_results(tmp_path)} == {
        (str(tmp_path / "a.csv"), None), ("p", "p/1.jpg"),
    }  # fmt: skip


def test_missing_file_is_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no result at"):
        read_lazily(tmp_path / "none.csv")
    with pytest.raises(FileNotFoundError, match="no result in"):
        read_lazily(tmp_path)


def test_notebook_table_escapes_its_texts() -> None:
    strange = Emotion("<b>&", 0.5, {"<b>&": 0.5, "\ud800": 0.5})
    html = Result((Face(1, Box(1, 2, 3, 4), strange, strange),), 1.0, picture="<i>.jpg")._repr_html_()
    assert "&lt;b&gt;&amp;" in html
    assert "&lt;i&gt;.jpg" in html
    assert not any(text in html for text in ("<b>", "<i>", "\ud800"))
    assert "no faces" in Result((), 0.0)._repr_html_()


def test_table_of_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(CapabilityError, match="a DataFrame needs pandas; install it with: pip install pandas"):
        edgeinfer.to_pandas([])
    monkeypatch.undo()
    pytest.importorskip("pandas", reason="pandas is not installed")
    tall = Face(2, Box(1, 2, 3, 4, pose=Pose(1, 2, 3)), HAPPY, HAPPY)
    table = edgeinfer.to_pandas([Result((), 0.0, index=0), Result((tall, tall), 0.5, index=1, source="a")])
    assert list(table) == [
        "source", "frame", "time_s", "track", "x", "y", "w", "h", "label", "confidence", "neutral", "happy",
        "roll", "yaw", "pitch",
    ]  # fmt: skip
    assert table.iloc[1].to_list() == ["a", 1, 0.5, 2, 1, 2, 3, 4, "happy", 0.9, 0.1, 0.9, 1, 2, 3]
    assert list(edgeinfer.to_pandas([])) == [*COLUMNS[:9]]
