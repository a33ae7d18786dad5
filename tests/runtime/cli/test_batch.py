from __future__ import annotations

import csv
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgeinfer.batch import chunks, local_pool, units
from edgeinfer.system.portable import try_lock
from tools.batch_pool import InProcessPool
from tools.cli import Completed, edgeinfer, error_of
from tools.patience import PATIENCE, until
from tools.programs import running

FAST = ("--detector", "none", "--max-frames", "3")


@pytest.fixture
def folder(tmp_path: Path, clip: Path, face_picture: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working folder with a clip, pictures, and a file that is neither; batches are processed in this process."""
    for name, source in {"a/07.mp4": clip, "photos/1.jpg": face_picture, "photos/2.jpg": face_picture}.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, tmp_path / "in" / name)
    (tmp_path / "in/notes.txt").write_text("text")
    monkeypatch.setattr(local_pool, "LocalPool", InProcessPool)
    return tmp_path


def batch(folder: Path, *arguments: str, quiet: bool = True) -> Completed:
    return edgeinfer("batch", *arguments, *FAST, *(["--quiet"] if quiet else []), cwd=folder)


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("[!.]*") if path.is_file())


def statuses(folder: Path) -> dict[str, str]:
    with (folder / "batch.csv").open(encoding="utf-8", newline="") as file:
        return {row["source"]: row["status"] for row in csv.DictReader(file)}


def test_results_are_those_of_run(folder: Path) -> None:
    done = batch(folder, "in", "--out", "out", "--format", "csv", "--format", "jsonl", "--format", "csv")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "edgeinfer: skipped 1 file that is neither a video nor a picture: in/notes.txt\n"
    assert statuses(folder / "out") == {"a/07.mp4": "done", "photos/pictures": "done"}
    results = [f"{name}.{suffix}" for name in ("a/07", "photos/pictures") for suffix in ("csv", "jsonl")]
    assert [name for name in files_below(folder / "out") if not name.startswith(".")] == [*results[:2], "batch.csv",
                                                                                          *results[2:]]  # fmt: skip
    for source, name in (("in/a/07.mp4", "a/07.csv"), ("in/photos", "photos/pictures.csv")):
        edgeinfer("run", source, *FAST, "--quiet", "--out", "run.csv", cwd=folder)
        assert (folder / "out" / name).read_bytes() == (folder / "run.csv").read_bytes()


@pytest.mark.parametrize("chunk", [1, 500], ids=["chunks", "whole"])
def test_videos_have_subtitles(folder: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    for module in (chunks, units):
        monkeypatch.setattr(module, "CHUNK_PICTURES", chunk)
    call = ("batch", "in", "--out", "out", "--format", "srt", "--format", "csv", "--format", "vtt")
    options = ("--detector", "none", "--quiet")
    listed = edgeinfer(*call, *options, "--dry-run", cwd=folder).stdout.splitlines()
    assert "photos/pictures -> out/photos/pictures.csv" in listed
    assert edgeinfer(*call, *options, cwd=folder).returncode == 0
    names = ["a/07.csv", "a/07.srt", "a/07.vtt", "batch.csv", "photos/pictures.csv"]
    assert [name for name in files_below(folder / "out") if not name.startswith(".")] == names
    assert " --> 00:00:01,000\n#1 happy\n\n" in (folder / "out/a/07.srt").read_text()
    done = edgeinfer(*call, "--detector", "none", cwd=folder)
    assert "2 unchanged" in done.stdout


def test_summary_and_workers_are_printed_unless_quiet(folder: Path) -> None:
    done = batch(folder, "in/a", "--out", "out", "--workers", "2", quiet=False)
    assert done.returncode == 0
    assert "sources" in done.stdout
    assert "edgeinfer: 2 workers in the test process\n" in done.stderr


def test_second_call_keeps_results_and_names(folder: Path, clip: Path) -> None:
    batch(folder, "in/a", "--out", "out")
    before = (folder / "out/07.csv").stat().st_mtime_ns
    shutil.copy(clip, folder / "in/a/07.mov")
    assert batch(folder, "in/a", "--out", "out").returncode == 0
    assert (folder / "out/07.csv").stat().st_mtime_ns == before
    assert statuses(folder / "out") == {"07.mov": "done", "07.mp4": "done"}
    assert (folder / "out/07.mov.csv").exists()
    listed = batch(folder, "in/a", "--out", "out", "--dry-run").stdout.splitlines()
    assert listed[:2] == ["07.mov -> out/07.mov.csv", "07.mp4 -> out/07.csv"]


def test_failed_source_is_a_row_and_exits_with_8(folder: Path) -> None:
    (folder / "in/a/bad.mp4").write_bytes(b"no video")
    done = batch(folder, "in/a", "missing.mp4", "--out", "out")
    assert (done.returncode, done.stdout) == (8, "")
    assert statuses(folder / "out") == {"07.mp4": "done", "bad.mp4": "failed", "missing.mp4": "failed"}
    assert not (folder / "out/bad.csv").exists()


def test_missing_package_for_h264_is_reported_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr("edgeinfer.outputs.video._log_once", lambda _remark: None)  # discarded in a process of its own
    done = batch(folder, "in/a", "in/photos", "--out", "out", "--annotate-videos")
    assert done.returncode == 0
    assert done.stderr == (
        "edgeinfer: annotated videos are MPEG-4 Part 2, which browsers do not play; H.264 needs PyAV; install it with: "
        "pip install 'edgeinfer[video]'\n"
    )


def test_annotated_copies_are_in_the_layout_of_the_sources(folder: Path) -> None:
    assert batch(folder, "in/a", "--out", "out", "--annotate-videos").returncode == 0
    assert [name for name in files_below(folder / "out") if not name.startswith(".")] == [
        "07.csv", "annotated/07.mp4", "batch.csv",
    ]  # fmt: skip


def test_dry_run_lists_results_and_writes_nothing(folder: Path) -> None:
    done = batch(folder, "in", "missing.mp4", "--out", "out", "--format", "jsonl", "--format", "csv", "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "a/07.mp4 -> out/a/07.jsonl, out/a/07.csv",
        "missing.mp4 -> out/missing.jsonl, out/missing.csv",
        "photos/pictures -> out/photos/pictures.jsonl, out/photos/pictures.csv",
        "skipped: in/notes.txt",
        "3 sources, 1 file skipped",
    ]
    assert not (folder / "out").exists()


def test_dry_run_of_all_shards_lists_each_source_once(folder: Path) -> None:
    listed = []
    for shard in ("1/2", "2/2"):
        lines = batch(folder, "in", "--per-picture", "--out", "out", "--shard", shard, "--dry-run").stdout.splitlines()
        listed += [line for line in lines if "->" in line]
    assert sorted(listed) == [
        "a/07.mp4 -> out/a/07.csv", "photos/1.jpg -> out/photos/1.csv", "photos/2.jpg -> out/photos/2.csv",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["--out", "out"], 2, "no source given", id="no-source"),
        pytest.param(["in"], 2, "--out is required", id="no-out"),
        pytest.param(["in", "--out", "in"], 2, "the folder of the results, --out, is the source folder in", id="same"),
        pytest.param(["rtsp://me:secret@camera", "--out", "out"], 2, "rtsp://camera is not a file", id="stream"),
        pytest.param(["in", "--out", "out", "--shard", "3/2"], 2, "invalid shard", id="shard"),
        pytest.param(["in", "--out", "out", "--workers", "0"], 2, "invalid number of workers", id="workers"),
        pytest.param(["missing/*.mp4", "--out", "out"], 4, "no video or picture at missing/*.mp4", id="no-match"),
        pytest.param(["in/notes.txt", "--out", "out"], 4, "1 other file was found", id="skipped-only"),
        pytest.param(["@missing.txt", "--out", "out"], 4, "no list at missing.txt", id="no-list"),
        pytest.param(["in", "--out", "out", "--model", "missing"], 5, "no model at missing", id="no-model"),
        pytest.param(["in", "--out", "x" * 300], 6, "too long", id="long-out"),
        pytest.param(["in", "--out", "out", "--format", "parquet"], 3, "edgeinfer[batch]", id="no-pyarrow"),
        pytest.param(
            ["in", "--out", "out", "--format", "srt"], 2, "for photos/pictures add --format csv or jsonl", id="no-video"
        ),
        pytest.param(["in", "--out", "out", "--ray", "local"], 3, "edgeinfer[ray]", id="no-ray"),
    ],
)
def test_invalid_call_is_refused_before_anything_is_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, message: str
) -> None:
    for package in ("pyarrow", "ray"):
        monkeypatch.setitem(sys.modules, package, None)
    assert message in error_of(batch(folder, *arguments), code)
    assert not (folder / "out").exists()


@pytest.mark.parametrize("option", [["--format", "xml"], ["--rotate", "45"], ["--no-such-option"]])
def test_invalid_option_exits_with_2(folder: Path, option: list[str]) -> None:
    done = batch(folder, "in", "--out", "out", *option)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_refused_model_exits_with_5(folder: Path) -> None:
    (folder / "bad.onnx").write_bytes(b"no model")
    error = error_of(batch(folder, "in/a", "--out", "out", "--model", "bad.onnx"), 5)
    assert "bad.onnx" in error


def test_output_that_is_a_file_or_in_use_exits_with_6(folder: Path) -> None:
    (folder / "file").write_text("text")
    assert "file" in error_of(batch(folder, "in/a", "--out", "file"), 6)
    batch(folder, "in/a", "--out", "out")
    with (folder / "out/.edgeinfer/lock").open("rb+") as lock:
        assert try_lock(lock.fileno())
        assert "out" in error_of(batch(folder, "in/a", "--out", "out"), 6)


def test_sources_can_be_listed_on_stdin(folder: Path) -> None:
    command = [sys.executable, "-m", "edgeinfer", "batch", "-", "--out", "out", "--dry-run"]
    done = subprocess.run(
        command, input="in/a/07.mp4\r\n\r\nin/photos\r\n", cwd=folder, capture_output=True, text=True, check=True,
        timeout=60 * PATIENCE,
    )  # fmt: skip
    assert done.stdout.splitlines()[:2] == [
        "a/07.mp4 -> out/a/07.csv", "photos/pictures -> out/photos/pictures.csv",
    ]  # fmt: skip


def test_control_characters_in_names_are_not_printed(folder: Path) -> None:
    name = "x\n\x1b[31m\udce9.mp4"
    (folder / "in/a/07.mp4").rename(folder / "in/a" / name)
    done = batch(folder, "in/a", "--out", "out", "--dry-run")
    assert done.stdout.splitlines()[0] == r"x  [31m\xe9.mp4 -> out/x  [31m\xe9.csv"
    assert batch(folder, "in/a", "--out", "out").returncode == 0
    assert (folder / "out" / name.replace(".mp4", ".csv")).exists()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_keeps_what_is_done(tmp_path: Path, clip: Path, number: signal.Signals, code: int) -> None:
    for index in range(40):
        (tmp_path / f"{index}.mp4").symlink_to(clip)
        shutil.copy(clip, tmp_path / f"{index}-copy.mp4")
    command = [
        sys.executable,
        "-m",
        "edgeinfer",
        "batch",
        str(tmp_path),
        "--out",
        str(tmp_path / "out"),
        "--workers",
        "1",
    ]
    with running(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        until(lambda: (tmp_path / "out/batch.csv").exists() and statuses(tmp_path / "out"))
        started_s = time.monotonic()
        process.send_signal(number)
        assert process.wait(30 * PATIENCE) == code
        assert time.monotonic() - started_s < 2 * PATIENCE + 3, "slower than the limit and a loaded machine"
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    rows = statuses(tmp_path / "out")
    assert 1 <= len(rows) < 41
    assert set(rows.values()) == {"done"}
