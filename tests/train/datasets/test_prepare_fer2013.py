from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer_train.datasets.layout import SPLITS
from edgeinfer_train.datasets.load import load_split, read_info
from edgeinfer_train.datasets.prepare.fer2013 import prepare_fer2013
from edgeinfer_train.errors import DataError

ORDER = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
PUBLISHED = {"Training": 10, "PublicTest": 2, "PrivateTest": 3}
HEADERS = {"fer2013.csv": "emotion,pixels,Usage", "icml_face_data.csv": "emotion, Usage, pixels"}

Row = tuple[str, str, str]


def pixels(seed: int, count: int = 48 * 48) -> str:
    return " ".join(map(str, np.random.default_rng(seed).integers(0, 256, count)))


def rows(usages: dict[str, int]) -> list[Row]:
    """Return (emotion, usage, pixels) rows with the given number of faces per code, by usage."""
    places = [(str(code), usage) for usage, count in usages.items() for _ in range(count) for code in range(7)]
    return [(code, usage, pixels(number)) for number, (code, usage) in enumerate(places)]


def table(form: str, content: list[Row]) -> str:
    spaced = form == "icml_face_data.csv"
    lines = [f"{e}, {u}, {p}" if spaced else f"{e},{p},{u}" for e, u, p in content]
    return "\n".join([HEADERS[form], *lines]) + "\n"


def write(root: Path, form: str, content: list[Row]) -> Path:
    root.mkdir()
    (root / form).write_text(table(form, content))
    return root / form


@pytest.mark.parametrize("form", HEADERS)
@pytest.mark.parametrize("kind", ["file", "folder", "zip"])
def test_table_is_prepared(tmp_path: Path, form: str, kind: str) -> None:
    path = write(tmp_path / "source", form, rows(PUBLISHED))
    source = {"file": path, "folder": path.parent, "zip": tmp_path / "archive.zip"}[kind]
    if kind == "zip":
        with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(path, f"download/{form}")
    seen: list[tuple[int, int]] = []
    report = prepare_fer2013(source, tmp_path / "data", progress=lambda *step: seen.append(step))
    for split, usage in zip(SPLITS, PUBLISHED, strict=True):
        assert report.counts[split] == dict.fromkeys(ORDER, PUBLISHED[usage])
    assert report.skipped == ()
    assert report.split_rule == "as published"
    assert seen == [(n, 105) for n in range(1, 106)]
    face = cv2.imread(str(tmp_path / "data/train/fear/fer0000009.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(face, np.array(pixels(9).split(), np.uint8).reshape(48, 48))
    assert read_info(tmp_path / "data").name == "FER2013"
    assert read_info(tmp_path / "data").default_label_mode == "argmax"


def test_table_with_another_name_is_read_if_given_directly(tmp_path: Path) -> None:
    path = write(tmp_path / "source", "fer2013.csv", rows(PUBLISHED)).rename(tmp_path / "mine.csv")
    assert prepare_fer2013(path, tmp_path / "data").written == 105


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_kaggle_folders_are_prepared(tmp_path: Path, ending: str) -> None:
    for split, count in {"train": 10, "test": 4}.items():
        for number, label in enumerate(ORDER * count):
            face = np.array(pixels(number + 1000 * (split == "test")).split(), np.uint8).reshape(48, 48)
            path = tmp_path / f"source/archive/{split}/{label}/{split}_{number}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), face)
    report = prepare_fer2013(tmp_path / "source", tmp_path / "data", seed=4)
    assert report.counts == {
        "train": dict.fromkeys(report.labels, 8),
        "valid": dict.fromkeys(report.labels, 2),
        "test": dict.fromkeys(report.labels, 4),
    }
    assert "seed 4" in report.split_rule
    assert read_info(tmp_path / "data").name == "FER2013"


def test_table_without_validation_rows_is_split(tmp_path: Path) -> None:
    path = write(tmp_path / "source", "fer2013.csv", rows({"Training": 10, "PrivateTest": 2}))
    report = prepare_fer2013(path, tmp_path / "data")
    assert report.counts["train"] == dict.fromkeys(ORDER, 8)
    assert report.counts["valid"] == dict.fromkeys(ORDER, 2)
    prepare_fer2013(path, tmp_path / "other", seed=1)
    assert load_split(tmp_path / "data", "valid").names != load_split(tmp_path / "other", "valid").names
    assert prepare_fer2013(path, tmp_path / "data").written == 0


def test_invalid_rows_are_skipped_with_reasons(tmp_path: Path) -> None:
    broken = [
        ("7", "Training", pixels(1)),
        ("many", "Training", pixels(1)),
        ("", "Training", pixels(1)),
        ("3", "", pixels(1)),
        ("3", "Practice", pixels(1)),
        ("3", "Training", ""),
        ("3", "Training", pixels(1, 2303)),
        ("3", "PublicTest", pixels(1, 2305)),
        ("3", "Training", pixels(1, 2303) + " 256"),
        ("3", "Training", pixels(1, 2303) + " -1"),
        ("3", "Training", pixels(1, 2303) + " x"),
    ]
    path = write(tmp_path / "source", "fer2013.csv", broken + rows(PUBLISHED))
    report = prepare_fer2013(path, tmp_path / "data")
    names = [f"fer{n:07d}.png" for n in range(len(broken))]
    assert report.skipped_by_reason() == {
        "unknown code": names[:2],
        "missing value": [*names[2:4], names[5]],
        "unknown split": names[4:5],
        "wrong number of pixels": names[6:8],
        "unreadable image": names[8:],
    }
    assert report.written == 105


def test_second_run_completes_an_interrupted_one(tmp_path: Path) -> None:
    path, data = write(tmp_path / "source", "fer2013.csv", rows(PUBLISHED)), tmp_path / "data"

    def interrupt(done: int, _total: int) -> None:
        if done == 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_fer2013(path, data, progress=interrupt)
    with pytest.raises(DataError, match="interrupted"):
        read_info(data)
    assert prepare_fer2013(path, data).written == 55
    before = {p: p.stat().st_mtime_ns for p in data.rglob("*")}
    assert prepare_fer2013(path, data).written == 0
    assert {p: p.stat().st_mtime_ns for p in data.rglob("*")} == before


def test_duplicates_in_a_table_are_counted(tmp_path: Path) -> None:
    content = rows({"Training": 2})
    content += [("3", "PublicTest", content[0][2]), ("3", "PrivateTest", content[0][2])]
    report = prepare_fer2013(write(tmp_path / "source", "fer2013.csv", content), tmp_path / "data")
    assert report.duplicates == {("train", "valid"): 1, ("train", "test"): 1, ("valid", "test"): 1}


def test_eight_labels_include_empty_contempt(tmp_path: Path) -> None:
    path = write(tmp_path / "source", "fer2013.csv", rows(PUBLISHED))
    report = prepare_fer2013(path, tmp_path / "data", classes=8)
    assert report.empty_labels == ("contempt",)
    assert read_info(tmp_path / "data").labels[-1] == "contempt"


INVALID_TABLES = {
    "no usage": ("emotion,pixels\n0,1 2\n", "lacks the columns Usage"),
    "other columns": ("a,b\n0,1\n", "lacks the columns emotion, pixels, Usage"),
    "empty": ("", "not a readable CSV"),
    "open quote": ('emotion,pixels,Usage\n0,1,Training\n0,"1,Training\n', "training faces of angry only"),
    "one class": ("emotion,pixels,Usage\n" + f"3,{pixels(0)},Training\n" * 9, "training faces of happy only"),
}


@pytest.mark.parametrize(("content", "message"), INVALID_TABLES.values(), ids=INVALID_TABLES.keys())
def test_invalid_tables_are_rejected(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "fer2013.csv").write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        prepare_fer2013(tmp_path / "fer2013.csv", tmp_path / "data")
    assert caught.value.exit_code == 4
    assert not (tmp_path / "data").exists()


def test_binary_table_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "fer2013.csv").write_bytes(bytes(range(128, 256)) * 20)
    with pytest.raises(DataError, match="not a readable CSV"):
        prepare_fer2013(tmp_path / "fer2013.csv", tmp_path / "data")


def test_damaged_archive_is_rejected(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("fer2013.csv", table("fer2013.csv", rows(PUBLISHED)))
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[5000] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError, match="not a readable CSV"):
        prepare_fer2013(tmp_path / "a.zip", tmp_path / "data")
