from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tools.cli import edgeinfer, error_of
from tools.programs import require_program

ROOT = Path(__file__).parents[3]


@pytest.fixture
def photos(tmp_path: Path, face_picture: Path) -> Path:
    """Folder with three pictures, a damaged one and two other files."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("photo1.jpg", "photo10.jpg", "photo2.JPG"):
        shutil.copy(face_picture, folder / name)
    (folder / "photo3.jpg").write_bytes(face_picture.read_bytes()[:300])
    (folder / "photo4.heic").write_bytes(b"x")
    (folder / "\x1b[2J.txt").write_bytes(b"x")
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_file_of_a_folder_is_read_or_named(photos: Path) -> None:
    done = edgeinfer("run", "photos", "--out", "a.csv", "--out", "a.jsonl", cwd=photos.parent)
    assert done.returncode == 0
    assert "3 pictures read, 3 skipped\n" in done.stdout
    others, unreadable = done.stderr.splitlines()
    assert others == "edgeinfer: warning: photos: skipped 2 of 6 files, without a picture suffix:  [2J.txt, photo4.heic"
    assert unreadable.startswith(
        "edgeinfer: warning: photos: skipped 1 of 4 pictures: photos/photo3.jpg is not a readable"
    )
    expected = [(0, "photos/photo1.jpg"), (1, "photos/photo2.JPG"), (3, "photos/photo10.jpg")]
    table = rows(photos.parent / "a.csv")
    assert next(iter(table[0])) == "picture"
    assert [(int(row["frame"]), row["picture"]) for row in table] == expected
    lines = [json.loads(line) for line in (photos.parent / "a.jsonl").read_text().splitlines()]
    assert [(line["frame"], line["picture"]) for line in lines[1:-1]] == expected
    assert (lines[-1]["frames"], lines[-1]["skipped"]) == (3, 3)


def test_quiet_hides_the_summary_but_not_warnings(photos: Path) -> None:
    done = edgeinfer("run", photos / "*.jpg", "--quiet")
    assert done.stdout == ""
    assert "skipped 1 of 3 pictures" in done.stderr


def test_pictures_of_an_unquoted_glob_are_read(photos: Path) -> None:
    pictures = sorted(path.name for path in photos.glob("*1*.jpg"))
    done = edgeinfer("run", *pictures, "photo2.JPG", "--out", "a.csv", cwd=photos)
    assert done.returncode == 0
    assert [row["picture"] for row in rows(photos / "a.csv")] == ["photo1.jpg", "photo2.JPG", "photo10.jpg"]
    message = error_of(edgeinfer("run", *sorted(path.name for path in photos.iterdir()), cwd=photos), 2)
    assert "one source at a time" in message
    assert "no picture at missing.jpg" in error_of(edgeinfer("run", "photo1.jpg", "missing.jpg", cwd=photos), 4)


def test_videos_have_no_picture_column(clip: Path, tmp_path: Path) -> None:
    edgeinfer("run", clip, "--max-frames", "2", "--out", tmp_path / "a.csv", "--out", tmp_path / "a.jsonl")
    assert "picture" not in (tmp_path / "a.csv").read_text()
    assert "picture" not in (tmp_path / "a.jsonl").read_text()


def test_rows_of_pictures_are_not_appended_to_those_of_a_video(clip: Path, photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    edgeinfer("run", clip, "--max-frames", "2", "--out", table)
    before = table.read_bytes()
    error_of(edgeinfer("run", photos / "photo1.jpg", "--append", "--out", table), 6)
    assert table.read_bytes() == before


@pytest.mark.parametrize(
    "name",
    [pytest.param(os.fsdecode(b"caf\xe9.jpg"), id="latin-1"), "a b.jpg", "12:30.jpg", "100%d.jpg", "a#b.jpg",
     "line\nend.jpg", "\x1b[31m.jpg", "star*.jpg"],
    ids=ascii,
)  # fmt: skip
def test_any_name_is_written(tmp_path: Path, face_picture: Path, name: str) -> None:
    shutil.copy(face_picture, tmp_path / name)
    done = edgeinfer("run", name, "--out", "a.csv", "--out", "a.jsonl", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    assert [row["picture"] for row in rows(tmp_path / "a.csv")] == [shown]
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (lines[0]["source"], lines[1]["picture"]) == (shown, shown)


@pytest.mark.parametrize(
    "name",
    [pytest.param("x" * 5000, id="long"), pytest.param("x/" * 2500, id="deep"), "~nosuch/x", "\x1b[31m\n.jpg",
     pytest.param(os.fsdecode(b"caf\xe9.jpg"), id="latin-1")],
    ids=ascii,
)  # fmt: skip
def test_impossible_and_missing_names_are_rejected_with_one_line(name: str) -> None:
    message = error_of(edgeinfer("run", name), 4)
    assert message.rstrip("\n").isprintable()
    assert len(message) < 500


def test_size_limit(tmp_path: Path, face_picture: Path) -> None:
    done = edgeinfer("run", face_picture, "--max-megapixels", "0.05")
    assert "256x256 pixels, above the limit of 0.05 megapixels (--max-megapixels)" in error_of(done, 4)
    (tmp_path / "config.toml").write_text("max_megapixels = 0.05\n")
    assert "above the limit" in error_of(edgeinfer("run", face_picture, "--config", tmp_path / "config.toml"), 4)


@pytest.mark.slow
@pytest.mark.parametrize(("options", "limit_mb"), [([], 600), (["--save-pictures", "copies"], 850)])
def test_memory_for_a_picture_of_48_megapixels_is_limited(
    tmp_path: Path, portrait: np.ndarray, options: list[str], limit_mb: int
) -> None:
    image = np.full((6000, 8000, 3), 90, np.uint8)
    image[1500:4500, 2500:5500] = cv2.resize(portrait, (3000, 3000))
    cv2.imwrite(str(tmp_path / "large.jpg"), image)
    # The process reports its own peak; `ru_maxrss` of a child includes the memory of its parent before exec.
    code = (
        "import atexit, sys\nfrom edgeinfer.__main__ import main\n"
        "from edgeinfer.system.hardware import peak_memory_mb\n"
        "atexit.register(lambda: print(peak_memory_mb(), file=sys.stderr))\nmain()"
    )
    command = [sys.executable, "-c", code, "run", str(tmp_path / "large.jpg"), "--out", "-", "--quiet", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert float(done.stderr) < limit_mb
    output = done.stdout
    (face,) = json.loads(output.splitlines()[1])["faces"]
    x, y, w, h = face["box"]
    scale = 3000 / portrait.shape[0]
    # The detector finds the same face in the small picture, at (78, 64) with a side of 101 pixels.
    assert np.allclose([x, y, w, h], [2500 + 78 * scale, 1500 + 64 * scale, 101 * scale, 101 * scale], atol=20 * scale)


@pytest.mark.parametrize("source", ["my clip.mp4", "it's $HOME;x.mp4", "-x.jpg", "*.jpg", ""])
def test_make_run_passes_the_source_unchanged(tmp_path: Path, source: str) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    program = tmp_path / ".venv" / "bin" / "edgeinfer"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\nprintf "[%s]" "$@"\n')
    program.chmod(0o755)
    command = [require_program("make"), "--silent", "--assume-old", ".venv/.ready", "run", f"SOURCE={source}"]
    (tmp_path / ".venv" / ".ready").touch()
    # A `make` that runs the tests prints its folders in those that it starts.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    results, _, given = done.stdout.removeprefix("[run]").partition("[--]")
    assert given == (f"[{source}]" if source else "")
    assert results.startswith("[--out][build/demo/faces.csv]")
