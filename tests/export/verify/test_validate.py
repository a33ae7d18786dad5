"""The verdict: what it lets pass and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer_export.errors import ExportError
from edgeinfer_export.verify.verdict import (
    TOLERANCE,
    VERDICT_FACES,
    Sample,
    batch_difference,
    face_sample,
    generated_sample,
    judge,
    relative_difference,
)
from edgeinfer_train.errors import DataError

from ..conftest import LABELS, DataMaker

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 1), dtype=np.uint8)
ANSWERS = np.random.default_rng(1).normal(0, 4, (20, 3)).astype(np.float32)


class Recorded:
    """Stands for a model and for a session: gives a prepared answer for each known picture."""

    def __init__(self, answers: np.ndarray, *, batch_error: float = 0.0) -> None:
        self._answers = {image.tobytes(): answer for image, answer in zip(IMAGES, answers, strict=True)}
        self._batch_error, self.runs = batch_error, 0

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        return np.stack([self._answers[image.tobytes()] for image in images])

    def run(self, names: object, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.runs += 1
        images = feed["image"]
        return [self.predict_on_batch(images) + (self._batch_error if len(images) > 1 else 0)]


def verdict(answers: np.ndarray, **options: float) -> Any:
    return judge(Recorded(ANSWERS), Recorded(answers, **options), Sample(IMAGES, split="valid"))


def test_the_same_answers_pass() -> None:
    found = verdict(ANSWERS)
    assert (found.count, found.decided, found.max_relative_difference) == (20, 20, 0.0)
    assert found.verified == "on 20 validation faces"


def test_generated_pictures_are_no_verification() -> None:
    assert judge(Recorded(ANSWERS), Recorded(ANSWERS), Sample(IMAGES)).verified == "not verified on faces"


def test_a_difference_below_the_tolerance_passes_and_is_told() -> None:
    shifted = ANSWERS.copy()
    shifted[3] += 0.5 * TOLERANCE * np.abs(ANSWERS).max()
    assert verdict(shifted).max_relative_difference == pytest.approx(0.5 * TOLERANCE, rel=0.05)


@pytest.mark.parametrize("wrong", [3 * TOLERANCE, np.nan, np.inf, -5.0], ids=["small", "nan", "infinite", "large"])
def test_one_wrong_logit_is_refused(wrong: float) -> None:
    shifted = ANSWERS.copy()
    shifted[7, 1] += wrong * np.abs(ANSWERS).max()
    with pytest.raises(ExportError, match=r"differs from Keras by .* on 20 validation faces") as caught:
        verdict(shifted)
    assert caught.value.exit_code == 5


def test_a_clear_label_that_flips_within_the_tolerance_is_refused() -> None:
    expected, answers = np.full((2, 20, 3), 100.0, np.float32)
    expected[:, 0] += 0.06
    answers[:, :2] += (0.01, 0.05)
    sample = Sample(IMAGES, split="valid")
    with pytest.raises(ExportError, match="another label than Keras for 20 of 20"):
        judge(Recorded(expected), Recorded(answers), sample)


def test_a_label_may_flip_where_the_margin_is_smaller_than_the_error() -> None:
    expected, answers = np.full((2, 20, 3), 100.0, np.float32)
    expected[:, 0] += 0.01
    answers[:, 1] += 0.05
    assert judge(Recorded(expected), Recorded(answers), Sample(IMAGES, split="valid")).decided == 0


def test_a_batch_that_answers_otherwise_than_its_faces_is_refused() -> None:
    session: Any = Recorded(ANSWERS, batch_error=0.1)
    alone = np.abs(ANSWERS[:8]).max()
    assert batch_difference(session, IMAGES) == pytest.approx(0.1 / alone, rel=0.05)
    assert batch_difference(Recorded(ANSWERS), IMAGES) == 0.0


@pytest.mark.parametrize(
    ("expected", "answer", "difference"),
    [([0.1, 0.2], [0.1, 0.3], 0.1), ([10.0, 0.0], [10.0, 1.0], 0.1), ([-20.0, 0.0], [-18.0, 0.0], 0.1)],
    ids=["relative to 1", "relative to the largest", "sign left out"],
)
def test_relative_difference(expected: list[float], answer: list[float], difference: float) -> None:
    found = relative_difference(np.array([expected], np.float32), np.array([answer], np.float32))
    assert found == pytest.approx(difference, rel=1e-5)


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        ({"train": 1, "valid": 2, "test": 3}, "valid"),
        ({"train": 1, "test": 3}, "test"),
        ({"train": 1}, "train"),
    ],
    ids=["validation first", "then test", "then training"],
)
def test_faces_come_from_the_best_split(make_data: DataMaker, splits: dict[str, int], expected: str) -> None:
    sample = face_sample(make_data(**splits), LABELS, size_hw=(48, 48), colour="grey")
    assert (sample.split, len(sample.images)) == (expected, splits[expected] * len(LABELS))
    assert (sample.dataset, sample.protocol) == ("blobs", "by place, 7 labels")


def test_data_with_other_labels_are_refused(make_data: DataMaker) -> None:
    with pytest.raises(DataError, match="has the labels fear neutral and not happy surprise"):
        face_sample(make_data(labels=("fear", "neutral"), valid=1), LABELS, size_hw=(48, 48), colour="grey")


def test_an_empty_data_folder_is_refused(make_data: DataMaker, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no valid faces"):
        face_sample(make_data(), LABELS, size_hw=(48, 48), colour="grey")
    with pytest.raises(DataError, match="edgeinfer-train prepare"):
        face_sample(tmp_path / "missing", LABELS, size_hw=(48, 48), colour="grey")


def test_generated_pictures_follow_the_seed() -> None:
    first, again, other = (generated_sample((8, 8, 3), seed).images for seed in (1, 1, 2))
    assert first.shape == (VERDICT_FACES, 8, 8, 3)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_faces_of_other_labels_are_left_out_and_the_order_is_the_models(make_data: DataMaker) -> None:
    sample = face_sample(make_data(valid=2), ("fear", "happy"), size_hw=(48, 48), colour="grey")
    named = {name.split("/")[1] for name in sample.names}
    assert named == {"fear", "happy"}
    assert sample.labels is not None
    assert [("fear", "happy")[label] for label in sample.labels] == [name.split("/")[1] for name in sample.names]
