"""Evaluation of a run, a `.keras` file or an `.onnx` file on prepared faces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.errors import ModelError, ModelNotFoundError, UsageError
from edgeinfer.expression.prior import LabelPrior, logit_offsets
from edgeinfer.expression.probabilities import log_softmax
from edgeinfer.results import Colour
from edgeinfer_train.datasets.held_out import load_unseen
from edgeinfer_train.datasets.layout import Split
from edgeinfer_train.datasets.load import DatasetInfo, Faces, read_info
from edgeinfer_train.evaluation.metrics import Metrics, score
from edgeinfer_train.labels import LabelMode

if TYPE_CHECKING:
    import keras

    from edgeinfer_train.networks.model import ModelInfo

BATCH_PIXELS = 2**19
"""Maximum number of input pixels per batch, which bounds the memory for a network's activations."""
RUN_MODEL, RUN_METRICS = "model.keras", "metrics.json"
MISTAKES = 40
"""Maximum number of mistakes in an evaluation, the most confident ones."""


@dataclass(frozen=True, slots=True)
class Network:
    """A loaded model of any file format.

    Attributes:
        path: Path of the file.
        labels: Names of the logits, in order.
        size_hw: Height and width of the input in pixels.
        colour: Channels of the input.
        prior: Share of each label among the training faces.
        logits: Function from (B, H, W, C) uint8 faces to (B, K) float32 logits, divided by the temperature if the
            file has one.
        held_out: Validation faces of a run that split the faces itself, as in `ModelInfo`.
    """

    path: Path
    labels: tuple[str, ...]
    size_hw: tuple[int, int]
    colour: Colour
    prior: dict[str, float]
    logits: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    held_out: tuple[str, ...] = ()

    def with_labels(self, labels: tuple[str, ...]) -> Network:
        """Return the model restricted to some of its labels, in the given order, as an export with `labels` does.

        Raises:
            UsageError: The model lacks a label.
        """
        if unknown := [label for label in labels if label not in self.labels]:
            raise UsageError(f"{self.path} has the labels {' '.join(self.labels)}, not {' '.join(unknown)}")
        columns = [self.labels.index(label) for label in labels]
        total = sum(self.prior.get(label, 0.0) for label in labels) or 1.0
        prior = {label: self.prior.get(label, 0.0) / total for label in labels}
        all_logits = self.logits
        return replace(self, labels=labels, prior=prior, logits=lambda images: all_logits(images)[:, columns])


@dataclass(frozen=True, slots=True)
class Mistake:
    """A misclassified face.

    Attributes:
        file: Path relative to the data folder.
        label: Correct label.
        answer: Predicted label.
        confidence: Probability of the prediction, 0..1.
    """

    file: str
    label: str
    answer: str
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Metrics with the conditions under which they were measured.

    Attributes:
        model: Path of the model file.
        dataset: Name of the data set.
        split: Split of the data set.
        label_mode: Human-readable rule that produced the labels; metrics under different rules are not comparable.
        prior: Expected share of each label: "natural", "balanced", or shares by label.
        labels: Label names in the model's order.
        metrics: Metrics of the model.
        mistakes: Up to `MISTAKES` misclassified faces, the most confident first.
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
        """Limitations of the metrics, one sentence each."""
        empty = self.metrics.labels_without_faces
        if not empty:
            return ()
        return (f"the {self.split} split has no face of {', '.join(empty)}; the metrics exclude these labels",)

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values for JSON: all attributes of this object and of its `Metrics`, and the `warnings`."""
        values = asdict(self)
        metrics = values.pop("metrics")
        return {**values, "labels": list(self.labels), "warnings": list(self.warnings), **metrics}


def evaluate(
    model: Path,
    data: Path,
    *,
    split: Split = "test",
    label_mode: LabelMode | None = None,
    prior: LabelPrior = "natural",
    labels: tuple[str, ...] = (),
) -> Evaluation:
    """Measure a model on one split of a data set.

    As in training, faces of the training split that are copies of validation or test faces are excluded.

    Args:
        model: Run folder, `.keras` file or `.onnx` file.
        data: Prepared data folder. Faces with labels that the model lacks are excluded.
        split: Split to measure on.
        label_mode: Conversion of votes to labels. "argmax" uses all faces, "majority" only faces with a majority
            label, "votes" uses all faces and computes the loss against the soft labels. Accuracy is always against
            the winning label. None selects "majority" if the data set was prepared with it, else "argmax".
        prior: Expected share of each label, as in the runtime.
        labels: Labels to restrict the model and the faces to; empty uses all labels of the model.

    Raises:
        ModelNotFoundError: The model does not exist.
        ModelError: The file was not written by this package, or cannot be loaded.
        UsageError: `prior` or `labels` do not match the model's labels.
        DataError: The data cannot be used, lack a label of the model, or have no votes for `label_mode`.
    """
    info = read_info(data)
    network = load_network(model)
    network = network.with_labels(labels) if labels else network
    mode = label_mode or measuring_mode(info.default_label_mode)
    faces = load_unseen(
        data, split, network.held_out, size_hw=network.size_hw, colour=network.colour, label_mode=mode,
        labels=network.labels,
    )  # fmt: skip
    return measure(network, faces, info, split, label_mode=mode, prior=prior)


def measuring_mode(mode: LabelMode) -> LabelMode:
    """Return the default label mode of an evaluation: the faces of `mode`, with the loss against the hard label.

    Args:
        mode: Label mode of the training or of the data set.
    """
    return "majority" if mode == "majority" else "argmax"


def measure(
    network: Network,
    faces: Faces,
    info: DatasetInfo,
    split: Split,
    *,
    label_mode: LabelMode,
    prior: LabelPrior = "natural",
) -> Evaluation:
    """Measure a model on faces in memory, which have its size, colour and label order."""
    offsets = logit_offsets(prior, network.labels, network.prior)
    logits = np.concatenate([network.logits(batch) for batch in batches(faces.images)])
    logits = (logits + np.maximum(offsets, -100.0)).astype(np.float32)  # a share of 0 must not make the loss infinite
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
    """Split (N, H, W, C) images into batches of at most `BATCH_PIXELS` pixels."""
    size = max(1, BATCH_PIXELS // (images.shape[1] * images.shape[2]))
    return (images[start : start + size] for start in range(0, len(images), size))


def _mistakes(logits: NDArray[np.float32], faces: Faces, names: tuple[str, ...]) -> tuple[Mistake, ...]:
    predictions, confidence = logits.argmax(axis=1), np.exp(log_softmax(logits).max(axis=1))
    wrong = np.flatnonzero(predictions != faces.labels)
    first = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    return tuple(
        Mistake(faces.names[i], names[faces.labels[i]], names[predictions[i]], float(confidence[i])) for i in first
    )


def load_network(model: Path) -> Network:
    """Load the model of a run folder, a `.keras` file or an `.onnx` file.

    Raises:
        ModelNotFoundError: The model does not exist.
        ModelError: The file was not written by this package, or cannot be loaded.
    """
    if model.is_dir():
        if not (model / RUN_MODEL).is_file():
            raise ModelNotFoundError(
                f"no {RUN_MODEL} in {model}: expected a run folder, a .keras file or an .onnx file"
            )
        return _load_keras(model / RUN_MODEL)
    if not model.is_file():
        raise ModelNotFoundError(f"no model at {model}: expected a run folder, a .keras file or an .onnx file")
    suffix = model.suffix.lower()
    if suffix == ".onnx":
        return _load_onnx(model)
    if suffix == ".keras":
        return _load_keras(model)
    raise ModelError(f"invalid model file {model}: expected a .keras file or an .onnx file")


def _load_onnx(path: Path) -> Network:
    from edgeinfer.model.card import INPUT_NAME, OUTPUT_NAME  # noqa: PLC0415 - a .keras file needs no ONNX Runtime
    from edgeinfer.model.session import load_session  # noqa: PLC0415

    session, card = load_session(path, threads=1)

    def logits(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(session.run([OUTPUT_NAME], {INPUT_NAME: images})[0] / card.temperature, dtype=np.float32)

    return Network(path, card.labels, card.size_hw, card.colour, card.prior, logits)


def _load_keras(path: Path) -> Network:
    from edgeinfer_train.networks.model import load_model  # noqa: PLC0415 - an .onnx file needs no Keras

    return network_from_keras(path, *load_model(path))


def network_from_keras(path: Path, core: keras.Model, info: ModelInfo) -> Network:
    """Wrap a loaded Keras model.

    Args:
        path: Path of its file.
        core: Loaded model.
        info: Metadata of the file.

    Raises:
        ModelError: The backbone is unknown.
    """
    from edgeinfer_train.networks.backbones import BACKBONES  # noqa: PLC0415 - an .onnx file needs no Keras

    backbone = next((backbone for name, backbone in BACKBONES.items() if name == info.backbone), None)
    if backbone is None:
        raise ModelError(f"{path} has the unknown backbone {info.backbone}; update edgeinfer")
    height, width = core.input_shape[1:3]

    def logits(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(core.predict_on_batch(images), dtype=np.float32)

    return Network(path, info.labels, (height, width), backbone.colour, info.prior, logits, info.held_out)
