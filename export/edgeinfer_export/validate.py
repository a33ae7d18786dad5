"""The verdict on an export: does the ONNX file answer as the Keras model does, alone and in a batch?"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edgeinfer.model import INPUT_NAME
from edgeinfer.preprocess import Colour
from edgeinfer_export.errors import ExportError
from edgeinfer_train.data import Split, load_split, read_info, split_files
from edgeinfer_train.errors import DataError
from edgeinfer_train.evaluate import measuring_mode
from edgeinfer_train.model import ModelInfo

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
        labels: (N,) index into the model's labels; None for random pictures.
        split: where the faces come from; None for random pictures.
        dataset: name of the data set; empty for random pictures.
        protocol: the rule that made the labels.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None = None
    split: Split | None = None
    dataset: str = ""
    protocol: str = ""

    @property
    def kind(self) -> str:
        """What the pictures are, for a sentence: "validation faces"."""
        return f"{SPLIT_NAMES[self.split]} faces" if self.split else "random pictures"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the float32 ONNX model was approved.

    Attributes:
        count: pictures compared.
        verified: "on 256 validation faces", or "not verified on faces" after random pictures.
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


def face_sample(data: Path, info: ModelInfo, *, size_hw: tuple[int, int], colour: Colour) -> Sample:
    """Load the faces of the validation split, else of test, else of train.

    Raises:
        DataError: the folder is not prepared, has other labels than the model, or no faces.
    """
    described = read_info(data)
    if described.labels != info.labels:
        raise DataError(f"{data} has the labels {' '.join(described.labels)}; the model has {' '.join(info.labels)}")
    present: list[Split] = [s for s in PREFERRED_SPLITS if _has_faces(data, s, info.labels)]
    split = present[0] if present else PREFERRED_SPLITS[0]
    mode = measuring_mode(described.default_label_mode)
    faces = load_split(data, split, size_hw=size_hw, colour=colour, label_mode=mode)
    protocol = f"{described.protocol(mode)}, {len(info.labels)} labels"
    return Sample(faces.images, faces.labels, split, described.name, protocol)


def random_sample(shape: tuple[int, int, int], seed: int) -> Sample:
    """Random pictures, for a model that is exported without data.

    Args:
        shape: height, width and channels.
        seed: of the generator.
    """
    pictures = np.random.default_rng(seed).integers(0, 256, (VERDICT_FACES, *shape), dtype=np.uint8)
    return Sample(pictures)


def judge(model: keras.Model, session: ort.InferenceSession, sample: Sample) -> Verdict:
    """Compare the float32 ONNX model with Keras on up to 256 pictures, spread evenly over the sample.

    Raises:
        ExportError: the logits differ by more than the tolerance, a label flips that should not, an answer
            is not finite, or a batch answers otherwise than its faces alone.
    """
    count = min(VERDICT_FACES, len(sample.images))
    images = sample.images[np.linspace(0, len(sample.images) - 1, count).round().astype(int)]
    expected = np.asarray(model.predict_on_batch(images), dtype=np.float32)
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
    return Verdict(
        count=count,
        verified=f"on {count} {sample.kind}" if sample.split else "not verified on faces",
        max_relative_difference=float(f"{relative:.2g}"),
        tolerance=TOLERANCE,
        decided=int(clear.sum()),
        batch_difference=check_batch(session, images),
    )


def check_batch(session: ort.InferenceSession, images: NDArray[np.uint8]) -> float:
    """Compare a batch of eight with the same faces one by one.

    Returns:
        The relative difference.

    Raises:
        ExportError: it exceeds the tolerance, so an answer would depend on the other faces in the picture.
    """
    batch = images[:8]
    alone = np.concatenate([run_logits(session, batch[i : i + 1]) for i in range(len(batch))])
    relative = relative_difference(alone, run_logits(session, batch))
    if not relative <= TOLERANCE:
        raise ExportError(
            f"refused: {len(batch)} faces in one batch differ from the same alone by {relative:.2g} relative, "
            f"at most {TOLERANCE:g} is allowed; nothing was written"
        )
    return float(f"{relative:.2g}")


def relative_difference(expected: Logits, answers: Logits) -> float:
    """Largest difference of two logits, relative to the largest expected one or 1; NaN if not finite."""
    if not (np.isfinite(expected).all() and np.isfinite(answers).all()):
        return float("nan")
    return float(np.abs(expected - answers).max() / max(1.0, float(np.abs(expected).max())))


def run_logits(session: ort.InferenceSession, images: NDArray[np.uint8], *, batch: int = 64) -> Logits:
    """Logits of (N, H, W, C) uint8 pictures, (N, K) float32."""
    parts = [session.run(None, {INPUT_NAME: images[i : i + batch]})[0] for i in range(0, len(images), batch)]
    return np.concatenate(parts)


def latency_ms(session: ort.InferenceSession, image: NDArray[np.uint8], *, warm_up: int = 10, runs: int = 100) -> float:
    """Median time of one face in milliseconds, after some runs that do not count.

    Args:
        session: on one thread, for figures that compare.
        image: (H, W, C) uint8.
        warm_up: runs before the clock starts.
        runs: runs that count.
    """
    times = []
    for _ in range(warm_up + runs):
        start = time.perf_counter_ns()
        session.run(None, {INPUT_NAME: image[None]})
        times.append(time.perf_counter_ns() - start)
    return float(np.median(times[warm_up:])) / 1e6


def _has_faces(data: Path, split: Split, labels: tuple[str, ...]) -> bool:
    try:
        return bool(split_files(data, split, labels))
    except DataError:
        return False
