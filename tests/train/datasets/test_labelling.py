from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer.model.card import asset_path
from edgeinfer.pipeline import Pipeline, load_pipeline
from edgeinfer_train.datasets.labelling.crops import LabelSettings, source_names
from edgeinfer_train.datasets.labelling.session import label_faces
from edgeinfer_train.errors import ConfigError, DataError, RunError

Maker = Callable[..., bytes]


def whole_frames(track: bool) -> Pipeline:
    return load_pipeline(detector="none", track=track)


@pytest.fixture
def source(tmp_path: Path, make_png: Maker) -> Path:
    """Return a folder with three readable pictures, one that is too small, and a damaged one."""
    folder = tmp_path / "camera"
    (folder / "a b").mkdir(parents=True)
    for number, name in enumerate(("a b/1.png", "2 <img src=x>.png", "3.png")):
        (folder / name).write_bytes(make_png(100, seed=number, size=300))
    (folder / "small.png").write_bytes(make_png(100, size=10))
    (folder / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    return folder


def test_crops_are_in_folders_of_the_answer_with_the_confidence_in_the_name(source: Path, tmp_path: Path) -> None:
    warnings: list[str] = []
    page, crops = label_faces(source, tmp_path / "out", whole_frames, LabelSettings(), warn=warnings.append)
    assert len(crops) == 3
    assert "damaged.png" in warnings[0]
    for crop in crops:
        assert crop.file.startswith(f"{crop.label}/")
        assert crop.file.endswith(f"_t0001_f000000_c{round(100 * crop.confidence):03d}.png")
        image = cv2.imread(str(tmp_path / "out" / crop.file))
        assert image is not None
        assert max(image.shape) == 256
    assert {crop.file.rpartition("/")[2].partition("_")[0] for crop in crops} == {
        "a-b-1-png", "2-img-src-x-png", "3-png"
    }  # fmt: skip
    assert page == tmp_path / "out/label.html"


def test_own_labels_start_without_one(source: Path, tmp_path: Path) -> None:
    settings = LabelSettings(labels=("engaged", "very tired"), limit=2)
    page, crops = label_faces(source, tmp_path / "out", whole_frames, settings, warn=lambda _: None)
    assert [crop.label for crop in crops] == ["", ""]
    assert all(crop.file.startswith("unlabelled/") for crop in crops)
    assert '"labels":["engaged","very tired"]' in page.read_text(encoding="utf-8")


def test_clip_gives_a_crop_per_track_and_interval(tmp_path: Path) -> None:
    clip = asset_path("demo.mp4")
    settings = LabelSettings(every_s=1.5)
    _, crops = label_faces(clip, tmp_path / "out", whole_frames, settings, warn=lambda _: None)
    frames = [int(crop.file.split("_f")[1][:6]) for crop in crops]
    assert len(frames) > 1
    assert min(np.diff(frames)) >= 30


def test_unusable_arguments_are_rejected(source: Path, tmp_path: Path) -> None:
    def label(path: Path, **settings: Any) -> None:
        label_faces(path, tmp_path / "out", whole_frames, LabelSettings(**settings), warn=lambda _: None)

    with pytest.raises(ConfigError, match="expected 2 to 1000 names"):
        label(source, labels=("one",))
    with pytest.raises(DataError, match="does not exist"):
        label(tmp_path / "absent")
    with pytest.raises(DataError, match="no face of at least 900 pixels"):
        label(source, min_size=900)
    assert not (tmp_path / "out").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="neither pictures nor clips"):
        label(tmp_path / "empty")
    label(source)
    with pytest.raises(RunError, match="is not empty"):
        label(source)


def test_equal_short_names_are_numbered() -> None:
    assert source_names(["a/1.jpg", "a-1.jpg", "???", "a/1:jpg"]) == ["a-1-jpg", "a-1-jpg-2", "source", "a-1-jpg-3"]


def test_command_prints_the_next_step(source: Path, tmp_path: Path, command: Any) -> None:
    done = command("label", source, "--out", tmp_path / "out", "--detector", "none", "--labels", "on,off")
    assert done.code == 0
    assert "3  no label yet" in done.out
    assert f"edgeinfer-train prepare folder {tmp_path / 'out'} --corrections corrections.csv --out DATA" in done.out
    assert command("label", source, "--out", tmp_path / "out").code == 6
