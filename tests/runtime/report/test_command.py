"""`edgeinfer report` on the command line: outputs, exit codes, pictures of faces."""

from __future__ import annotations

import base64
import csv
import json
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer.results import UNKNOWN
from tools.cli import edgeinfer, error_of
from tools.result_files import Faces, face, steady, write_batch_table, write_csv, write_jsonl

COLUMNS = "source,track,first_s,last_s,duration_s,dominant,mean_confidence,unknown_share"
FRAMES: list[Faces] = [
    [face("happy", 0.8)], [face("happy", 0.6)], [face("sad", 0.7), face(UNKNOWN, 0.3, track=2)],
    [face(UNKNOWN, 0.3, track=2)],
]  # fmt: skip


@pytest.fixture
def result(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "faces.jsonl", steady(FRAMES), source="clips/a.mp4")


def table(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_page_and_summary(tmp_path: Path, result: Path) -> None:
    pytest.importorskip("jinja2")
    page, summary = tmp_path / "report.html", tmp_path / "summary.csv"
    done = edgeinfer("report", result, "--out", page, "--csv", summary)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{page}: 1 recording\n{summary}: 2 rows\n"
    assert page.read_text().startswith("<!doctype html>")
    assert table(summary) == [
        COLUMNS.split(","),
        ["clips/a.mp4", "1", "0.0", "0.2", "0.2", "happy", "0.7", "0.0"],
        ["clips/a.mp4", "2", "0.2", "0.3", "0.1", UNKNOWN, "0.3", "1.0"],
    ]


def test_summary_alone_needs_no_template_package(tmp_path: Path, result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert edgeinfer("report", result, "--csv", tmp_path / "s.csv").returncode == 0
    assert len(table(tmp_path / "s.csv")) == 3
    assert "edgeinfer[report]" in error_of(edgeinfer("report", result, "--out", tmp_path / "r.html"), 3)


def test_summary_of_pictures_has_a_row_per_face(tmp_path: Path) -> None:
    faces: list[tuple[float, Faces]] = [(0, [face("happy", 0.9, 1), face(UNKNOWN, 0.3, 2)]), (1, [])]
    path = write_csv(tmp_path / "pictures.csv", faces, pictures=["p/1.jpg", "p/2.jpg"])
    assert edgeinfer("report", path, "--csv", tmp_path / "s.csv").returncode == 0
    assert table(tmp_path / "s.csv")[1:] == [
        ["p/1.jpg", "1", "", "", "", "happy", "0.9", "0.0"],
        ["p/1.jpg", "2", "", "", "", UNKNOWN, "0.3", "1.0"],
    ]


def test_text_that_is_not_unicode_is_escaped(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    result = write_jsonl(
        tmp_path / "a.jsonl", steady([[face("caf\udce9")]]), source="\ud800.mp4", model={"name": "\udcff"}
    )
    assert edgeinfer("report", result, "--out", tmp_path / "r.html", "--csv", tmp_path / "s.csv").returncode == 0
    assert table(tmp_path / "s.csv")[1][:6] == ["\ufffd.mp4", "1", "0.0", "0.0", "0.0", "caf\\xe9"]
    assert "caf\\xe9" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_folder_of_a_batch(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    folder = tmp_path / "out"
    write_csv(folder / "a" / "1.csv", steady(FRAMES))
    write_jsonl(folder / "b" / "1.jsonl", steady(FRAMES))
    (folder / "b" / "3.csv").write_text("damaged\n")
    write_batch_table(
        folder, ["a/1.mp4", "done"], ["b/1.mp4", "done"], ["b/2.mp4", "failed", "no frames"], ["b/3.mp4", "done"]
    )
    (folder / "notes.csv").write_text("not,a,result\n")
    page, summary = folder / "report.html", folder / "summary.csv"
    for _ in range(2):  # the summary of the first call is not a result
        done = edgeinfer("report", folder, "--out", page, "--csv", summary, "--group", r"^(\w)/")
        assert done.returncode == 0
        assert done.stdout.startswith(f"{page}: 2 recordings, 2 failed\n")
        assert "notes.csv" in done.stderr
    assert [row[0] for row in table(summary)[1:]] == ["a/1.mp4", "a/1.mp4", "b/1.mp4", "b/1.mp4"]
    text = page.read_text()
    for words in ("no frames", "b/3.csv is not a result", "bootstrap", '"groups":["a","b"]'):
        assert words in text


def test_results_of_two_sources_with_one_name_are_both_reported(tmp_path: Path) -> None:
    files = [write_csv(tmp_path / "a.csv", steady(FRAMES))]
    files.append(write_jsonl(tmp_path / "a.jsonl", steady(FRAMES), pictures=["1.jpg", "2.jpg", "3.jpg", "4.jpg"]))
    done = edgeinfer("report", *files, "--csv", tmp_path / "s.csv")
    assert (done.returncode, done.stderr) == (0, "")
    assert {row[0] for row in table(tmp_path / "s.csv")[1:]} == {str(files[0]), "1.jpg", "2.jpg", "3.jpg", "4.jpg"}


def test_named_result_that_is_left_out_is_named_and_not_overwritten(tmp_path: Path, result: Path) -> None:
    other = write_csv(tmp_path / "faces.csv", steady(FRAMES))
    done = edgeinfer("report", other, result, "--csv", tmp_path / "s.csv")
    assert done.stderr == f"edgeinfer: {other} was left out: {result} has the same source\n"
    assert (done.returncode, len(table(tmp_path / "s.csv"))) == (0, 3)
    assert "it would be overwritten" in error_of(edgeinfer("report", other, result, "--csv", other), 2)


def test_subtitles_of_a_batch_are_not_failures(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    for name in ("a", "b"):
        (tmp_path / f"{name}.srt").write_text("1\n")
    (tmp_path / "notes.csv").write_text("not,a,result\n")
    write_batch_table(tmp_path, ["a.mp4", "done"], ["b.mp4", "done"], ["c.mp4", "done"])
    page = tmp_path / "r.html"
    done = edgeinfer("report", tmp_path, "--out", page)
    assert (done.returncode, done.stdout) == (0, f"{page}: 0 recordings, 1 failed\n")
    assert "no result of a.mp4, b.mp4: subtitles cannot be read back" in done.stderr
    assert '["a.mp4","not readable"' in page.read_text()
    assert "Sources that cannot be read" in page.read_text()
    write_batch_table(tmp_path, ["a.mp4", "done"], ["b.mp4", "done"])
    assert "notes.csv" in error_of(edgeinfer("report", tmp_path, "--out", page), 4)
    (tmp_path / "notes.csv").unlink()
    assert "subtitles cannot be read back" in error_of(edgeinfer("report", tmp_path, "--out", page), 4)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param([], 2, "set --out to a file", id="no output"),
        pytest.param(["--out", "r.txt"], 2, "invalid --out r.txt", id="suffix of the page"),
        pytest.param(["--csv", "s.html"], 2, "invalid --csv s.html", id="suffix of the summary"),
        pytest.param(["--out", "r.html", "--group", "("], 2, "invalid --group", id="group"),
        pytest.param(["--csv", "missing/s.csv"], 6, "does not exist", id="folder of the output"),
        pytest.param(["--csv", "faces.csv"], 2, "it would be overwritten", id="output is the result"),
        pytest.param(["--csv", "link.csv"], 2, "it would be overwritten", id="output is a link to the result"),
        pytest.param(["missing.csv", "--csv", "s.csv"], 4, "no result at missing.csv", id="missing result"),
        pytest.param(["text.csv", "--csv", "s.csv"], 4, "text.csv is not a result", id="not a result"),
        pytest.param(["text.mp4", "--csv", "s.csv"], 4, "expected a .jsonl, .csv or .parquet file", id="a recording"),
        pytest.param(["--csv", "s.csv", "--sources", "none"], 4, "invalid --sources none", id="folder of the sources"),
        pytest.param(["--csv", "s.csv", "--sources", "text.csv"], 4, "an existing folder", id="sources are a file"),
    ],
)
def test_error_is_one_sentence_and_leaves_no_output(
    tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    pytest.importorskip("jinja2")
    result = write_csv(tmp_path / "faces.csv", steady(FRAMES))
    (tmp_path / "link.csv").symlink_to("faces.csv")
    for name in ("text.csv", "text.mp4"):
        (tmp_path / name).write_text("text\n")
    before = result.read_text()
    assert words in error_of(edgeinfer("report", "faces.csv", *arguments, cwd=tmp_path), code)
    assert result.read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces.csv", "link.csv", "text.csv", "text.mp4"]


def test_list_of_the_batch_is_not_overwritten(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", steady(FRAMES))
    path = write_batch_table(tmp_path, ["a.mp4", "done"])
    assert "it would be overwritten" in error_of(edgeinfer("report", tmp_path, "--csv", path), 2)


def test_folder_with_nothing_but_other_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.csv").write_text("a,b\n")
    assert "notes.csv" in error_of(edgeinfer("report", tmp_path, "--csv", tmp_path / "s.csv"), 4)
    assert not (tmp_path / "s.csv").exists()


def test_full_disk_keeps_the_existing_summary(tmp_path: Path, result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = tmp_path / "s.csv"
    summary.write_text("earlier\n")
    (tmp_path / ".partial.s.csv").symlink_to("/dev/full")
    assert "cannot write" in error_of(edgeinfer("report", result, "--csv", summary), 6)
    assert summary.read_text() == "earlier\n"


def test_unreadable_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").symlink_to("/proc/self/mem")  # reading its beginning fails
    assert "a.csv cannot be read" in error_of(edgeinfer("report", tmp_path, "--csv", tmp_path / "s.csv"), 4)


def images(page: str) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    found = re.findall(r'src="data:image/jpeg;base64,([^"]*)"', page)
    return [cv2.imdecode(np.frombuffer(base64.b64decode(each), np.uint8), cv2.IMREAD_COLOR) for each in found]  # type: ignore[misc]


def test_thumbnails_are_cropped_from_the_sources(
    tmp_path: Path, clip: Path, face_picture: Path, tiny_model: Path
) -> None:
    pytest.importorskip("jinja2")
    video, pictures, page = tmp_path / "v.jsonl", tmp_path / "p.csv", tmp_path / "r.html"
    for source, out in ((clip, video), (face_picture, pictures)):
        assert edgeinfer("run", source, "--model", tiny_model, "--out", out, "--quiet").returncode == 0
    assert edgeinfer("report", video, pictures, "--out", page).returncode == 0
    assert images(page.read_text()) == []
    done = edgeinfer("report", video, pictures, "--out", page, "--thumbnails")
    assert (done.returncode, done.stderr) == (0, "")
    found = images(page.read_text())
    assert [each.shape for each in found] == [(88, 88, 3)] * 2
    assert all(each.std() > 20 for each in found)


def test_missing_or_other_source_is_a_sentence(tmp_path: Path, clip: Path) -> None:
    pytest.importorskip("jinja2")
    late = [(5 + time_s, faces) for time_s, faces in steady(FRAMES)]
    result = write_jsonl(tmp_path / "faces.jsonl", late, source="clips/a.mp4")
    page = tmp_path / "r.html"
    done = edgeinfer("report", result, "--out", page, "--thumbnails")
    assert done.returncode == 0
    assert "No pictures of faces from clips/a.mp4" in done.stderr
    assert "No pictures of faces from clips/a.mp4" in page.read_text()
    (tmp_path / "a.mp4").write_bytes(clip.read_bytes())  # its frames have other times
    done = edgeinfer("report", result, "--out", page, "--thumbnails", "--sources", tmp_path)
    assert "has other frames" in done.stderr
    assert images(page.read_text()) == []


def test_name_in_a_result_is_not_opened_as_an_address(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    lines = write_jsonl(tmp_path / "a.jsonl", steady(FRAMES), source="http://127.0.0.1:9/x.mp4")
    done = edgeinfer("report", lines, "--out", tmp_path / "r.html", "--thumbnails")
    assert done.returncode == 0
    assert "No pictures of faces" in done.stderr


def test_results_of_a_run_in_all_formats_agree(tmp_path: Path, clip: Path, tiny_model: Path) -> None:
    outs = [tmp_path / "a.jsonl", tmp_path / "b.csv"]
    done = edgeinfer("run", clip, "--model", tiny_model, "--out", outs[0], "--out", outs[1], "--quiet")
    assert done.returncode == 0
    rows = []
    for out in outs:
        assert edgeinfer("report", out, "--csv", tmp_path / "s.csv").returncode == 0
        rows.append([row[1:] for row in table(tmp_path / "s.csv")[1:]])
    assert rows[0] == rows[1]
    frames = [json.loads(line) for line in outs[0].read_text().splitlines() if '"type":"frame"' in line]
    times = [frame["time_s"] for frame in frames if frame["faces"]]
    assert [float(value) for value in rows[0][0][1:3]] == [times[0], times[-1]]
