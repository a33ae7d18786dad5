from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer_train.datasets.load import load_split, read_info
from edgeinfer_train.datasets.prepare import PrepareOptions, SourceKind, prepare
from edgeinfer_train.datasets.prepare.ferplus import prepare_ferplus
from edgeinfer_train.errors import ConfigError, DataError, RunError
from edgeinfer_train.labels import EIGHT_LABELS


@pytest.fixture
def rows(make_row: Any) -> list[Any]:
    """Return at least one row per rule; votes are in the order of the published columns, unknown and NF last."""
    return [
        make_row("Training", "happy.png", "0,9,1,0,0,0,0,0,0,0"),
        make_row("Training", "tie.png", "0,0,0,5,5,0,0,0,0,0"),
        make_row("Training", "first.png", "4,0,0,0,0,0,4,0,0,2"),
        make_row("Training", "", "0,9,1,0,0,0,0,0,0,0"),
        make_row("Training", "happy.png", "9,0,1,0,0,0,0,0,0,0"),
        make_row("Training", "gap.png", "0,,1,0,0,0,0,0,0,0"),
        make_row("Training", "word.png", "0,many,1,0,0,0,0,0,0,0"),
        make_row("Training", "none.png", "0,0,0,0,0,0,0,0,0,0"),
        make_row("Training", "unsure.png", "2,1,0,0,0,0,0,0,7,0"),
        make_row("Training", "cat.png", "0,0,0,0,0,0,0,0,0,10"),
        make_row("Training", "sneer.png", "3,0,0,0,0,0,0,7,0,0"),
        make_row("Training", "lost.png", "0,0,0,0,0,0,9,1,0,0", None),
        make_row("Training", "broken.png", "0,0,0,0,0,0,9,1,0,0", b"\x89PNG no picture"),
        make_row("Training", "empty.png", "0,0,0,0,0,0,9,1,0,0", b""),
        make_row("Practice", "usage.png", "0,0,0,0,0,0,9,1,0,0"),
        make_row("PublicTest", "fear.png", "0,0,0,0,0,0,9,1,0,0"),
        make_row("PrivateTest", "angry.png", "0,0,0,0,9,1,0,0,0,0"),
    ]


SKIPPED = {
    "no name": [""],
    "duplicate name": ["happy.png"],
    "missing value": ["gap.png", "word.png", "none.png"],
    "unknown": ["unsure.png"],
    "not a face": ["cat.png"],
    "contempt": ["sneer.png"],
    "missing image": ["lost.png"],
    "unreadable image": ["broken.png", "empty.png"],
    "unknown split": ["usage.png"],
}


def images(data: Path) -> set[str]:
    return {p.relative_to(data).as_posix() for p in data.rglob("*.png")}


@pytest.mark.parametrize("archive", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("nested", ["", "download/FERPlus"], ids=["flat", "nested"])
def test_each_rule_for_skipping_rows(
    tmp_path: Path, make_ferplus: Any, rows: list[Any], archive: bool, nested: str
) -> None:
    source = make_ferplus(tmp_path / "source", rows, archive=archive, nested=nested)
    seen: list[tuple[int, int]] = []
    report = prepare_ferplus(source, tmp_path / "data", progress=lambda done, total: seen.append((done, total)))
    assert images(tmp_path / "data") == {
        "train/happy/happy.png", "train/sad/tie.png", "train/neutral/first.png", "valid/fear/fear.png",
        "test/angry/angry.png",
    }  # fmt: skip
    assert report.skipped_by_reason() == SKIPPED
    assert report.counts["train"] == dict.fromkeys(EIGHT_LABELS[:7], 0) | {"happy": 1, "sad": 1, "neutral": 1}
    assert report.absent == ()
    assert set(report.empty_labels) == {"surprise", "disgust"}
    assert seen[-1] == (len(rows), len(rows))
    assert len(seen) == len(rows)


def test_skipped_csv_lists_all_skipped_rows(tmp_path: Path, make_ferplus: Any, rows: list[Any]) -> None:
    report = prepare_ferplus(make_ferplus(tmp_path / "source", rows), tmp_path / "data")
    with (tmp_path / "data" / "skipped.csv").open(newline="") as file:
        found = [(r["split"], r["name"], r["reason"]) for r in csv.DictReader(file)]
    assert found == [(s.split, s.name, s.reason) for s in report.skipped]
    assert len(found) == sum(map(len, SKIPPED.values()))


def test_eight_labels_include_contempt(tmp_path: Path, make_ferplus: Any, rows: list[Any]) -> None:
    report = prepare_ferplus(make_ferplus(tmp_path / "source", rows), tmp_path / "data", classes=8)
    assert report.labels == EIGHT_LABELS
    assert "train/contempt/sneer.png" in images(tmp_path / "data")
    assert "contempt" not in report.skipped_by_reason()


def test_image_files_are_copied_unchanged(tmp_path: Path, make_ferplus: Any, rows: list[Any]) -> None:
    source = make_ferplus(tmp_path / "source", rows)
    prepare_ferplus(source, tmp_path / "data")
    copy = (tmp_path / "data/train/happy/happy.png").read_bytes()
    assert copy == (source / "FER2013Train/happy.png").read_bytes()


def test_report_lists_absent_splits(tmp_path: Path, make_ferplus: Any, make_row: Any) -> None:
    source = make_ferplus(
        tmp_path / "source",
        [
            make_row("Training", "a.png", "9,0,0,0,0,0,0,0,0,0"),
            make_row("PrivateTest", "b.png", "9,0,0,0,0,0,0,0,0,0", None),
        ],
    )
    report = prepare_ferplus(source, tmp_path / "data")
    assert report.absent == ("valid", "test")
    assert report.counts.keys() == {"train"}
    assert report.skipped_by_reason() == {"split absent": ["b.png"]}


def test_second_run_writes_nothing(tmp_path: Path, make_ferplus: Any, rows: list[Any]) -> None:
    source, data = make_ferplus(tmp_path / "source", rows), tmp_path / "data"
    first = prepare_ferplus(source, data)
    before = {p: p.stat().st_mtime_ns for p in data.rglob("*")}
    second = prepare_ferplus(source, data)
    assert {p: p.stat().st_mtime_ns for p in data.rglob("*")} == before
    assert (first.written, second.written) == (5, 0)
    assert second.counts == first.counts


def test_second_run_completes_an_interrupted_one(tmp_path: Path, make_ferplus: Any, rows: list[Any]) -> None:
    source, data = make_ferplus(tmp_path / "source", rows), tmp_path / "data"

    def interrupt(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_ferplus(source, data, progress=interrupt)
    with pytest.raises(DataError, match="interrupted"):
        read_info(data)
    (data / "train/happy/happy.png").write_bytes(b"half")
    report = prepare_ferplus(source, data)
    assert report.written == 4
    assert read_info(data).labels == EIGHT_LABELS[:7]
    assert cv2.imread(str(data / "train/happy/happy.png")) is not None


def test_folder_of_another_data_set_is_rejected(tmp_path: Path, make_ferplus: Any, rows: list[Any]) -> None:
    source, data = make_ferplus(tmp_path / "source", rows), tmp_path / "data"
    prepare_ferplus(source, data)
    kept = (data / "dataset.json").read_text()
    with pytest.raises(DataError, match="data set, classes or splits"):
        prepare_ferplus(source, data, classes=8)
    with pytest.raises(DataError, match="a different data set"):
        prepare_ferplus(make_ferplus(tmp_path / "other", rows[:2]), data)
    assert (data / "dataset.json").read_text() == kept


def test_folder_with_other_files_is_rejected(tmp_path: Path, make_ferplus: Any, rows: list[Any]) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/holiday.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="not empty"):
        prepare_ferplus(make_ferplus(tmp_path / "source", rows), tmp_path / "data")


def test_damaged_zip_member_is_skipped_as_unreadable(tmp_path: Path, make_ferplus: Any, rows: list[Any]) -> None:
    source = make_ferplus(tmp_path / "source", rows, archive=True)
    with zipfile.ZipFile(source) as file:
        offset = file.getinfo("FER2013Train/tie.png").header_offset
    content = bytearray(source.read_bytes())
    content[offset + 200] ^= 0xFF
    source.write_bytes(content)
    report = prepare_ferplus(source, tmp_path / "data")
    assert "tie.png" in report.skipped_by_reason()["unreadable image"]
    assert report.counts["train"]["happy"] == 1


def remove_table(source: Path) -> None:
    (source / "fer2013new.csv").unlink()


def remove_columns(source: Path) -> None:
    (source / "fer2013new.csv").write_text("Usage,Image name,neutral\nTraining,a.png,1\n")


def clear_table(source: Path) -> None:
    (source / "fer2013new.csv").write_bytes(b"")


def rename_folders(source: Path) -> None:
    for name in ("FER2013Train", "FER2013Valid", "FER2013Test"):
        (source / name).rename(source / f"x{name}")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_table, "has no fer2013new.csv"),
        (remove_columns, "lacks the columns happiness"),
        (clear_table, "not a readable CSV"),
        (rename_folders, "has none of the folders"),
    ],
)
def test_other_layouts_are_rejected(
    tmp_path: Path, make_ferplus: Any, rows: list[Any], damage: Callable[[Path], None], message: str
) -> None:
    source = make_ferplus(tmp_path / "source", rows)
    damage(source)
    with pytest.raises(DataError, match=message) as caught:
        prepare_ferplus(source, tmp_path / "data")
    assert caught.value.exit_code == 4
    assert not (tmp_path / "data").exists()


def test_missing_and_invalid_sources_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(DataError, match="neither a folder nor a readable zip"):
        prepare_ferplus(tmp_path / "text.zip", tmp_path / "data")
    with pytest.raises(DataError, match="does not exist"):
        prepare_ferplus(tmp_path / "nothing", tmp_path / "data")


def test_unwritable_output_is_rejected(tmp_path: Path, make_ferplus: Any, rows: list[Any]) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(RunError, match="cannot write") as caught:
        prepare_ferplus(make_ferplus(tmp_path / "source", rows), tmp_path / "file" / "data")
    assert caught.value.exit_code == 6


def test_votes_are_converted_to_soft_labels(tmp_path: Path, make_ferplus: Any, rows: list[Any]) -> None:
    prepare_ferplus(make_ferplus(tmp_path / "source", rows), tmp_path / "data")
    faces = load_split(tmp_path / "data", "train")
    soft = dict(zip(faces.names, faces.soft_labels, strict=True))
    np.testing.assert_allclose(soft["train/sad/tie.png"], [0, 0, 0, 0.5, 0.5, 0, 0])
    np.testing.assert_allclose(soft["train/neutral/first.png"], [0.5, 0, 0, 0, 0, 0, 0.5])
    np.testing.assert_allclose(soft["train/happy/happy.png"], [0, 1, 0, 0, 0, 0, 0])
    assert json.loads((tmp_path / "data/dataset.json").read_text())["complete"] is True


def test_data_folder_from_an_earlier_version_is_read_and_completed(
    tmp_path: Path, make_ferplus: Any, rows: list[Any]
) -> None:
    source, data = make_ferplus(tmp_path / "source", rows), tmp_path / "data"
    prepare_ferplus(source, data)
    values = json.loads((data / "dataset.json").read_text())
    old = ("name", "labels", "label_mode", "votes_sha256", "complete", "counts")
    (data / "dataset.json").write_text(json.dumps({key: values[key] for key in old}))
    assert read_info(data).default_label_mode == "votes"
    assert load_split(data, "train").soft_labels.max(1).min() == 0.5
    assert prepare_ferplus(source, data).written == 0
    assert json.loads((data / "dataset.json").read_text()) == values


def test_default_label_mode_is_stored_and_can_be_changed(tmp_path: Path, make_ferplus: Any, rows: list[Any]) -> None:
    source, data = make_ferplus(tmp_path / "source", rows), tmp_path / "data"
    prepare("ferplus", [source], data)
    assert read_info(data).default_label_mode == "votes"
    assert len(load_split(data, "train")) == 3
    assert prepare("ferplus", [source], data, PrepareOptions(label_mode="majority")).written == 0
    assert read_info(data).default_label_mode == "majority"
    assert load_split(data, "train").names == ("train/happy/happy.png",)


NEUTRAL = {
    "only neutral": ("9,0,0,0,0,0,0,0,1,0", "neutral", "neutral"),
    "one vote for another": ("8,0,0,1,0,0,0,0,1,0", "neutral", "sad"),
    "the strongest of the others": ("5,1,0,0,3,0,1,0,0,0", "neutral", "angry"),
    "the first of equals": ("6,0,2,2,0,0,0,0,0,0", "neutral", "surprise"),
    "contempt has no folder": ("6,0,0,0,0,0,0,4,0,0", "neutral", "neutral"),
    "another label wins": ("4,6,0,0,0,0,0,0,0,0", "happy", "happy"),
}


@pytest.mark.parametrize(("votes", "plurality", "others"), NEUTRAL.values(), ids=NEUTRAL.keys())
def test_neutral_rule(
    tmp_path: Path, make_ferplus: Any, make_row: Any, votes: str, plurality: str, others: str
) -> None:
    source = make_ferplus(tmp_path / "source", [make_row("Training", "a.png", votes)])
    prepare_ferplus(source, tmp_path / "plurality")
    prepare_ferplus(source, tmp_path / "others", neutral_rule="others")
    assert images(tmp_path / "plurality") == {f"train/{plurality}/a.png"}
    assert images(tmp_path / "others") == {f"train/{others}/a.png"}
    assert read_info(tmp_path / "plurality").label_mode == "argmax over ten votes"
    assert read_info(tmp_path / "others").label_mode == "argmax over ten votes, neutral yields to others"
    with pytest.raises(DataError, match="already contains"):
        prepare_ferplus(source, tmp_path / "others")


def test_neutral_rule_sets_neutral_votes_to_zero(tmp_path: Path, make_ferplus: Any, make_row: Any) -> None:
    row = make_row("Training", "a.png", "5,0,0,3,0,2,0,0,0,0")
    source, data = make_ferplus(tmp_path / "source", [row]), tmp_path / "data"
    prepare_ferplus(source, data, neutral_rule="others")
    np.testing.assert_allclose(load_split(data, "train").soft_labels[0], [0, 0, 0, 0.6, 0, 0.4, 0], rtol=1e-6)
    assert load_split(data, "train", label_mode="majority").labels.tolist() == [3]
    assert (data / "votes.csv").read_text().endswith("train/sad/a.png,5,0,0,3,0,2,0,0,0,0\n")


def test_duplicates_across_splits_are_counted(tmp_path: Path, make_ferplus: Any, make_row: Any, make_png: Any) -> None:
    face, other = make_png(90, seed=50), make_png(90, seed=51)
    rows = [
        make_row("Training", "a.png", "9,0,0,0,0,0,0,0,0,0", face),
        make_row("Training", "b.png", "0,9,0,0,0,0,0,0,0,0", face),
        make_row("Training", "c.png", "0,9,0,0,0,0,0,0,0,0", other),
        make_row("Training", "d.png", "0,9,0,0,0,0,0,0,0,0"),
        make_row("PublicTest", "e.png", "9,0,0,0,0,0,0,0,0,0", face),
        make_row("PrivateTest", "f.png", "9,0,0,0,0,0,0,0,0,0", other),
    ]
    report = prepare_ferplus(make_ferplus(tmp_path / "source", rows), tmp_path / "data")
    assert report.duplicates == {("train", "valid"): 2, ("train", "test"): 1}
    assert json.loads((tmp_path / "data/dataset.json").read_text())["duplicates"] == {"train/valid": 2, "train/test": 1}
    assert load_split(tmp_path / "data", "train").names == ("train/happy/d.png",)


INAPPLICABLE: dict[str, tuple[SourceKind, dict[str, Any]]] = {
    "seed": ("ferplus", {"seed": 0}),
    "folds": ("folder", {"folds": 5}),
    "fold": ("fer2013", {"fold": 1}),
    "neutral_rule": ("ckplus", {"neutral_rule": "others"}),
}


@pytest.mark.parametrize("option", INAPPLICABLE)
def test_parameters_of_another_layout_are_rejected(tmp_path: Path, option: str) -> None:
    kind, given = INAPPLICABLE[option]
    with pytest.raises(ConfigError, match=f"`{option}` applies to .* only, not to {kind}"):
        prepare(kind, [tmp_path], tmp_path / "data", PrepareOptions(**given))


@pytest.mark.parametrize("kind", ["fer2013", "ckplus", "folder"])
@pytest.mark.parametrize("mode", ["votes", "majority"])
def test_label_modes_that_need_votes_are_rejected_without_votes(tmp_path: Path, kind: SourceKind, mode: Any) -> None:
    with pytest.raises(DataError, match="no votes: set `label_mode` to argmax"):
        prepare(kind, [tmp_path], tmp_path / "data", PrepareOptions(label_mode=mode))
