"""Measure a model on prepared faces, whatever file it comes in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.errors import ModelError, ModelNotFoundError, UsageError
from edgeinfer.expression.prior import Prior, shift
from edgeinfer.results import Colour
from edgeinfer_train.datasets.load import DatasetInfo, Faces, Split, load_split, read_info
from edgeinfer_train.evaluation.metrics import Metrics, log_softmax, score
from edgeinfer_train.labels import LabelMode

BATCH_PIXELS = 2**19
"""Pixels that go through a network at once: all that they cause inside of it is held in memory."""
RUN_MODEL, RUN_METRICS = "model.keras", "metrics.json"
MISTAKES = 40
"""How many of the most confident mistakes an evaluation names."""


@dataclass(frozen=True, slots=True)
class Network:
    """A model ready to be asked.

    Attributes:
        path: its file.
        labels: names of the logits, in order.
        size_hw: height and width of its input in pixels.
        colour: channels of its input.
        prior: label to share of the training labels.
        logits: (B, H, W, C) uint8 to (B, K) float32, divided by the temperature where the file has one.
    """

    path: Path
    labels: tuple[str, ...]
    size_hw: tuple[int, int]
    colour: Colour
    prior: dict[str, float]
    logits: Callable[[NDArray[np.uint8]], NDArray[np.float32]]

    def narrowed(self, labels: tuple[str, ...]) -> Network:
        """The same without its other labels, in this order, as an export of a part of the labels gives it.

        Raises:
            UsageError: a label is not the model's.
        """
        if unknown := [label for label in labels if label not in self.labels]:
            raise UsageError(f"{self.path} tells apart {' '.join(self.labels)}, and not {' '.join(unknown)}")
        columns = [self.labels.index(label) for label in labels]
        total = sum(self.prior.get(label, 0.0) for label in labels) or 1.0
        prior = {label: self.prior.get(label, 0.0) / total for label in labels}
        whole = self.logits
        return replace(self, labels=labels, prior=prior, logits=lambda images: whole(images)[:, columns])


@dataclass(frozen=True, slots=True)
class Mistake:
    """A face that is called what it is not.

    Attributes:
        file: path below the data folder.
        label: what it is.
        answer: what it is called.
        confidence: probability of the answer, 0..1.
    """

    file: str
    label: str
    answer: str
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Figures with what they were measured on.

    Attributes:
        model: the file.
        dataset: name of the data set.
        split: of the data set.
        label_mode: the rule that made its labels; figures under another rule do not compare.
        prior: how often each label was expected: "natural", "balanced", or shares.
        labels: in the model's order.
        metrics: the figures.
        mistakes: the most confident first, at most `MISTAKES`.
    """

    model: str
    dataset: str
    split: Split
    label_mode: str
    prior: str | dict[str, float]
    labels: tuple[str, ...]
    metrics: Metrics
    mistakes: tuple[Mistake, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the figures must know, one sentence each."""
        empty = self.metrics.labels_without_faces
        if not empty:
            return ()
        return (f"the {self.split} split has no face of {', '.join(empty)}; no figure speaks of these labels",)

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for JSON: every attribute of this and of its `Metrics`, and the `warnings`."""
        values = asdict(self)
        metrics = values.pop("metrics")
        return {**values, "labels": list(self.labels), "warnings": list(self.warnings), **metrics}


def evaluate(
    model: Path,
    data: Path,
    *,
    split: Split = "test",
    label_mode: LabelMode | None = None,
    prior: Prior = "natural",
    labels: tuple[str, ...] = (),
) -> Evaluation:
    """Measure a model on one split.

    Training faces that are copies of held-out ones are left out of "train", as in training.

    Args:
        model: a run folder, a `.keras` file or an `.onnx` file.
        data: a prepared folder; faces of labels that the model does not know are left out.
        split: which faces.
        label_mode: how votes become labels. Accuracy is always against the winning label. "argmax" takes every
            face, "majority" only those with a majority, "votes" every face with the loss against the soft
            labels. By default "majority" where that is the data's own mode, else "argmax".
        prior: how often each label is expected, as the runtime takes it.
        labels: only these of the model's, and the faces that have them; empty for all.

    Raises:
        ModelNotFoundError: there is no such model.
        ModelError: it is none of ours, or cannot be loaded.
        UsageError: the prior or a label is none of this model.
        DataError: the data cannot be used, lack a label of the model, or have no votes for this mode.
    """
    info = read_info(data)
    network = load_network(model)
    network = network.narrowed(labels) if labels else network
    mode = label_mode or measuring_mode(info.default_label_mode)
    faces = load_split(
        data, split, size_hw=network.size_hw, colour=network.colour, label_mode=mode, labels=network.labels
    )
    return measure(network, faces, info, split, label_mode=mode, prior=prior)


def measuring_mode(mode: LabelMode) -> LabelMode:
    """The mode that measures a model where none is asked for: the faces of `mode`, the loss against the label.

    Args:
        mode: of the training, or the data set's own.
    """
    return "majority" if mode == "majority" else "argmax"


def measure(
    network: Network,
    faces: Faces,
    info: DatasetInfo,
    split: Split,
    *,
    label_mode: LabelMode,
    prior: Prior = "natural",
) -> Evaluation:
    """Measure a model on faces in memory, brought to its size and colour and labelled by a mode."""
    expected = shift(prior, network.labels, network.prior)
    logits = np.concatenate([network.logits(batch) for batch in batches(faces.images)])
    logits = (logits + np.maximum(expected, -100.0)).astype(np.float32)  # the loss of "never" stays finite
    return Evaluation(
        model=str(network.path),
        dataset=info.name,
        split=split,
        label_mode=info.protocol(label_mode),
        prior=prior if isinstance(prior, str) else dict(prior),
        labels=network.labels,
        metrics=score(
            logits, faces.labels, network.labels, soft_labels=faces.soft_labels if label_mode == "votes" else None
        ),
        mistakes=_mistakes(logits, faces, network.labels),
    )


def batches(images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Cut (N, H, W, C) pictures into batches that fit the memory of a small computer."""
    size = max(1, BATCH_PIXELS // (images.shape[1] * images.shape[2]))
    return (images[start : start + size] for start in range(0, len(images), size))


def _mistakes(logits: NDArray[np.float32], faces: Faces, names: tuple[str, ...]) -> tuple[Mistake, ...]:
    answers, confidence = logits.argmax(axis=1), np.exp(log_softmax(logits).max(axis=1))
    wrong = np.flatnonzero(answers != faces.labels)
    first = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    return tuple(
        Mistake(faces.names[i], names[faces.labels[i]], names[answers[i]], float(confidence[i])) for i in first
    )


def load_network(model: Path) -> Network:
    """Load a run's model, a `.keras` file or an `.onnx` file.

    Raises:
        ModelNotFoundError: there is no such model.
        ModelError: it is none of ours, or cannot be loaded.
    """
    if model.is_dir():
        if not (model / RUN_MODEL).is_file():
            raise ModelNotFoundError(f"{model} holds no {RUN_MODEL}; give a run folder, a .keras file or an .onnx file")
        return _from_keras(model / RUN_MODEL)
    if not model.is_file():
        raise ModelNotFoundError(f"no model at {model}; give a run folder, a .keras file or an .onnx file")
    suffix = model.suffix.lower()
    if suffix == ".onnx":
        return _from_onnx(model)
    if suffix == ".keras":
        return _from_keras(model)
    raise ModelError(f"{model} is neither a .keras nor an .onnx file")


def _from_onnx(path: Path) -> Network:
    from edgeinfer.model.card import INPUT_NAME, OUTPUT_NAME  # noqa: PLC0415 - the other kind needs no runtime
    from edgeinfer.model.session import load_session  # noqa: PLC0415 - the other kind needs no runtime

    session, card = load_session(path, threads=1)

    def logits(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(session.run([OUTPUT_NAME], {INPUT_NAME: images})[0] / card.temperature, dtype=np.float32)

    return Network(path, card.labels, card.size_hw, card.colour, card.prior, logits)


def _from_keras(path: Path) -> Network:
    from edgeinfer_train.networks.backbones import BACKBONES  # noqa: PLC0415 - an .onnx file needs no Keras
    from edgeinfer_train.networks.model import load_model  # noqa: PLC0415

    core, info = load_model(path)
    spec = next((spec for name, spec in BACKBONES.items() if name == info.backbone), None)
    if spec is None:
        raise ModelError(f"{path} was built on {info.backbone}, which this version does not know; update edgeinfer")
    height, width = core.input_shape[1:3]

    def logits(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(core.predict_on_batch(images), dtype=np.float32)

    return Network(path, info.labels, (height, width), spec.colour, info.prior, logits)
