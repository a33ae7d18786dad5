from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from edgeinfer_train.datasets.load import load_split, read_info
from edgeinfer_train.datasets.prepare.folders import prepare_folder
from edgeinfer_train.errors import DataError, RunError
from edgeinfer_train.labels import EIGHT_LABELS

Maker = Callable[..., bytes]


@pytest.fixture
def make_source(tmp_path: Path, make_png: Maker) -> Callable[..., Path]:
    """Return a function that writes N images of several sizes into each folder, and extra files unchanged."""

    def write(folders: dict[str, int], *, root: str = "source", extra: dict[str, bytes] | None = None) -> Path:
        seed = 0
        files = dict(extra or {})
        for folder, count in folders.items():
            for number in range(count):
                seed += 1
                files[f"{folder}/{number:03d}.png"] = make_png(100, seed=seed, size=20 + seed % 50)
        for name, content in files.items():
            path = tmp_path / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tmp_path / root

    return write


def images(data: Path) -> set[str]:
    return {p.relative_to(data).as_posix() for p in data.rglob("*.png")}


def test_class_folders_without_splits_are_split_by_label(tmp_path: Path, make_source: Callable[..., Path]) -> None:
    source = make_source({"Happiness": 20, "anger": 10, "neutral": 5})
    report = prepare_folder(source, tmp_path / "data")
    assert report.absent == ("test",)
    assert {k: v for k, v in report.counts["train"].items() if v} == {"neutral": 4, "happy": 16, "angry": 8}
    assert {k: v for k, v in report.counts["valid"].items() if v} == {"neutral": 1, "happy": 4, "angry": 2}
    assert report.split_rule == "20% of training taken for validation, stratified, seed 0"
    assert report.empty_labels == ("surprise", "sad", "disgust", "fear")
    assert len(images(tmp_path / "data")) == 35
    info = read_info(tmp_path / "data")
    assert (info.name, info.labels, info.default_label_mode) == ("source", EIGHT_LABELS[:7], "argmax")
    assert load_split(tmp_path / "data", "train").images.shape == (28, 48, 48, 1)


def test_seed_determines_the_validation_split(tmp_path: Path, make_source: Callable[..., Path]) -> None:
    source = make_source({"happy": 20, "sad": 20})
    chosen = {}
    for out, seed in {"one": 0, "again": 0, "two": 1}.items():
        prepare_folder(source, tmp_path / out, seed=seed)
        chosen[out] = {name for name in images(tmp_path / out) if name.startswith("valid")}
    assert chosen["one"] == chosen["again"]
    assert chosen["one"] != chosen["two"]


@pytest.mark.parametrize("name", ["valid", "validation", "val", "Val"])
def test_splits_of_the_source_are_used(tmp_path: Path, make_source: Callable[..., Path], name: str) -> None:
    source = make_source({"set/train/happy": 6, "set/train/sad": 3, f"set/{name}/happy": 2, "set/test/sad": 4})
    report = prepare_folder(source, tmp_path / "data")
    assert {split: sum(counts.values()) for split, counts in report.counts.items()} == {
        "train": 9,
        "valid": 2,
        "test": 4,
    }
    assert report.split_rule == "as published"
    assert report.absent == ()


def test_zip_gives_the_same_result_as_its_folder(tmp_path: Path, make_source: Callable[..., Path]) -> None:
    source = make_source({"pictures/happy": 5, "pictures/sad": 5})
    with zipfile.ZipFile(tmp_path / "source.zip", "w") as archive:
        for path in source.rglob("*.png"):
            archive.write(path, path.relative_to(source))
        archive.writestr("__MACOSX/pictures/happy/._000.png", b"junk")
    prepare_folder(source, tmp_path / "one")
    report = prepare_folder(tmp_path / "source.zip", tmp_path / "two")
    assert images(tmp_path / "one") == images(tmp_path / "two")
    assert report.skipped == ()


def test_skipped_files_have_reasons(tmp_path: Path, make_source: Callable[..., Path], make_png: Maker) -> None:
    extra = {
        "train/happy/broken.png": b"\x89PNG no picture",
        "train/happy/empty.jpg": b"",
        "train/happy/notes.txt": b"text",
        "train/contempt/a.png": make_png(90),
        "train/happiness/000.png": make_png(91),
        "sad/a.png": make_png(92),
        "preview.png": make_png(93),
        "train/.hidden/a.png": make_png(94),
        "README.md": b"about",
    }
    report = prepare_folder(make_source({"train/happy": 5, "train/sad": 5}, extra=extra), tmp_path / "data")
    assert report.skipped_by_reason() == {
        "no class": ["preview.png"],
        "unreadable image": ["train/happy/broken.png", "train/happy/empty.jpg"],
        "not an image": ["train/happy/notes.txt"],
        "contempt": ["train/contempt/a.png"],
        "duplicate name": ["train/happy/000.png"],
        "unknown split": ["sad/a.png"],
    }
    assert sum(len(names) for names in report.skipped_by_reason().values()) + 1 == len(
        (tmp_path / "data/skipped.csv").read_text().splitlines()
    )


def test_eight_labels_include_contempt(tmp_path: Path, make_source: Callable[..., Path]) -> None:
    report = prepare_folder(make_source({"contempt": 5, "happy": 5}), tmp_path / "data", classes=8)
    assert report.labels == EIGHT_LABELS
    assert report.counts["train"]["contempt"] == 4


def test_unknown_class_is_rejected_with_the_known_names(tmp_path: Path, make_source: Callable[..., Path]) -> None:
    source = make_source({"train/happy": 2, "train/bored": 2, "train/sleepy": 1})
    with pytest.raises(DataError, match=r"unknown classes: bored, sleepy; expected .*happiness.*fearful") as caught:
        prepare_folder(source, tmp_path / "data")
    assert caught.value.exit_code == 4
    assert not (tmp_path / "data").exists()


def test_single_class_is_rejected(tmp_path: Path, make_source: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="training faces of happy only"):
        prepare_folder(make_source({"train/happy": 9, "test/sad": 9}), tmp_path / "data")


def test_source_with_test_faces_only_is_accepted(tmp_path: Path, make_source: Callable[..., Path]) -> None:
    report = prepare_folder(make_source({"test/happy": 3}), tmp_path / "data")
    assert report.absent == ("train", "valid")
    assert len(load_split(tmp_path / "data", "test")) == 3


def test_folder_without_class_folders_is_rejected(
    tmp_path: Path, make_source: Callable[..., Path], make_png: Maker
) -> None:
    with pytest.raises(DataError, match="no images in class folders"):
        prepare_folder(make_source({}, extra={"a.png": make_png(90)}), tmp_path / "data")


def test_duplicates_between_splits_are_counted(
    tmp_path: Path, make_source: Callable[..., Path], make_png: Maker
) -> None:
    """Find duplicates despite a different name and encoding."""
    face = make_png(90, seed=77)
    picture = cv2.imread(str(make_source({}, extra={"x.png": face}, root="x") / "x.png"), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    bitmap = cv2.imencode(".bmp", picture)[1].tobytes()
    extra = {"train/happy/a.png": face, "valid/happy/b.png": face, "test/sad/c.bmp": bitmap}
    source = make_source({"train/happy": 2, "train/sad": 2}, extra=extra)
    report = prepare_folder(source, tmp_path / "data")
    assert report.duplicates == {("train", "valid"): 1, ("train", "test"): 1, ("valid", "test"): 1}
    assert len(load_split(tmp_path / "data", "train")) == 4


def test_second_run_writes_nothing_and_another_data_set_is_rejected(
    tmp_path: Path, make_source: Callable[..., Path]
) -> None:
    source, data = make_source({"happy": 10, "sad": 10}), tmp_path / "data"
    seen: list[tuple[int, int]] = []
    assert prepare_folder(source, data, progress=lambda *step: seen.append(step)).written == 20
    assert seen == [(n, 20) for n in range(1, 21)]
    before = {p: p.stat().st_mtime_ns for p in data.rglob("*")}
    assert prepare_folder(source, data).written == 0
    assert {p: p.stat().st_mtime_ns for p in data.rglob("*")} == before
    with pytest.raises(DataError, match="classes or splits"):
        prepare_folder(source, data, seed=1)
    with pytest.raises(DataError, match="data set, classes or splits"):
        prepare_folder(source, data, classes=8)


def test_second_run_completes_an_interrupted_one(tmp_path: Path, make_source: Callable[..., Path]) -> None:
    source, data = make_source({"happy": 10, "sad": 10}), tmp_path / "data"

    def interrupt(done: int, _total: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_folder(source, data, progress=interrupt)
    with pytest.raises(DataError, match="interrupted"):
        read_info(data)
    assert prepare_folder(source, data).written == 13
    assert Counter(len(load_split(data, split)) for split in ("train", "valid")) == {16: 1, 4: 1}


def test_unwritable_output_is_rejected(tmp_path: Path, make_source: Callable[..., Path]) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(RunError, match="cannot write"):
        prepare_folder(make_source({"happy": 2, "sad": 2}), tmp_path / "file" / "data")
