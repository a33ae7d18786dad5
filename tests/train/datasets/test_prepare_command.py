from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeinfer.system.interrupts import Interrupted
from edgeinfer_train.datasets.prepare import writing


@pytest.fixture
def source(tmp_path: Path, make_png: Callable[..., bytes]) -> Path:
    for number, label in enumerate(("happy", "sad") * 5):
        path = tmp_path / f"source/{label}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make_png(100, seed=number))
    return tmp_path / "source"


def test_prepare_prints_a_report_and_draws_a_summary(tmp_path: Path, source: Path, command: Any) -> None:
    picture = tmp_path / "summary.png"
    options = ("--classes", "7", "--seed", "3", "--summary", picture)
    done = command("prepare", "folder", source, "--out", tmp_path / "data", *options)
    assert done.code == 0
    assert picture.is_file()
    assert str(picture) in done.out
    assert "labels by one label a face; splits 20% of training taken for validation, stratified, seed 3" in done.out
    assert "the train split has no face of neutral, surprise, angry, disgust, fear" in done.err


def test_prepare_warns_about_duplicates(tmp_path: Path, source: Path, command: Any) -> None:
    shutil.copytree(source, tmp_path / "set/train")
    shutil.copytree(source / "sad", tmp_path / "set/valid/sad")
    done = command("prepare", "folder", tmp_path / "set", "--out", tmp_path / "data")
    assert done.code == 0
    assert "5 train faces have the same pixels as a valid face; training excludes them" in done.err


def test_damaged_image_is_reported_without_libpng_messages(tmp_path: Path, source: Path, command: Any) -> None:
    path = source / "happy/0.png"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    done = command("prepare", "folder", source, "--out", tmp_path / "data")
    assert done.code == 0
    assert "unreadable image" in done.out
    assert "happy/0.png" in done.out
    assert "libpng" not in done.err


def test_ferplus_options_are_applied(tmp_path: Path, make_ferplus: Any, make_row: Any, command: Any) -> None:
    rows = [make_row("Training", "a.png", "5,0,0,3,0,2,0,0,0,0"), make_row("Training", "b.png", "0,0,0,0,0,0,0,9,0,0")]
    source, data = make_ferplus(tmp_path / "ferplus", rows), tmp_path / "data"
    options = ("--neutral-rule", "others", "--classes", "8", "--label-mode", "majority")
    done = command("prepare", "ferplus", source, "--out", data, *options)
    assert done.code == 0
    assert {p.parent.name for p in data.rglob("*.png")} == {"sad", "contempt"}
    assert "labels by argmax over ten votes, neutral yields to others, faces with a majority only" in done.out


@pytest.mark.parametrize("kind", ["ckplus", "folder"])
def test_classes_8_includes_contempt(tmp_path: Path, make_png: Callable[..., bytes], command: Any, kind: str) -> None:
    for number, label in enumerate(("happy", "contempt") * 5):
        path = tmp_path / f"faces/{label}/S{number:03d}_001_{number:08d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make_png(100, seed=number))
    assert command("prepare", kind, tmp_path / "faces", "--out", tmp_path / "seven", "--classes", "7").code == 4
    done = command("prepare", kind, tmp_path / "faces", "--out", tmp_path / "eight", "--classes", "8")
    assert done.code == 0
    assert len(list((tmp_path / "eight").rglob("contempt/*.png"))) == 5


def test_fold_options_select_the_validation_fold(tmp_path: Path, make_png: Callable[..., bytes], command: Any) -> None:
    for number, label in enumerate(("happy", "sad") * 6):
        path = tmp_path / f"faces/{label}/S{number:03d}_001_00000001.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make_png(100, seed=number))
    validated: list[str] = []
    for fold in (1, 2, 3):
        out = tmp_path / f"data{fold}"
        done = command("prepare", "ckplus", tmp_path / "faces", "--out", out, "--folds", "3", "--fold", fold)
        assert f"by subject, fold {fold} of 3" in done.out
        validated += [p.name for p in (out / "valid").rglob("*.png")]
    assert len(validated) == len(set(validated)) == 12


def test_fer2013_with_eight_labels(tmp_path: Path, command: Any) -> None:
    face = " ".join(["7"] * 48 * 48)
    rows = [f"{code},{face},{usage}" for code in (0, 3) for usage in ("Training", "PublicTest")]
    (tmp_path / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]) + "\n")
    done = command("prepare", "fer2013", tmp_path / "fer2013.csv", "--out", tmp_path / "data", "--classes", "8")
    assert done.code == 0
    assert "the train split has no face of neutral, surprise, sad, disgust, fear, contempt" in done.err


def test_interruption_states_how_to_continue(
    tmp_path: Path, source: Path, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted(2)

    monkeypatch.setattr(writing, "perceptual_hash", interrupt)
    done = command("prepare", "folder", source, "--out", tmp_path / "data")
    assert done.code == 130
    assert done.err == f"edgeinfer-train: interrupted; run the same command again to complete {tmp_path / 'data'}\n"
    monkeypatch.undo()
    assert command("prepare", "folder", source, "--out", tmp_path / "data").code == 0
    assert len(list((tmp_path / "data").rglob("*.png"))) == 10


REJECTED = {
    "suffix": (["folder", "{source}", "--summary", "{tmp}/summary.gif"], 2, ".png"),
    "folder": (["folder", "{source}", "--summary", "{tmp}/none/summary.png"], 6, "create it first"),
    "option": (["folder", "{source}", "--folds", "3"], 2, "--folds applies to ckplus, jaffe only"),
    "fold": (["ckplus", "{source}", "--fold", "9"], 2, "invalid --fold 9 of --folds 5"),
    "mode": (["folder", "{source}", "--label-mode", "votes"], 4, "set --label-mode to argmax"),
    "rule": (["fer2013", "{source}", "--neutral-rule", "others"], 2, "--neutral-rule applies to ferplus only"),
    "layout": (["ferplus", "{source}"], 4, "has no fer2013new.csv"),
}


@pytest.mark.parametrize(("arguments", "code", "message"), REJECTED.values(), ids=REJECTED.keys())
def test_invalid_arguments_are_rejected(
    tmp_path: Path, source: Path, command: Any, arguments: list[str], code: int, message: str
) -> None:
    given = [argument.format(source=source, tmp=tmp_path) for argument in arguments]
    done = command("prepare", *given, "--out", tmp_path / "data")
    assert done.code == code
    assert message in done.err
    assert not (tmp_path / "data").exists()
