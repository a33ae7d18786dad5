"""HTML page about a prepared data set."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeinfer.errors import OutputError
from edgeinfer_train.datasets.prepare.folders import prepare_folder
from edgeinfer_train.datasets.summary_page import save_summary_page

Maker = Callable[..., bytes]


@pytest.fixture
def source(tmp_path: Path, make_png: Maker) -> Path:
    """Folder of two persons with a face in two splits, an unreadable picture, and markup in names."""
    copy = make_png(90, seed=99, size=40)
    files = {f"train/very happy/anna_{n}.png": make_png(100, seed=n, size=30 + n) for n in range(4)}
    files |= {f"valid/sad/ben_{n}.png": make_png(100, seed=10 + n, size=40) for n in range(3)}
    files |= {"train/very happy/anna_9.png": copy, "valid/very happy/ben_9.png": copy}
    files |= {f"train/sad/carl_{n}.png": make_png(100, seed=20 + n, size=48) for n in range(3)}
    files["train/very happy/<script>.png"] = b"not a picture"
    for name, content in files.items():
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "source"


def test_page_states_counts_persons_duplicates_and_skipped_files(source: Path, tmp_path: Path) -> None:
    report = prepare_folder(source, tmp_path / "data")
    save_summary_page(tmp_path / "data", report, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))
    assert "12 faces with 2 labels" in text
    assert "very happy 5 1 6 50.0 %" in text
    assert "1 train face with the same pixels as a valid face. Training excludes them." in text
    assert "2 faces in 1 group of near-identical pictures by perceptual hash in more than one split." in text
    assert "&lt;script&gt;.png" in page
    assert "<script>.png" not in page
    assert page.count("data:image/") >= 12
    assert not re.search(r"https?://", page)


def test_unwritable_page_is_reported(source: Path, tmp_path: Path) -> None:
    report = prepare_folder(source, tmp_path / "data")
    with pytest.raises(OutputError, match=r"cannot write .*page\.html"):
        save_summary_page(tmp_path / "data", report, tmp_path / "missing" / "page.html")
