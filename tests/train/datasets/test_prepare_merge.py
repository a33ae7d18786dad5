"""Merging of prepared data folders."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer_train.datasets.grouping import find_copies
from edgeinfer_train.datasets.load import load_split, read_image, read_info, read_properties
from edgeinfer_train.datasets.prepare import prepare_folder, prepare_merged
from edgeinfer_train.datasets.prepare.ferplus import prepare_ferplus
from edgeinfer_train.errors import ConfigError, DataError

MakeSet = Callable[..., Path]


def face(seed: int, size: int = 48) -> np.ndarray[Any, Any]:
    """Return smooth noise: faces of different seeds have different perceptual hashes, at any size."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC))


@pytest.fixture
def make_set(tmp_path: Path) -> MakeSet:
    """Prepare a data folder from faces `split/label/name` with a seed, or with a seed and a size."""

    def make(name: str, faces: dict[str, int | tuple[int, int]], rows: str = "") -> Path:
        for path, value in faces.items():
            target = tmp_path / f"source-{name}/{path}"
            target.parent.mkdir(parents=True, exist_ok=True)
            seed, size = value if isinstance(value, tuple) else (value, 48)
            cv2.imwrite(str(target), face(seed, size))
        source = tmp_path / f"source-{name}"
        if rows:
            (source / "faces.csv").write_text(rows, encoding="utf-8")
            source /= "faces.csv"
        prepare_folder(source, tmp_path / name)
        return tmp_path / name

    return make


def images(data: Path) -> set[str]:
    return {p.relative_to(data).as_posix() for p in data.rglob("*") if p.parent.parent.parent == data}


def basic(start: int, labels: tuple[str, ...] = ("happy", "sad")) -> dict[str, int | tuple[int, int]]:
    """Return two training faces and one validation face per label."""
    places = [f"{split}/{label}" for label in labels for split in ("train", "train", "valid")]
    return {f"{place}/{start + i}.png": start + i for i, place in enumerate(places)}


@pytest.fixture
def write_map(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        (tmp_path / "map.toml").write_text(text, encoding="utf-8")
        return tmp_path / "map.toml"

    return write


def test_merge_keeps_splits_and_maps_labels(
    tmp_path: Path, make_set: MakeSet, write_map: Callable[[str], Path]
) -> None:
    one = make_set("one", basic(0))
    two = make_set("two", basic(100, ("engaged", "bored", "müde")))
    label_map = write_map('[sets.two]\nengaged = "happiness"\nbored = "neutral"\n"müde" = ""\n')
    report = prepare_merged([one, two], tmp_path / "out", label_map=label_map)
    assert report.labels == ("neutral", "happy", "sad")
    assert images(tmp_path / "out") == images(one) | {
        "train/happy/100.png", "train/happy/101.png", "valid/happy/102.png",
        "train/neutral/103.png", "train/neutral/104.png", "valid/neutral/105.png",
    }  # fmt: skip
    assert report.skipped_by_reason() == {
        "other class": ["two/train/müde/106.png", "two/train/müde/107.png", "two/valid/müde/108.png"]
    }
    assert (report.split_rule, report.size) == ("as in the merged sets", None)
    assert read_info(tmp_path / "out").name == "source-one + source-two"
    assert (tmp_path / "out/train/happy/100.png").read_bytes() == (two / "train/engaged/100.png").read_bytes()
    assert prepare_merged([one, two], tmp_path / "out", label_map=label_map).written == 0


def test_merging_a_set_with_itself_yields_the_set(tmp_path: Path, make_set: MakeSet) -> None:
    one = make_set("one", basic(0))
    report = prepare_merged([one, one], tmp_path / "out")
    assert images(tmp_path / "out") == images(one)
    assert [len(names) for names in report.skipped_by_reason().values()] == [6]
    assert set(report.skipped_by_reason()) == {"duplicate face"}


def test_no_face_remains_in_two_splits(tmp_path: Path, make_set: MakeSet) -> None:
    """Keep the test face, then the validation face, of exact and of near-identical copies, and count conflicts."""
    one = make_set("one", {**basic(0), "train/happy/a.png": 50, "valid/happy/a.png": 50, "train/sad/b.png": 51})
    two = make_set("two", {**basic(100), "test/happy/b.png": (51, 96), "valid/sad/c.png": 0, "train/sad/d.png": 60,
                           "train/sad/e.png": 60})  # fmt: skip
    report = prepare_merged([one, two], tmp_path / "out")
    found = images(tmp_path / "out")
    assert {"valid/happy/a.png", "test/happy/b.png", "valid/sad/c.png"} <= found
    assert report.skipped_by_reason() == {
        "duplicate with another label": ["one/train/happy/0.png", "one/train/sad/b.png"],
        "duplicate face": ["one/train/happy/a.png", "two/train/sad/e.png"],
    }
    assert report.duplicates == {}
    assert sum(sum(counts.values()) for counts in report.counts.values()) == len(found) == 15


def test_faces_of_different_sizes_have_the_median_size(tmp_path: Path, make_set: MakeSet) -> None:
    one = make_set("one", basic(0))
    two = make_set("two", {"train/happy/a.jpg": (90, 100), "train/sad/b.bmp": (91, 60)})
    report = prepare_merged([one, two], tmp_path / "out")
    assert report.size == read_info(tmp_path / "out").size == 48
    assert {"train/happy/a.jpg", "train/sad/b.bmp.png"} <= images(tmp_path / "out")
    assert {read_image(tmp_path / "out" / name).shape for name in images(tmp_path / "out")} == {(48, 48)}
    assert {face.width for face in report.faces} == {48, 60, 100}
    assert prepare_merged([one, two], tmp_path / "large", size=64).size == 64


def test_names_that_occur_in_two_sets_are_kept_apart(tmp_path: Path, make_set: MakeSet) -> None:
    one = make_set("x/data", {"train/happy/a.png": 1, "train/sad/b.png": 2, "valid/sad/c.png": 3})
    two = make_set("y/data", {"train/happy/a.png": 4, "train/sad/b.png": 5, "valid/sad/d.png": 6})
    three = make_set("data-2", {"train/happy/e.png": 7, "train/sad/f.png": 8})
    assert len(prepare_merged([one, two, three], tmp_path / "all").faces) == 8
    prepare_merged([one, two], tmp_path / "out")
    assert images(tmp_path / "out") == {
        "train/happy/data_train_happy_a.png", "train/happy/data-2_train_happy_a.png",
        "train/sad/data_train_sad_b.png", "train/sad/data-2_train_sad_b.png", "valid/sad/c.png", "valid/sad/d.png",
    }  # fmt: skip


def test_votes_and_properties_are_kept(
    tmp_path: Path, make_set: MakeSet, make_ferplus: Any, make_row: Any, write_map: Callable[[str], Path]
) -> None:
    """Votes of merged labels are added; single votes of FERPlus are zeroed before, and a face without votes has one."""

    def png(seed: int) -> bytes:
        return cv2.imencode(".png", face(seed))[1].tobytes()

    rows = [
        make_row("Training", "a.png", "0,9,1,0,0,0,0,0,0,0", png(70)),
        make_row("Training", "b.png", "4,0,0,3,3,0,0,0,0,0", png(71)),
        make_row("PublicTest", "c.png", "6,0,0,0,0,0,0,2,2,0", png(72)),
    ]
    prepare_ferplus(make_ferplus(tmp_path / "ferplus", rows), tmp_path / "voted")
    table = "path,label,split,person,valence,arousal\na.png,happy,train,anna,0.5,\nb.png,sad,valid,ben,,-0.5\n"
    table += "c.png,sad,train,carl,,\n"
    own = make_set("own", {"a.png": 80, "b.png": 81, "c.png": 82}, table)
    label_map = write_map("[labels]\n" + "\n".join(f'{name} = "negative"' for name in ("sad", "angry", "fear")))
    prepare_merged([tmp_path / "voted", own], tmp_path / "out", label_map=label_map)
    with (tmp_path / "out/votes.csv").open(encoding="utf-8", newline="") as file:
        votes = {row.pop("file"): {k: float(v) for k, v in row.items() if float(v)} for row in csv.DictReader(file)}
    assert votes == {
        "train/happy/voted_train_happy_a.png": {"happy": 9},
        "train/negative/voted_train_neutral_b.png": {"neutral": 4, "negative": 6},
        "valid/neutral/voted_valid_neutral_c.png": {"neutral": 6, "other/none": 4},
        "train/happy/own_train_happy_a.png": {"happy": 1},
        "valid/negative/own_valid_sad_b.png": {"negative": 1},
        "train/negative/own_train_sad_c.png": {"negative": 1},
    }
    assert read_properties(tmp_path / "out") == {
        "train/happy/own_train_happy_a.png": {"person": "anna", "valence": "0.5", "arousal": ""},
        "valid/negative/own_valid_sad_b.png": {"person": "ben", "valence": "", "arousal": "-0.5"},
        "train/negative/own_train_sad_c.png": {"person": "carl", "valence": "", "arousal": ""},
    }
    assert read_info(tmp_path / "out").default_label_mode == "votes"
    soft = load_split(tmp_path / "out", "train").soft_labels
    assert sorted(soft.max(1).tolist()) == pytest.approx([0.6, 1, 1, 1])
    assert len(load_split(tmp_path / "out", "valid", label_mode="majority")) == 2


INVALID_MAPS = {
    "not TOML": ("labels = [", ConfigError, "not valid TOML"),
    "other table": ("[label]\na = 'b'", ConfigError, r"unknown entry label: expected the tables \[labels\]"),
    "number": ("[labels]\nhappy = 1", ConfigError, r"\[labels\] in .* is not a table of texts"),
    "no table": ("sets = 1", ConfigError, "is not a table"),
    "unknown label": ("[labels]\ntierd = 'sad'", ConfigError, "entry for tierd, .* expected one of happy, sad, tired"),
    "unknown set": ("[sets.three]\ntired = 'sad'", ConfigError, "the set three: expected one of one, two"),
    "label of the other set": ("[sets.one]\ntired = 'sad'", ConfigError, "tired, which is not a label of the set one"),
    "unmapped": ("", DataError, r"two has 1 label that one lacks \(tired\): map each in the table \[sets.two\]"),
    "one label": ("[labels]\nsad = 'happy'\ntired = ''", ConfigError, "expected 2 to 1000 names"),
    "folder name": ("[labels]\ntired = '../x'", ConfigError, r"invalid label '\.\./x'"),
}


@pytest.mark.parametrize(("text", "error", "message"), INVALID_MAPS.values(), ids=INVALID_MAPS.keys())
def test_invalid_label_maps_are_rejected(
    tmp_path: Path,
    make_set: MakeSet,
    write_map: Callable[[str], Path],
    text: str,
    error: type[Exception],
    message: str,
) -> None:
    sets = [make_set("one", basic(0)), make_set("two", basic(100, ("happy", "tired")))]
    with pytest.raises(error, match=message):
        prepare_merged(sets, tmp_path / "out", label_map=write_map(text))
    assert not (tmp_path / "out").exists()


def test_unusable_sets_are_rejected(tmp_path: Path, make_set: MakeSet, write_map: Callable[[str], Path]) -> None:
    one = make_set("one", basic(0))
    before = images(one)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty has no dataset\.json: create a data folder with"):
        prepare_merged([one, tmp_path / "empty"], tmp_path / "out")
    with pytest.raises(DataError, match="no votes: set `label_mode` to argmax"):
        prepare_merged([one, one], tmp_path / "out", label_mode="votes")
    with pytest.raises(DataError, match="already contains a different data set"):
        prepare_merged([one, make_set("two", basic(100))], one)
    with pytest.raises(ConfigError, match="at least one prepared data folder"):
        prepare_merged([], tmp_path / "out")
    assert images(one) == before
    assert not (tmp_path / "out").exists()


def test_unreadable_face_is_skipped(tmp_path: Path, make_set: MakeSet) -> None:
    one, two = make_set("one", basic(0)), make_set("two", basic(100))
    (two / "train/sad/103.png").write_bytes(b"broken")
    (two / "train/sad/104.png").unlink()
    (two / "train/sad/104.png").symlink_to("nowhere")
    report = prepare_merged([one, two], tmp_path / "out")
    assert report.skipped_by_reason() == {
        "unreadable image": ["two/train/sad/103.png"], "unreadable file": ["two/train/sad/104.png"]
    }  # fmt: skip
    shutil.rmtree(one / "valid")
    shutil.rmtree(two / "valid")
    assert prepare_merged([one, two], tmp_path / "new").split_rule.startswith("20% of training taken for validation")


def test_copies_are_found_in_other_parts_only() -> None:
    hashes = np.array([[0, 0], [1, 0], [3, 1], [2**12 - 1, 0], [2**13 - 1, 0], [2**63, 2**62]], np.uint64)
    assert find_copies(hashes, np.array([0, 1, 0, 1, 2, 3])).tolist() == [-1, 0, -1, 0, 2, 0]
    assert find_copies(hashes, np.zeros(6, np.int64)).tolist() == [-1] * 6
    assert find_copies(hashes[:0], np.zeros(0, np.int64)).tolist() == []


def test_command_accepts_both_spellings(tmp_path: Path, make_set: MakeSet, command: Any) -> None:
    one, two = make_set("one", basic(0)), make_set("two", {**basic(100), "train/sad/x.png": (90, 64)})
    done = command("prepare", "--merge", one, two, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert "the faces had different sizes and were scaled to 48x48; --size changes it" in done.err
    assert images(tmp_path / "out") == images(one) | images(two)
    assert "already complete" in command("prepare", "merge", one, two, "--out", tmp_path / "out").out
    assert command("prepare", "merge", one, two, "--out", tmp_path / "out", "--size", "32").code == 4
    done = command("prepare", "folder", one, two, "--out", tmp_path / "new")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "folder reads one source, not 2" in done.err
