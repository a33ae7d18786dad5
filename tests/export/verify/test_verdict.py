"""Comparison of the float32 graph with Keras, and the images that it uses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer_export.errors import ExportError
from edgeinfer_export.verify.verdict import (
    TOLERANCE,
    VERDICT_FACES,
    EvaluationSet,
    batch_difference,
    compare_with_original,
    generate_images,
    load_faces,
    relative_difference,
)
from edgeinfer_train.errors import DataError

from ..conftest import LABELS, DataMaker

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 1), dtype=np.uint8)
LOGITS = np.random.default_rng(1).normal(0, 4, (20, 3)).astype(np.float32)


class ModelStub:
    """Keras model and ONNX session that return prepared logits for each known image."""

    input_shape = (None, 4, 4, 1)

    def __init__(self, logits: np.ndarray, *, batch_error: float = 0.0) -> None:
        self._logits = {image.tobytes(): row for image, row in zip(IMAGES, logits, strict=True)}
        self._batch_error = batch_error

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        return np.stack([self._logits[image.tobytes()] for image in images])

    def run(self, names: object, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        images = feed["image"]
        return [self.predict_on_batch(images) + (self._batch_error if len(images) > 1 else 0)]


def compare(logits: np.ndarray, **options: float) -> Any:
    return compare_with_original(ModelStub(LOGITS), ModelStub(logits, **options), EvaluationSet(IMAGES, split="valid"))


def test_equal_logits_pass() -> None:
    verdict = compare(LOGITS)
    assert (verdict.count, verdict.decided, verdict.max_relative_difference) == (20, 20, 0.0)
    assert verdict.verified == "on 20 validation faces"


def test_generated_images_do_not_count_as_verification() -> None:
    assert (
        compare_with_original(ModelStub(LOGITS), ModelStub(LOGITS), EvaluationSet(IMAGES)).verified
        == "not verified on faces"
    )


def test_difference_below_the_tolerance_passes_and_is_reported() -> None:
    shifted = LOGITS.copy()
    shifted[3] += 0.5 * TOLERANCE * np.abs(LOGITS).max()
    assert compare(shifted).max_relative_difference == pytest.approx(0.5 * TOLERANCE, rel=0.05)


@pytest.mark.parametrize("wrong", [3 * TOLERANCE, np.nan, np.inf, -5.0], ids=["small", "nan", "infinite", "large"])
def test_one_wrong_logit_is_rejected(wrong: float) -> None:
    shifted = LOGITS.copy()
    shifted[7, 1] += wrong * np.abs(LOGITS).max()
    with pytest.raises(ExportError, match=r"differs from the original one by .* on 20 validation faces") as caught:
        compare(shifted)
    assert caught.value.exit_code == 5


def test_changed_clear_label_within_the_tolerance_is_rejected() -> None:
    expected, logits = np.full((2, 20, 3), 100.0, np.float32)
    expected[:, 0] += 0.06
    logits[:, :2] += (0.01, 0.05)
    images = EvaluationSet(IMAGES, split="valid")
    with pytest.raises(ExportError, match="top label of the ONNX model differs from the original for 20 of 20"):
        compare_with_original(ModelStub(expected), ModelStub(logits), images)


def test_label_may_change_if_its_margin_is_smaller_than_the_error() -> None:
    expected, logits = np.full((2, 20, 3), 100.0, np.float32)
    expected[:, 0] += 0.01
    logits[:, 1] += 0.05
    images = EvaluationSet(IMAGES, split="valid")
    assert compare_with_original(ModelStub(expected), ModelStub(logits), images).decided == 0


def test_batch_difference_is_relative_to_the_largest_logit() -> None:
    session: Any = ModelStub(LOGITS, batch_error=0.1)
    alone = np.abs(LOGITS[:8]).max()
    assert batch_difference(session, IMAGES) == pytest.approx(0.1 / alone, rel=0.05)
    assert batch_difference(ModelStub(LOGITS), IMAGES) == 0.0


def test_logits_that_depend_on_the_batch_are_rejected() -> None:
    model, session = ModelStub(LOGITS + 1.0), ModelStub(LOGITS, batch_error=1.0)
    with pytest.raises(ExportError, match="the logits of a batch differ from those of single faces by"):
        compare_with_original(model, session, EvaluationSet(IMAGES, split="valid"))


@pytest.mark.parametrize(
    ("expected", "actual", "difference"),
    [([0.1, 0.2], [0.1, 0.3], 0.1), ([10.0, 0.0], [10.0, 1.0], 0.1), ([-20.0, 0.0], [-18.0, 0.0], 0.1)],
    ids=["relative to 1", "relative to the largest", "absolute value"],
)
def test_relative_difference(expected: list[float], actual: list[float], difference: float) -> None:
    result = relative_difference(np.array([expected], np.float32), np.array([actual], np.float32))
    assert result == pytest.approx(difference, rel=1e-5)


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        ({"train": 1, "valid": 2, "test": 3}, "valid"),
        ({"train": 1, "test": 3}, "test"),
        ({"train": 1}, "train"),
    ],
    ids=["validation first", "then test", "then training"],
)
def test_faces_are_loaded_from_the_preferred_split(make_data: DataMaker, splits: dict[str, int], expected: str) -> None:
    faces = load_faces(make_data(**splits), LABELS, size_hw=(48, 48), colour="grey")
    assert (faces.split, len(faces.images)) == (expected, splits[expected] * len(LABELS))
    assert (faces.dataset, faces.protocol) == ("blobs", "by place, 7 labels")


def test_data_without_a_label_of_the_model_are_rejected(make_data: DataMaker) -> None:
    with pytest.raises(DataError, match="has the labels fear neutral, not happy surprise"):
        load_faces(make_data(labels=("fear", "neutral"), valid=1), LABELS, size_hw=(48, 48), colour="grey")


def test_data_without_faces_are_rejected(make_data: DataMaker, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no valid faces"):
        load_faces(make_data(), LABELS, size_hw=(48, 48), colour="grey")
    with pytest.raises(DataError, match="edgeinfer-train prepare"):
        load_faces(tmp_path / "missing", LABELS, size_hw=(48, 48), colour="grey")


def test_generated_images_depend_on_the_seed() -> None:
    first, again, other = (generate_images((8, 8, 3), seed).images for seed in (1, 1, 2))
    assert first.shape == (VERDICT_FACES, 8, 8, 3)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_faces_with_other_labels_are_excluded_and_the_label_order_is_the_models(make_data: DataMaker) -> None:
    faces = load_faces(make_data(valid=2), ("fear", "happy"), size_hw=(48, 48), colour="grey")
    folders = {name.split("/")[1] for name in faces.names}
    assert folders == {"fear", "happy"}
    assert faces.labels is not None
    assert [("fear", "happy")[label] for label in faces.labels] == [name.split("/")[1] for name in faces.names]
