"""Verdict of an export: agreement of the ONNX model with the original one, for single faces and in batches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edgeinfer.model.card import INPUT_NAME
from edgeinfer.model.verify import sample_pictures
from edgeinfer.results import Colour
from edgeinfer_export.errors import ExportError
from edgeinfer_train.datasets.held_out import load_unseen
from edgeinfer_train.datasets.layout import Split
from edgeinfer_train.datasets.load import read_info, split_files
from edgeinfer_train.errors import DataError
from edgeinfer_train.evaluation.evaluate import batches, measuring_mode

TOLERANCE = 1e-3
"""Largest accepted difference of two logits, relative to the largest logit or 1."""
VERDICT_FACES = 256
"""Number of images on which the ONNX model and the original one are compared."""
PREFERRED_SPLITS: tuple[Split, ...] = ("valid", "test", "train")
SPLIT_NAMES: dict[Split, str] = {"train": "training", "valid": "validation", "test": "test"}

Logits = NDArray[np.float32]


class Reference(Protocol):
    """Network from (B, H, W, C) uint8 faces to (B, K) float32 logits, with which the export is compared."""

    @property
    def input_shape(self) -> tuple[Any, ...]:
        """(None, H, W, C)."""

    def predict_on_batch(self, images: Any) -> Any:
        """Return the logits of (B, H, W, C) uint8 faces, (B, K)."""


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Images on which an export is compared and measured.

    Attributes:
        images: (N, H, W, C) uint8.
        labels: (N,) index into the model's labels; None for generated images.
        names: Paths of the faces relative to the data folder; empty for generated images.
        split: Split that contains the faces; None for generated images.
        dataset: Name of the data set; empty for generated images.
        protocol: Rule that derived the labels.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None = None
    names: tuple[str, ...] = ()
    split: Split | None = None
    dataset: str = ""
    protocol: str = ""

    @property
    def description(self) -> str:
        """Kind of the images for use in a sentence, for example "validation faces"."""
        return f"{SPLIT_NAMES[self.split]} faces" if self.split else "generated images"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of the comparison between the float32 ONNX model and the original one.

    Attributes:
        count: Number of compared images.
        verified: "on 256 validation faces", or "not verified on faces" for generated images.
        max_relative_difference: Largest difference of two logits, relative to the largest logit or 1.
        tolerance: Largest accepted `max_relative_difference`.
        decided: Number of images whose two largest logits differ by more than the largest error; all of them have the
            same top label in both models.
        batch_difference: Largest difference between a batch of eight faces and single faces, relative to the largest
            logit or 1.
    """

    count: int
    verified: str
    max_relative_difference: float
    tolerance: float
    decided: int
    batch_difference: float


def load_faces(
    data: Path, labels: tuple[str, ...], *, size_hw: tuple[int, int], colour: Colour, held_out: tuple[str, ...] = ()
) -> EvaluationSet:
    """Load the faces of the validation split, or of test or train if there are no validation faces.

    Args:
        data: Prepared folder; faces with other labels are excluded.
        labels: Labels of the model.
        size_hw: Height and width of the model input in pixels.
        colour: Colour format of the model input.
        held_out: Validation faces of a run that split the faces itself.

    Raises:
        DataError: The folder is not prepared, lacks a label of the model, or contains no faces.
    """
    dataset = read_info(data)
    present: list[Split] = [s for s in PREFERRED_SPLITS if _has_faces(data, s, labels)]
    split = present[0] if present else PREFERRED_SPLITS[0]
    mode = measuring_mode(dataset.default_label_mode)
    faces = load_unseen(data, split, held_out, size_hw=size_hw, colour=colour, label_mode=mode, labels=labels)
    protocol = f"{dataset.protocol(mode)}, {len(labels)} labels"
    return EvaluationSet(faces.images, faces.labels, faces.names, split, dataset.name, protocol)


def generate_images(shape: tuple[int, int, int], seed: int) -> EvaluationSet:
    """Generate images for an export without data.

    Args:
        shape: Height, width and channels.
        seed: Seed of the generator.
    """
    return EvaluationSet(sample_pictures(VERDICT_FACES, shape, seed=seed))


def compare_with_original(model: Reference, session: ort.InferenceSession, evaluation_set: EvaluationSet) -> Verdict:
    """Compare the float32 ONNX model with the original one on up to 256 images, spread evenly over the evaluation set.

    Raises:
        ExportError: The logits differ by more than the tolerance, a clear top label changes, a logit is not finite,
            or the outputs of a batch differ from those of its faces alone.
    """
    count = min(VERDICT_FACES, len(evaluation_set.images))
    compared = evaluation_set.images[np.linspace(0, len(evaluation_set.images) - 1, count).round().astype(int)]
    expected = np.concatenate([np.asarray(model.predict_on_batch(batch)) for batch in batches(compared)])
    logits = run_logits(session, compared)
    images = f"{count} {evaluation_set.description}"
    relative = relative_difference(expected, logits)
    if not relative <= TOLERANCE:  # NaN also fails
        raise ExportError(
            f"rejected: the ONNX model differs from the original one by {relative:.2g} (relative) on {images}, at most "
            f"{TOLERANCE:g} is allowed; nothing was written"
        )
    ranked = np.sort(expected, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > np.abs(expected - logits).max()
    changed = int((expected.argmax(1) != logits.argmax(1))[clear].sum())
    if changed:
        raise ExportError(
            f"rejected: the top label of the ONNX model differs from the original for {changed} of {images}; "
            "nothing was written"
        )
    in_batch = batch_difference(session, compared)
    if not in_batch <= TOLERANCE:
        raise ExportError(
            f"rejected: the logits of a batch differ from those of single faces by {in_batch:g} (relative), "
            f"at most {TOLERANCE:g} is allowed; nothing was written"
        )
    return Verdict(
        count=count,
        verified=f"on {images}" if evaluation_set.split else "not verified on faces",
        max_relative_difference=float(f"{relative:.2g}"),
        tolerance=TOLERANCE,
        decided=int(clear.sum()),
        batch_difference=in_batch,
    )


def batch_difference(session: ort.InferenceSession, images: NDArray[np.uint8]) -> float:
    """Return the relative difference between a batch of eight faces and the same faces alone, to two digits.

    Above the tolerance, the output for a face depends on the other faces in the frame.
    """
    batch = images[:8]
    alone = np.concatenate([run_logits(session, batch[i : i + 1]) for i in range(len(batch))])
    return float(f"{relative_difference(alone, run_logits(session, batch)):.2g}")


def relative_difference(expected: Logits, actual: Logits) -> float:
    """Return the largest difference of two logits, relative to the largest expected one or 1.

    Returns:
        0 or more; NaN if a logit is not finite.
    """
    if not (np.isfinite(expected).all() and np.isfinite(actual).all()):
        return float("nan")
    return float(np.abs(expected - actual).max() / max(1.0, float(np.abs(expected).max())))


def run_logits(session: ort.InferenceSession, images: NDArray[np.uint8]) -> Logits:
    """Run a session on (N, H, W, C) uint8 images in batches of limited memory; return (N, K) float32 logits."""
    return np.concatenate([session.run(None, {INPUT_NAME: batch})[0] for batch in batches(images)])


def _has_faces(data: Path, split: Split, labels: tuple[str, ...]) -> bool:
    try:
        return bool(split_files(data, split, labels))
    except DataError:
        return False
