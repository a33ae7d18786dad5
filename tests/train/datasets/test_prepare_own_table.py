"""CSV files with the path and the label, or the votes, of each image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeinfer_train.datasets.load import load_split, read_info, read_properties
from edgeinfer_train.datasets.prepare import prepare
from edgeinfer_train.errors import DataError

Maker = Callable[..., bytes]


@pytest.fixture
def folder(tmp_path: Path, make_png: Maker) -> Path:
    """Return a folder with images one/0.png to one/9.png and two/0.png to two/9.png."""
    for number in range(20):
        path = tmp_path / f"source/{('one', 'two')[number // 10]}/{number % 10}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make_png(100, seed=number))
    return tmp_path / "source"


def test_paths_and_labels(folder: Path, tmp_path: Path) -> None:
    rows = [f"{name}/{n}.png,{'Ärger 2' if n % 2 else 'bored'}" for name in ("one", "two") for n in range(10)]
    (folder / "faces.csv").write_text("\n".join(["Path,Label", *rows, "one/absent.png,bored", "../x.png,bored"]))
    report = prepare("folder", [folder / "faces.csv"], tmp_path / "data")
    assert report.labels == ("bored", "Ärger 2")
    assert {split: sum(counts.values()) for split, counts in report.counts.items()} == {"train": 16, "valid": 4}
    assert report.skipped_by_reason() == {"missing image": ["one/absent.png", "../x.png"]}
    assert {path.name for path in (tmp_path / "data").glob("*/bored/*")} == {
        f"{name}_{n}.png" for name in ("one", "two") for n in range(0, 10, 2)
    }


def test_splits_persons_and_affect(folder: Path, tmp_path: Path) -> None:
    rows = [f"one/{n}.png,{'ab'[n % 2]},{'train' if n < 6 else 'valid'},P{n // 3},0.{n},-0.1" for n in range(10)]
    (folder / "faces.csv").write_text("\n".join(["path,label,split,person,valence,arousal", *rows]))
    report = prepare("folder", [folder / "faces.csv"], tmp_path / "data")
    assert report.split_rule == "as published"
    assert read_properties(tmp_path / "data")["valid/b/7.png"] == {
        "person": "P2", "valence": "0.7", "arousal": "-0.1"
    }  # fmt: skip


def test_votes_are_soft_labels(folder: Path, tmp_path: Path) -> None:
    rows = [f"one/{n}.png,{n % 2 + 1},1,{n % 3}" for n in range(10)]
    (folder / "faces.csv").write_text("\n".join(["path,Wach,müde,?", *rows, "two/0.png,0,0,0"]))
    report = prepare("folder", [folder / "faces.csv"], tmp_path / "data")
    assert read_info(tmp_path / "data").protocol() == "argmax over votes, votes as soft labels"
    assert report.skipped_by_reason() == {"missing value": ["two/0.png"]}
    faces = load_split(tmp_path / "data", "train")
    at = [name.rpartition("/")[2] for name in faces.names].index("1.png")
    np.testing.assert_allclose(faces.soft_labels[at], [0.5, 0.25, 0.25])
    agreed = load_split(tmp_path / "data", "train", label_mode="majority")
    assert len(agreed) < len(faces)


REJECTED = {
    "path": ("file,label\na.png,x\n", "has no column path"),
    "label": ("path,yes\na.png,1\n", "has no column label, and fewer than two columns with votes"),
    "nothing": ("path,label\nnone.png,x\n", "1 with the reason 'missing image'"),
    "one": ("path,label\none/0.png,x\n", "training faces of x only"),
}


@pytest.mark.parametrize(("text", "message"), REJECTED.values(), ids=REJECTED.keys())
def test_unusable_tables_are_rejected(folder: Path, tmp_path: Path, text: str, message: str) -> None:
    (folder / "faces.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        prepare("folder", [folder / "faces.csv"], tmp_path / "data")
    assert not (tmp_path / "data").exists()
