"""Computation of teachers' answers for the training faces."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeinfer.expression.probabilities import softmax
from edgeinfer_train.config import Precision
from edgeinfer_train.datasets.answers import Answers
from edgeinfer_train.datasets.augment import RandomAffine
from edgeinfer_train.datasets.load import load_split, read_info
from edgeinfer_train.errors import DataError
from edgeinfer_train.evaluation.evaluate import Network, batches, network_from_keras
from edgeinfer_train.networks.model import ModelInfo, with_precision
from edgeinfer_train.training.data import LEFT_OUT_FILE
from edgeinfer_train.training.distillation import load_teacher

STEPS = 256
"""Answers are multiples of 1/256, which halves their file."""


def ask_teachers(
    data: Path,
    teachers: Sequence[Path],
    *,
    copies: int = 4,
    precision: Precision = "mixed_bfloat16",
    on_teacher: Callable[[str], None] | None = None,
) -> Answers:
    """Compute the answers of teachers for the training faces.

    A teacher that was trained with `leave_out` answers only the faces that it has not seen; every other teacher answers
    all faces. The answer for a face is the mean over its teachers, several copies of the face and their mirror images.

    Args:
        data: Prepared data folder.
        teachers: Run folders or `.keras` files with the labels of the data.
        copies: Copies of each face, at least 1: the face itself and slightly rotated, scaled and shifted ones.
        precision: Dtype policy of the teachers.
        on_teacher: Callback, called with a sentence about each finished teacher.

    Raises:
        DataError: The data cannot be used, a teacher has other labels, the list of the faces that it left out is
            lost or belongs to other data, or a face has no teacher.
        ModelNotFoundError: A teacher does not exist.
        ModelError: A teacher cannot be loaded.
    """
    labels = read_info(data).labels
    loaded = [_load(path, labels, precision) for path in teachers]
    total: dict[str, NDArray[np.float32]] = {}
    counts: dict[str, int] = {}
    for network, unseen in loaded:
        faces = load_split(data, "train", size_hw=network.size_hw, colour=network.colour, label_mode="argmax")
        for name in faces.names:
            counts.setdefault(name, 0)
        asked = faces.take(np.isin(np.array(faces.names), unseen)) if unseen else faces
        if not len(asked):
            raise DataError(f"the teacher {network.path} left out {len(unseen)} faces, none of which is in {data}")
        answers = _predict(network.with_labels(labels), asked.images, copies)
        for name, row in zip(asked.names, answers, strict=True):
            total[name] = total.get(name, 0.0) + row
            counts[name] += 1
        if on_teacher:
            agreed = float(np.mean(answers.argmax(axis=1) == asked.labels))
            on_teacher(f"{network.path} answered {len(asked):,} faces, {agreed:.1%} of them with their label")
    if unanswered := sum(count == 0 for count in counts.values()):
        raise DataError(
            f"{unanswered:,} of {len(counts):,} training faces have no teacher: add those of the other folds"
        )
    names = tuple(sorted(counts))
    means = np.stack([total[name] / counts[name] for name in names])
    return Answers(labels, names, (np.round(means * STEPS) / STEPS).astype(np.float16))


def _load(teacher: Path, labels: Sequence[str], precision: Precision) -> tuple[Network, list[str]]:
    """Return the network of a teacher and the training faces that it left out."""
    core, info = load_teacher(teacher)
    network = network_from_keras(teacher, with_precision(core, precision), info)
    if set(network.labels) != set(labels):
        raise DataError(
            f"the teacher {teacher} has the labels {' '.join(network.labels)}, but the data have {' '.join(labels)}"
        )
    return network, _left_out(teacher, info)


def _left_out(teacher: Path, info: ModelInfo) -> list[str]:
    """Return the training faces that a teacher left out, empty if it left out none.

    Raises:
        DataError: The list in the run folder is missing. A copied `.keras` file has none.
    """
    if not info.settings.get("leave_out"):
        return []
    path = (teacher if teacher.is_dir() else teacher.parent) / LEFT_OUT_FILE
    if not path.is_file():
        raise DataError(
            f"the teacher {teacher} left out faces of the training, but {path}, which lists them, is missing: "
            "name the run folder"
        )
    with path.open(encoding="utf-8", newline="") as file:
        return [row["file"] for row in csv.DictReader(file)]


def _predict(network: Network, images: NDArray[np.uint8], copies: int) -> NDArray[np.float32]:
    """Return the (N, K) mean probabilities over copies of (N, H, W, C) faces and their mirror images."""
    vary = RandomAffine(rotation=8.0, zoom=0.06, shift=0.04, shear=0.0, flip=False, seed=0)
    found = []
    for batch in batches(images):
        varied = [batch] + [
            np.asarray(vary(batch, training=True)).round().clip(0, 255).astype(np.uint8) for _ in range(copies - 1)
        ]
        answers = [softmax(network.logits(faces)) for copy in varied for faces in (copy, copy[:, :, ::-1])]
        found.append(np.mean(answers, axis=0))
    return np.concatenate(found).astype(np.float32)
