"""Measure a model on prepared faces, whatever file it comes in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.errors import ModelError, ModelNotFoundError
from edgeinfer.preprocess import Colour
from edgeinfer_train.data import DatasetInfo, Faces, Split, load_split, read_info
from edgeinfer_train.errors import DataError
from edgeinfer_train.metrics import Metrics, score

BATCH_SIZE = 256
RUN_MODEL = "model.keras"


@dataclass(frozen=True, slots=True)
class Network:
    """A model ready to be asked.

    Attributes:
        path: its file.
        labels: names of the logits, in order.
        size_hw: height and width of its input in pixels.
        colour: channels of its input.
        logits: (B, H, W, C) uint8 to (B, K) float32.
    """

    path: Path
    labels: tuple[str, ...]
    size_hw: tuple[int, int]
    colour: Colour
    logits: Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Figures with what they were measured on.

    Attributes:
        model: the file.
        dataset: name of the data set.
        split: of the data set.
        label_mode: the rule that made its labels; figures under another rule do not compare.
        labels: in the model's order.
        metrics: the figures.
    """

    model: str
    dataset: str
    split: Split
    label_mode: str
    labels: tuple[str, ...]
    metrics: Metrics

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the figures must know, one sentence each."""
        empty = self.metrics.labels_without_faces
        if not empty:
            return ()
        return (f"the {self.split} split has no face of {', '.join(empty)}; no figure speaks of these labels",)

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for JSON: this object's with those of the metrics beside them."""
        values = asdict(self)
        metrics = values.pop("metrics")
        return {**values, "labels": list(self.labels), "warnings": list(self.warnings), **metrics}


def evaluate(model: Path, data: Path, *, split: Split = "test") -> Evaluation:
    """Measure a model on one split.

    Training faces that are copies of held-out ones are left out of "train", as in training.

    Args:
        model: a run folder, a `.keras` file or an `.onnx` file.
        data: a prepared folder.
        split: which faces.

    Raises:
        ModelNotFoundError: there is no such model.
        ModelError: it is none of ours, or cannot be loaded.
        DataError: the data cannot be used, or have other labels than the model.
    """
    info = read_info(data)
    network = load_network(model)
    check_labels(network, info)
    return measure(network, load_split(data, split, size_hw=network.size_hw, colour=network.colour), info, split)


def check_labels(network: Network, info: DatasetInfo) -> None:
    """Refuse data whose labels are not those of the model.

    Raises:
        DataError: they differ.
    """
    if network.labels != info.labels:
        raise DataError(
            f"{network.path} tells apart {' '.join(network.labels)}, but the data hold "
            f"{' '.join(info.labels)}; prepare the data with the same classes"
        )


def measure(network: Network, faces: Faces, info: DatasetInfo, split: Split) -> Evaluation:
    """Measure a model on faces in memory, brought to its size and colour."""
    parts = [network.logits(faces.images[i : i + BATCH_SIZE]) for i in range(0, len(faces), BATCH_SIZE)]
    return Evaluation(
        model=str(network.path),
        dataset=info.name,
        split=split,
        label_mode=info.label_mode,
        labels=network.labels,
        metrics=score(np.concatenate(parts), faces.labels, network.labels),
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
    from edgeinfer.model import INPUT_NAME, OUTPUT_NAME, load_session  # noqa: PLC0415 - the other kind needs no runtime

    session, card = load_session(path, threads=1)

    def logits(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(session.run([OUTPUT_NAME], {INPUT_NAME: images})[0], dtype=np.float32)

    return Network(path, card.labels, card.size_hw, card.colour, logits)


def _from_keras(path: Path) -> Network:
    from edgeinfer_train.backbones import BACKBONES  # noqa: PLC0415 - an .onnx file needs no Keras
    from edgeinfer_train.model import load_model  # noqa: PLC0415

    core, info = load_model(path)
    spec = next((spec for name, spec in BACKBONES.items() if name == info.backbone), None)
    if spec is None:
        raise ModelError(f"{path} was built on {info.backbone}, which this version does not know; update edgeinfer")
    height, width = core.input_shape[1:3]

    def logits(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(core.predict_on_batch(images), dtype=np.float32)

    return Network(path, info.labels, (height, width), spec.colour, logits)
