"""The verdict on an export: does the ONNX file answer as the Keras model does, alone and in a batch?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edgeinfer.model.card import INPUT_NAME
from edgeinfer.model.verify import sample_pictures
from edgeinfer.results import Colour
from edgeinfer_export.errors import ExportError
from edgeinfer_train.datasets.load import Split, load_split, read_info, split_files
from edgeinfer_train.errors import DataError
from edgeinfer_train.evaluation.evaluate import batches, measuring_mode

TOLERANCE = 1e-3
"""Largest difference of two logits, relative to the largest logit or 1."""
VERDICT_FACES = 256
PREFERRED_SPLITS: tuple[Split, ...] = ("valid", "test", "train")
SPLIT_NAMES: dict[Split, str] = {"train": "training", "valid": "validation", "test": "test"}

Logits = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sample:
    """What an export is compared and measured on.

    Attributes:
        images: (N, H, W, C) uint8.
        labels: (N,) index into the model's labels; None for generated pictures.
        names: of the faces, below the data folder; empty for generated pictures.
        split: where the faces come from; None for generated pictures.
        dataset: name of the data set; empty for generated pictures.
        protocol: the rule that made the labels.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None = None
    names: tuple[str, ...] = ()
    split: Split | None = None
    dataset: str = ""
    protocol: str = ""

    @property
    def kind(self) -> str:
        """What the pictures are, for a sentence: "validation faces"."""
        return f"{SPLIT_NAMES[self.split]} faces" if self.split else "generated pictures"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the float32 ONNX model was approved.

    Attributes:
        count: pictures compared.
        verified: "on 256 validation faces", or "not verified on faces" after generated pictures.
        max_relative_difference: of two logits, relative to the largest logit or 1.
        tolerance: what that may be.
        decided: pictures whose first two logits lie further apart than the largest difference; all of them
            kept their first label.
        batch_difference: between a batch of eight and eight single faces, relative like the other.
    """

    count: int
    verified: str
    max_relative_difference: float
    tolerance: float
    decided: int
    batch_difference: float


def face_sample(data: Path, labels: tuple[str, ...], *, size_hw: tuple[int, int], colour: Colour) -> Sample:
    """Load the faces of the validation split, else of test, else of train.

    Args:
        data: a prepared folder; faces of other labels are left out.
        labels: the model's.
        size_hw: height and width of its input in pixels.
        colour: of its channels.

    Raises:
        DataError: the folder is not prepared, lacks a label of the model, or has no faces.
    """
    described = read_info(data)
    present: list[Split] = [s for s in PREFERRED_SPLITS if _has_faces(data, s, labels)]
    split = present[0] if present else PREFERRED_SPLITS[0]
    mode = measuring_mode(described.default_label_mode)
    faces = load_split(data, split, size_hw=size_hw, colour=colour, label_mode=mode, labels=labels)
    protocol = f"{described.protocol(mode)}, {len(labels)} labels"
    return Sample(faces.images, faces.labels, faces.names, split, described.name, protocol)


def generated_sample(shape: tuple[int, int, int], seed: int) -> Sample:
    """Generated pictures, for a model that is exported without data.

    Args:
        shape: height, width and channels.
        seed: of the generator.
    """
    return Sample(sample_pictures(VERDICT_FACES, shape, seed=seed))


def judge(model: keras.Model, session: ort.InferenceSession, sample: Sample) -> Verdict:
    """Compare the float32 ONNX model with Keras on up to 256 pictures, spread evenly over the sample.

    Raises:
        ExportError: the logits differ by more than the tolerance, a label flips that should not, an answer
            is not finite, or a batch answers otherwise than its faces alone.
    """
    count = min(VERDICT_FACES, len(sample.images))
    images = sample.images[np.linspace(0, len(sample.images) - 1, count).round().astype(int)]
    expected = np.concatenate([np.asarray(model.predict_on_batch(batch)) for batch in batches(images)])
    answers = run_logits(session, images)
    relative = relative_difference(expected, answers)
    if not relative <= TOLERANCE:
        raise ExportError(
            f"refused: the ONNX model differs from Keras by {relative:.2g} relative on {count} {sample.kind}, "
            f"at most {TOLERANCE:g} is allowed; nothing was written"
        )
    ranked = np.sort(expected, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > np.abs(expected - answers).max()
    flipped = int((expected.argmax(1) != answers.argmax(1))[clear].sum())
    if flipped:
        raise ExportError(
            f"refused: the ONNX model names another label than Keras for {flipped} of {count} {sample.kind}; "
            "nothing was written"
        )
    apart = batch_difference(session, images)
    if not apart <= TOLERANCE:
        raise ExportError(
            f"refused: faces in one batch differ from the same alone by {apart:g} relative, "
            f"at most {TOLERANCE:g} is allowed; nothing was written"
        )
    return Verdict(
        count=count,
        verified=f"on {count} {sample.kind}" if sample.split else "not verified on faces",
        max_relative_difference=float(f"{relative:.2g}"),
        tolerance=TOLERANCE,
        decided=int(clear.sum()),
        batch_difference=apart,
    )


def batch_difference(session: ort.InferenceSession, images: NDArray[np.uint8]) -> float:
    """Relative difference between a batch of eight and the same faces one by one, two digits.

    Above the tolerance an answer depends on the other faces in the picture.
    """
    batch = images[:8]
    alone = np.concatenate([run_logits(session, batch[i : i + 1]) for i in range(len(batch))])
    return float(f"{relative_difference(alone, run_logits(session, batch)):.2g}")


def relative_difference(expected: Logits, answers: Logits) -> float:
    """Largest difference of two logits, relative to the largest expected one or 1; NaN if not finite."""
    if not (np.isfinite(expected).all() and np.isfinite(answers).all()):
        return float("nan")
    return float(np.abs(expected - answers).max() / max(1.0, float(np.abs(expected).max())))


def run_logits(session: ort.InferenceSession, images: NDArray[np.uint8]) -> Logits:
    """Logits of (N, H, W, C) uint8 pictures, (N, K) float32, in batches that fit the memory of the runtime."""
    return np.concatenate([session.run(None, {INPUT_NAME: batch})[0] for batch in batches(images)])


def _has_faces(data: Path, split: Split, labels: tuple[str, ...]) -> bool:
    try:
        return bool(split_files(data, split, labels))
    except DataError:
        return False
