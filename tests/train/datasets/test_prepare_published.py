"""RAF-DB, AffectNet and JAFFE in the exact layouts of their published forms, with generated faces."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer_train.datasets.load import load_split, read_image, read_info, read_properties
from edgeinfer_train.datasets.prepare import PrepareOptions, PrepareReport, SourceKind, prepare
from edgeinfer_train.errors import ConfigError, DataError
from edgeinfer_train.labels import EIGHT_LABELS

Maker = Callable[..., bytes]
COLUMNS = (
    "subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks", "expression",
    "valence", "arousal",
)  # fmt: skip


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def used(report: PrepareReport) -> dict[str, dict[str, int]]:
    return {split: {k: n for k, n in counts.items() if n} for split, counts in report.counts.items()}


@pytest.fixture
def rafdb(make_png: Maker) -> dict[str, bytes]:
    """Return RAF-DB's basic/: ten training faces of each code, two test faces, and a row without an image."""
    lines, files = ["train_99999.jpg 4"], {}
    for split, count in {"train": 10, "test": 2}.items():
        for number in range(count * 7):
            stem, code = f"{split}_{number:05d}", number % 7 + 1
            lines.append(f"{stem}.jpg {code}")
            files[f"basic/Image/aligned/{stem}_aligned.jpg"] = make_png(100, seed=len(lines))
            files[f"basic/Image/original/{stem}.jpg"] = make_png(90, seed=len(lines), size=60)
    return {"basic/EmoLabel/list_patition_label.txt": "\n".join(lines).encode(), **files}


@pytest.mark.parametrize("archive", [False, True], ids=["folder", "zip"])
def test_rafdb_archive(tmp_path: Path, rafdb: dict[str, bytes], archive: bool) -> None:
    source = tmp_path / "rafdb.zip"
    if archive:
        with zipfile.ZipFile(source, "w") as file:
            for name, content in rafdb.items():
                file.writestr(name, content)
    else:
        source = write(tmp_path / "rafdb", rafdb)
    report = prepare("rafdb", [source], tmp_path / "data")
    labels = EIGHT_LABELS[:7]
    assert used(report) == {
        "train": dict.fromkeys(labels, 8), "valid": dict.fromkeys(labels, 2), "test": dict.fromkeys(labels, 2)
    }  # fmt: skip
    assert report.skipped_by_reason() == {"missing image": ["train_99999.jpg"]}
    first = next((tmp_path / "data").rglob("train_00000_aligned.jpg"))
    assert first.parent.name == "surprise"
    assert load_split(tmp_path / "data", "test").images.shape == (14, 48, 48, 1)


def test_rafdb_folders_of_kaggle(tmp_path: Path, make_png: Maker) -> None:
    files = {f"DATASET/train/{code}/train_{10 * code + n:05d}_aligned.jpg": make_png(100, seed=10 * code + n)
             for code in range(1, 8) for n in range(5)}  # fmt: skip
    files |= {f"DATASET/test/{code}/test_{code:05d}_aligned.jpg": make_png(99, seed=code) for code in range(1, 8)}
    files["train_labels.csv"] = b"image,label\n"
    report = prepare("rafdb", [write(tmp_path / "kaggle", files)], tmp_path / "data")
    assert {split: sum(counts.values()) for split, counts in report.counts.items()} == {
        "train": 28, "valid": 7, "test": 7
    }  # fmt: skip
    assert (tmp_path / "data/test/neutral/test_00007_aligned.jpg").is_file()
    assert report.skipped == ()


def test_rafdb_names_the_missing_file(tmp_path: Path, rafdb: dict[str, bytes]) -> None:
    no_images = {name: content for name, content in rafdb.items() if "/aligned/" not in name}
    with pytest.raises(DataError, match=r"extract Image/aligned\.zip of RAF-DB's archive"):
        prepare("rafdb", [write(tmp_path / "one", no_images)], tmp_path / "data")
    no_table = {name: content for name, content in rafdb.items() if not name.endswith(".txt")}
    with pytest.raises(DataError, match=r"neither list_patition_label\.txt \(in EmoLabel/"):
        prepare("rafdb", [write(tmp_path / "two", no_table)], tmp_path / "data")
    assert not (tmp_path / "data").exists()


def affectnet_table(rows: list[tuple[object, ...]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return text.getvalue().encode()


@pytest.fixture
def affectnet(make_png: Maker) -> dict[str, bytes]:
    """Return the tables with images of 80x80 pixels, of which the face is a part."""
    files: dict[str, bytes] = {}
    tables = {}
    for split, count in {"training": 11, "validation": 8}.items():
        rows: list[tuple[object, ...]] = []
        for number in range(count):
            name = f"{number % 3}/{split}{number:030d}.jpg"
            files[f"Manually_Annotated_Images/{name}"] = make_png(100, seed=len(files), size=80)
            affect = (0.5, -0.25) if number < 8 else (-2, -2)
            rows.append((name, 10, 20, 40, 50, "1.5;2.5;" * 68, number, *affect))
        rows.append(("9/absent.jpg", 0, 0, 40, 50, "1;2", 0, 0, 0))
        tables[f"{split}.csv"] = affectnet_table(rows)
    return {**tables, **files}


def test_affectnet_tables(tmp_path: Path, affectnet: dict[str, bytes]) -> None:
    report = prepare("affectnet", [write(tmp_path / "source", affectnet)], tmp_path / "data", PrepareOptions(classes=8))
    assert used(report) == {"train": dict.fromkeys(EIGHT_LABELS, 1), "valid": dict.fromkeys(EIGHT_LABELS, 1)}
    assert {reason: len(names) for reason, names in report.skipped_by_reason().items()} == {
        "missing image": 2, "no label": 1, "uncertain": 1, "not a face": 1
    }  # fmt: skip
    face = cv2.imread(str(tmp_path / f"data/train/surprise/0_training{3:030d}.jpg"))
    assert face is not None
    assert face.shape == (50, 40, 3)
    rows = read_properties(tmp_path / "data")
    assert rows[f"train/surprise/0_training{3:030d}.jpg"] == {"valence": "0.5", "arousal": "-0.25"}
    assert len(rows) == 16


def test_affectnet_tables_without_header(tmp_path: Path, affectnet: dict[str, bytes]) -> None:
    """The published validation.csv has no header, and more semicolons than commas in its first line."""
    prepare("affectnet", [write(tmp_path / "source", affectnet)], tmp_path / "data")
    for name in ("training.csv", "validation.csv"):
        affectnet[name] = affectnet[name].split(b"\n", 1)[1]
    prepare("affectnet", [write(tmp_path / "bare", affectnet)], tmp_path / "other")
    files = [sorted((p.relative_to(data), p.read_bytes()) for p in data.rglob("*.jpg"))
             for data in (tmp_path / "data", tmp_path / "other")]  # fmt: skip
    assert files[0] == files[1]
    assert len(files[0]) == 14
    affectnet["training.csv"] = b"a,b\nc,d\n"
    with pytest.raises(DataError, match=r"training\.csv lacks the columns subDirectory_filePath"):
        prepare("affectnet", [write(tmp_path / "other table", affectnet)], tmp_path / "new")


def test_affectnet_without_contempt_and_with_cropped_images(tmp_path: Path, affectnet: dict[str, bytes]) -> None:
    row = ("0/cropped.jpg", 300, 200, 80, 80, "1;2", 1, 0.1, 0.2)
    affectnet["training.csv"] += affectnet_table([row]).split(b"\n", 1)[1]
    affectnet["Manually_Annotated_Images/0/cropped.jpg"] = affectnet[
        f"Manually_Annotated_Images/0/training{0:030d}.jpg"
    ]
    report = prepare("affectnet", [write(tmp_path / "source", affectnet)], tmp_path / "data")
    assert len(report.skipped_by_reason()["contempt"]) == 2
    cropped = (tmp_path / "data/train/happy/0_cropped.jpg").read_bytes()
    assert cropped == affectnet["Manually_Annotated_Images/0/cropped.jpg"]


def npy(value: object) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array(value))
    return file.getvalue()


def test_affectnet_values_in_npy_files(tmp_path: Path, make_png: Maker) -> None:
    """Values are strings in the published files; numbers are accepted too."""
    files: dict[str, bytes] = {}
    for folder, seed in {"train_set": 0, "val_set": 100}.items():
        for number in range(8):
            values = {"exp": str(number), "val": "-0.5", "aro": 0.75, "lnd": [[1.0, 2.0]]}
            files |= {f"{folder}/annotations/{number}_{name}.npy": npy(v) for name, v in values.items()}
            files[f"{folder}/images/{number}.jpg"] = make_png(100, seed=seed + number)
    files["train_set/annotations/8_exp.npy"] = npy("1")
    files["train_set/annotations/9_exp.npy"] = b"damaged"
    report = prepare("affectnet", [write(tmp_path / "source", files)], tmp_path / "data", PrepareOptions(classes=8))
    assert used(report) == {"train": dict.fromkeys(EIGHT_LABELS, 1), "valid": dict.fromkeys(EIGHT_LABELS, 1)}
    assert report.skipped_by_reason() == {
        "missing image": ["train_set/images/8.jpg"], "missing value": ["train_set/images/9.jpg"]
    }  # fmt: skip
    assert read_properties(tmp_path / "data")["valid/angry/valid_6.jpg"] == {"valence": "-0.5", "arousal": "0.75"}


def test_affectnet_names_missing_images(tmp_path: Path) -> None:
    files = {f"val_set/annotations/{number}_exp.npy": npy(str(number)) for number in range(3)}
    with pytest.raises(DataError, match=r"3 with the reason 'missing image', such as val_set/images/0\.jpg"):
        prepare("affectnet", [write(tmp_path / "source", files)], tmp_path / "data")


def test_affectnet_names_the_missing_file(tmp_path: Path, affectnet: dict[str, bytes]) -> None:
    tables = {name: content for name, content in affectnet.items() if name.endswith(".csv")}
    with pytest.raises(DataError, match=r"extract Manually_Annotated\.part\*\.rar"):
        prepare("affectnet", [write(tmp_path / "one", tables)], tmp_path / "data")
    with pytest.raises(DataError, match=r"has validation\.csv but no training\.csv"):
        prepare("affectnet", [write(tmp_path / "two", {"validation.csv": tables["validation.csv"]})], tmp_path / "data")
    with pytest.raises(DataError, match=r"neither training\.csv of AffectNet's archive nor annotations/N_exp\.npy"):
        prepare("affectnet", [write(tmp_path / "three", {"a.jpg": b""})], tmp_path / "data")


@pytest.fixture
def jaffe(tmp_path: Path) -> Path:
    """Write JAFFE: ten subjects with two pictures of each expression, in one folder."""
    number = 0
    for subject in ("KA", "KL", "KM", "KR", "MK", "NA", "NM", "TM", "UY", "YM"):
        for code in ("AN", "DI", "FE", "HA", "NE", "SA", "SU"):
            for pose in (1, 2):
                number += 1
                image = np.random.default_rng(number).integers(0, 256, (64, 64), dtype=np.uint8)
                content = cv2.imencode(".tiff", image)[1].tobytes()
                write(tmp_path / "source", {f"jaffe/{subject}.{code}{pose}.{number}.tiff": content})
    return write(tmp_path / "source", {"jaffe/README": b"", "jaffe/KA.XX1.9.tiff": b"", "jaffe/other.tiff": b""})


def test_jaffe_is_split_by_subject(tmp_path: Path, jaffe: Path) -> None:
    report = prepare("jaffe", [jaffe], tmp_path / "data")
    assert {split: set(counts.values()) for split, counts in report.counts.items()} == {"train": {16}, "valid": {4}}
    assert report.skipped_by_reason() == {"unknown code": ["jaffe/KA.XX1.9.tiff"], "no class": ["jaffe/other.tiff"]}
    persons = {face.split: {f.person for f in report.faces if f.split == face.split} for face in report.faces}
    assert len(persons["train"]) == 8
    assert not persons["train"] & persons["valid"]
    assert (tmp_path / "data").joinpath("faces.csv").read_text().count(",KA\n") == 14
    assert {p.name.split(".")[1][:2] for p in (tmp_path / "data").rglob("sad/*")} == {"SA"}
    assert read_info(tmp_path / "data").name == "JAFFE"


def test_jaffe_leave_one_subject_out(tmp_path: Path, jaffe: Path) -> None:
    options = PrepareOptions(folds=10, fold=3, size=48)
    report = prepare("jaffe", [jaffe], tmp_path / "data", options)
    assert report.split_rule == "by subject, fold 3 of 10 for validation, seed 0"
    assert len({face.person for face in report.faces if face.split == "valid"}) == 1
    assert len(list((tmp_path / "data").rglob("*.tiff.png"))) == 140
    with pytest.raises(DataError, match="has 10 subjects, too few for 11 folds"):
        prepare("jaffe", [jaffe], tmp_path / "new", PrepareOptions(folds=11))
    with pytest.raises(DataError, match=r"no pictures such as KA\.AN1\.39\.tiff"):
        prepare("jaffe", [write(tmp_path / "none", {"a.tiff": b""})], tmp_path / "new")


def test_size_applies_to_all_kinds(
    tmp_path: Path, rafdb: dict[str, bytes], affectnet: dict[str, bytes], jaffe: Path
) -> None:
    text = "emotion,pixels,Usage\n" + "".join(f"{n % 7},{' '.join(['9'] * 2304)},Training\n" for n in range(14))
    sources: dict[SourceKind, Path] = {
        "rafdb": write(tmp_path / "rafdb", rafdb), "affectnet": write(tmp_path / "affectnet", affectnet),
        "jaffe": jaffe, "fer2013": write(tmp_path / "fer", {"fer2013.csv": text.encode()}),
        "folder": tmp_path / "data-rafdb/train",
    }  # fmt: skip
    for kind, source in sources.items():
        data = tmp_path / f"data-{kind}"
        report = prepare(kind, [source], data, PrepareOptions(size=32))
        assert report.size == read_info(data).size == 32
        images = [p for p in data.rglob("*") if p.suffix in (".jpg", ".png", ".tiff")]
        assert len(images) == len(report.faces)
        assert {read_image(path).shape[:2] for path in images} == {(32, 32)}
    with pytest.raises(DataError, match="faces of another size"):
        prepare("jaffe", [jaffe], tmp_path / "data-jaffe")
    for size in (15, 1025):
        with pytest.raises(ConfigError, match=rf"invalid `size` {size}: expected 16 to 1024 pixels"):
            prepare("jaffe", [jaffe], tmp_path / "new", PrepareOptions(size=size))
    assert not (tmp_path / "new").exists()
