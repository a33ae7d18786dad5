from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer.errors import OutputError
from edgeinfer_train.datasets.summary import save_summary


def test_summary_shows_sample_faces(tmp_path: Path, make_toy_data: Callable[..., Path]) -> None:
    """Check that the dark grey area of the picture grows with the number of dark toy faces."""
    shown = {}
    for name, count in {"few": 2, "many": 40}.items():
        data = make_toy_data(tmp_path / name, train=count, valid=2, labels=("neutral", "happy"))
        save_summary(data, tmp_path / f"{name}.png")
        picture = cv2.imread(str(tmp_path / f"{name}.png"))
        assert picture is not None
        assert picture.shape[1] > 900
        shown[name] = int((np.abs(picture[picture.shape[0] // 2 :].astype(int) - 60) < 20).all(2).sum())
    assert shown["many"] > 4 * shown["few"] > 0


def test_summary_includes_labels_without_faces(tmp_path: Path, make_toy_data: Callable[..., Path]) -> None:
    data = make_toy_data(tmp_path / "data", train=4, valid=2)
    content = (data / "dataset.json").read_text()
    (data / "dataset.json").write_text(content.replace('"happy"', '"happy", "fear"'))
    save_summary(data, tmp_path / "summary.png")
    assert (tmp_path / "summary.png").stat().st_size > 10_000


def test_unwritable_summary_is_rejected(tmp_path: Path, make_toy_data: Callable[..., Path]) -> None:
    data = make_toy_data(tmp_path / "data", train=4, valid=2)
    with pytest.raises(OutputError, match="cannot write"):
        save_summary(data, tmp_path / "nowhere" / "summary.png")
