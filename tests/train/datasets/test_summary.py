from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer.errors import OutputError
from edgeinfer_train.datasets.prepare import prepare_folder
from edgeinfer_train.datasets.summary import save_summary


@pytest.fixture
def make_summary(tmp_path: Path, make_toy_data: Callable[..., Path]) -> Callable[..., Path]:
    """Prepare toy faces, and draw their summary."""

    def make(train: int, *, path: str = "summary.png", **options: Any) -> Path:
        source = make_toy_data(tmp_path / f"source{train}", train=train, valid=4)
        report = prepare_folder(source, tmp_path / f"data{train}", **options)
        save_summary(tmp_path / f"data{train}", report, tmp_path / path)
        return tmp_path / path

    return make


def test_summary_shows_sample_faces(make_summary: Callable[..., Path]) -> None:
    """Check that the dark grey area of the picture grows with the number of dark toy faces."""
    shown = {}
    for name, count in {"few": 4, "many": 40}.items():
        picture = cv2.imread(str(make_summary(count, labels=("neutral", "happy"))))
        assert picture is not None
        assert picture.shape[1] > 900
        shown[name] = int((np.abs(picture[picture.shape[0] // 2 :].astype(int) - 60) < 20).all(2).sum())
    assert shown["many"] > 2 * shown["few"] > 0


def test_summary_includes_labels_without_faces(make_summary: Callable[..., Path]) -> None:
    assert make_summary(4).stat().st_size > 10_000


def test_unwritable_summary_is_rejected(make_summary: Callable[..., Path]) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        make_summary(4, path="nowhere/summary.png")
