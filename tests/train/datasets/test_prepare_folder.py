from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from edgeinfer_train.datasets.load import load_split, read_info, read_properties
from edgeinfer_train.datasets.prepare.folders import prepare_folder
from edgeinfer_train.errors import ConfigError, DataError, RunError
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
    report = prepare_folder(source, tmp_path / "data", classes=7)
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
    source = make_source({"train/happy": 5, "train/sad": 5}, extra=extra)
    report = prepare_folder(source, tmp_path / "data", classes=7)
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


@pytest.mark.parametrize("name", ["x" * 65, "a\\b", "BORED"])
def test_label_that_a_model_cannot_have_is_refused(tmp_path: Path, make_source: Callable[..., Path], name: str) -> None:
    with pytest.raises(ConfigError, match=r"invalid labels? "):
        prepare_folder(make_source({"bored": 5, "tired": 5, name: 5}), tmp_path / "data")


@pytest.mark.parametrize("labels", [EIGHT_LABELS[:2], EIGHT_LABELS[2:5], EIGHT_LABELS], ids=len)
def test_standard_labels_are_those_of_the_source(
    tmp_path: Path, make_source: Callable[..., Path], labels: tuple[str, ...]
) -> None:
    assert prepare_folder(make_source(dict.fromkeys(labels[::-1], 5)), tmp_path / "data").labels == labels


def test_eight_labels_include_contempt(tmp_path: Path, make_source: Callable[..., Path]) -> None:
    report = prepare_folder(make_source({"contempt": 5, "happy": 5}), tmp_path / "data", classes=8)
    assert report.labels == EIGHT_LABELS
    assert report.counts["train"]["contempt"] == 4


def test_own_class_names_are_the_labels(tmp_path: Path, make_source: Callable[..., Path]) -> None:
    source = make_source({"train/very tired": 2, "train/gelangweilt ü": 2, "train/Happiness": 2, "valid/very tired": 1})
    report = prepare_folder(source, tmp_path / "data")
    assert report.labels == ("happy", "gelangweilt ü", "very tired")
    assert load_split(tmp_path / "data", "train").soft_labels.shape == (6, 3)


def test_labels_select_and_order_the_classes(tmp_path: Path, make_source: Callable[..., Path]) -> None:
    source = make_source({"sad": 5, "happy": 5, "bored": 5})
    report = prepare_folder(source, tmp_path / "data", labels=("bored", "happy"))
    assert report.labels == ("bored", "happy")
    assert len(report.skipped_by_reason()["other class"]) == 5


@pytest.mark.parametrize("labels", [("a",), ("a", "a"), ("a", "b/c"), ("a", ".b"), ("a", "")])
def test_invalid_labels_are_rejected(tmp_path: Path, labels: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="invalid label"):
        prepare_folder(tmp_path, tmp_path / "data", labels=labels)


def test_persons_in_file_names_are_not_split(tmp_path: Path, make_png: Maker) -> None:
    for number in range(40):
        path = tmp_path / f"source/{('sad', 'happy')[number % 2]}/{'abcde'[number // 8]}_{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make_png(100, seed=number))
    report = prepare_folder(tmp_path / "source", tmp_path / "data")
    assert report.split_rule == "20% of training taken for validation by person (5), seed 0"
    persons = read_properties(tmp_path / "data")
    assert len({row["person"] for file, row in persons.items() if file.startswith("valid")}) == 1
    assert {face.person for face in report.faces} == set("abcde")
    other = prepare_folder(tmp_path / "source", tmp_path / "other", group_regex=r"_\d")
    assert "by person (10)" in other.split_rule


def test_corrections_replace_labels(tmp_path: Path, make_source: Callable[..., Path]) -> None:
    names = ("a", "b", "c", "d", "e")
    source = make_source({"happy": 5, "sad": 5})
    for label in ("happy", "sad"):
        for path, name in zip(sorted((source / label).iterdir()), names, strict=True):
            path.rename(path.with_name(f"{label}-{name}.png"))
    (source / "unlabelled").mkdir()
    (source / "sad/sad-e.png").rename(source / "unlabelled/sad-e.png")
    table = tmp_path / "corrections.csv"
    table.write_text("file,label\nhappy/happy-a.png,sad\nhappy-b.png,\nsad/sad-a.png,bored\n")
    report = prepare_folder(source, tmp_path / "data", corrections=table)
    assert {label: sum(c[label] for c in report.counts.values()) for label in report.labels} == {
        "happy": 3, "sad": 4, "bored": 1
    }  # fmt: skip
    assert report.skipped_by_reason() == {
        "removed by correction": ["happy/happy-b.png"], "no label": ["unlabelled/sad-e.png"]
    }  # fmt: skip


CORRECTIONS = {
    "other folder": ("file,label\nx.png,sad\n", "names 1 files that the source does not contain, such as x.png"),
    "columns": ("name\n000.png\n", "expected the columns file,label"),
    "contradiction": ("file,label\n000.png,sad\n000.png,happy\n", "two labels for 000.png"),
}


@pytest.mark.parametrize(("text", "message"), CORRECTIONS.values(), ids=CORRECTIONS.keys())
def test_unusable_corrections_are_rejected(
    tmp_path: Path, make_source: Callable[..., Path], text: str, message: str
) -> None:
    (tmp_path / "corrections.csv").write_text(text)
    source = make_source({"happy": 2, "sad": 2})
    with pytest.raises(DataError, match=message):
        prepare_folder(source, tmp_path / "data", corrections=tmp_path / "corrections.csv")


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
