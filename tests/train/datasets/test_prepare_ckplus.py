from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeinfer_train.datasets.load import read_info
from edgeinfer_train.datasets.prepare.ckplus import prepare_ckplus
from edgeinfer_train.datasets.prepare.splitting import folds_by_subject
from edgeinfer_train.errors import ConfigError, DataError

EMOTIONS = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")


@pytest.fixture
def ckplus(tmp_path: Path, make_png: Callable[..., bytes]) -> Path:
    """Write 30 subjects with three frames of three or four of the seven emotions each."""
    for subject in range(30):
        for turn in range(3 + subject % 2):
            emotion = EMOTIONS[(subject + 2 * turn) % 7]
            for frame in range(3):
                path = tmp_path / f"source/CK+48/{emotion}/S{subject:03d}_{turn:03d}_{frame:08d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(make_png(100, seed=subject * 100 + turn * 10 + frame))
    return tmp_path / "source"


def subjects(data: Path, split: str) -> set[str]:
    return {p.name.split("_")[0] for p in (data / split).rglob("*.png")}


def test_splits_share_no_subject(tmp_path: Path, ckplus: Path) -> None:
    report = prepare_ckplus(ckplus, tmp_path / "data")
    training, validation = subjects(tmp_path / "data", "train"), subjects(tmp_path / "data", "valid")
    assert not training & validation
    assert len(training | validation) == 30
    assert report.absent == ("test",)
    assert report.empty_labels == ("neutral",)
    assert report.split_rule == "by subject, fold 1 of 5 for validation, seed 0"
    faces = {split: sum(counts.values()) for split, counts in report.counts.items()}
    assert 0.1 < faces["valid"] / (faces["train"] + faces["valid"]) < 0.3
    present = [label for label in report.labels if label != "neutral"]
    assert all(report.counts["valid"][label] and report.counts["train"][label] for label in present)
    assert read_info(tmp_path / "data").name == "CK+"


def test_contempt_is_skipped_and_counted_with_seven_labels(tmp_path: Path, ckplus: Path) -> None:
    seven = prepare_ckplus(ckplus, tmp_path / "seven")
    eight = prepare_ckplus(ckplus, tmp_path / "eight", classes=8)
    dropped = len(seven.skipped_by_reason()["contempt"])
    assert dropped == len(list((ckplus / "CK+48/contempt").iterdir())) > 0
    assert eight.counts["train"]["contempt"] + eight.counts["valid"]["contempt"] == dropped
    assert eight.skipped == ()


def test_each_subject_is_in_one_validation_fold(tmp_path: Path, ckplus: Path) -> None:
    validated: list[str] = []
    for fold in (1, 2, 3):
        out = tmp_path / f"fold{fold}"
        prepare_ckplus(ckplus, out, folds=3, fold=fold)
        with (out / "folds.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert {r["file"] for r in rows} == {p.relative_to(out).as_posix() for p in out.rglob("*.png")}
        assert {r["subject"] for r in rows if r["file"].startswith("valid")} == subjects(out, "valid")
        assert {r["fold"] for r in rows if r["file"].startswith("valid")} == {str(fold)}
        assert {r["fold"] for r in rows} == {"1", "2", "3"}
        validated += subjects(out, "valid")
    assert len(validated) == len(set(validated)) == 30


def test_seed_determines_the_folds(tmp_path: Path, ckplus: Path) -> None:
    for name, seed in {"a": 0, "b": 0, "c": 1}.items():
        prepare_ckplus(ckplus, tmp_path / name, seed=seed)
    assert subjects(tmp_path / "a", "valid") == subjects(tmp_path / "b", "valid") != subjects(tmp_path / "c", "valid")


def test_other_fold_in_the_same_folder_is_rejected(tmp_path: Path, ckplus: Path) -> None:
    prepare_ckplus(ckplus, tmp_path / "data")
    assert prepare_ckplus(ckplus, tmp_path / "data").written == 0
    with pytest.raises(DataError, match="classes or splits"):
        prepare_ckplus(ckplus, tmp_path / "data", fold=2)


def test_file_names_without_subject_are_skipped(tmp_path: Path, ckplus: Path, make_png: Callable[..., bytes]) -> None:
    (ckplus / "CK+48/happy/portrait.png").write_bytes(make_png(90))
    report = prepare_ckplus(ckplus, tmp_path / "data")
    assert report.skipped_by_reason()["no subject"] == ["CK+48/happy/portrait.png"]


def test_too_few_subjects_are_rejected(tmp_path: Path, ckplus: Path) -> None:
    with pytest.raises(DataError, match="30 subjects, too few for 31 folds"):
        prepare_ckplus(ckplus, tmp_path / "data", folds=31)


@pytest.mark.parametrize(("folds", "fold"), [(1, 1), (5, 0), (5, 6)])
def test_invalid_folds_are_rejected(tmp_path: Path, ckplus: Path, folds: int, fold: int) -> None:
    with pytest.raises(ConfigError, match="invalid `fold`"):
        prepare_ckplus(ckplus, tmp_path / "data", folds=folds, fold=fold)


def test_folds_have_similar_label_shares() -> None:
    random = np.random.default_rng(3)
    subject_of_face = [f"S{n:03d}" for n in random.integers(0, 60, 600)]
    labels = [EMOTIONS[n] for n in random.choice(7, 600, p=(0.3, 0.05, 0.15, 0.1, 0.2, 0.1, 0.1))]
    folds = np.array(folds_by_subject(labels, subject_of_face, folds=5, seed=0))
    for label in EMOTIONS:
        shares = np.bincount(folds[np.array(labels) == label], minlength=6)[1:] / labels.count(label)
        assert shares.min() > 0.1
        assert shares.max() < 0.3
