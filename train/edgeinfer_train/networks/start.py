"""Trained models as the start of a run: their network, input size and as much of their head as the labels allow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from edgeinfer.errors import ModelError, ModelNotFoundError
from edgeinfer_train.config import BUNDLED, FitConfig, Precision
from edgeinfer_train.errors import ConfigError
from edgeinfer_train.labels import canonical_label
from edgeinfer_train.networks.head import transfer_head
from edgeinfer_train.networks.model import (
    MODEL_FILE,
    ModelInfo,
    backbone_of,
    load_model,
    read_model_info,
    with_precision,
)

BUNDLED_FILE = "edgenet-ferplus.keras"
EMBEDDING_BATCH = 256


@dataclass(frozen=True, slots=True)
class Start:
    """A trained model from which a run starts.

    Attributes:
        path: Path of the `.keras` file.
        network: Loaded network.
        info: Metadata of the file.
    """

    path: Path
    network: keras.Model
    info: ModelInfo

    @property
    def width(self) -> float:
        """Channel multiplier of the network; 1 if the file does not record it."""
        return float(self.info.settings.get("width", 1.0))

    @property
    def image_size(self) -> int:
        """Side of the square input in pixels."""
        return int(self.network.input_shape[1])

    def head_columns(self, labels: tuple[str, ...]) -> list[int] | None:
        """Return the column of the head for each label, or None if the model lacks one of the labels."""
        known = [canonical_label(label) for label in self.info.labels]
        wanted = [canonical_label(label) for label in labels]
        agree = set(wanted) <= set(known) and len(set(wanted)) == len(wanted)
        return [known.index(label) for label in wanted] if agree else None

    def build(self, labels: int, config: FitConfig, precision: Precision) -> keras.Model:
        """Build a network with the structure of the model's body and a new head, both with random weights.

        Args:
            labels: Number of logits.
            config: Resolved settings of the run, with input size and dropout.
            precision: Dtype policy of the layers. Weights and logits are always float32.
        """
        side, body = config.image_size, backbone_of(self.network)
        image = keras.Input((side, side, body.input_shape[-1]), dtype="uint8", name="image")
        features = keras.models.clone_model(body, input_tensors=image).output
        if config.dropout:
            features = layers.Dropout(config.dropout)(features)
        logits = layers.Dense(labels, dtype="float32", name="logits")(features)
        return with_precision(keras.Model(image, logits, name=self.info.backbone.replace("-", "_")), precision)

    def set_body(self, core: keras.Model) -> None:
        """Set the weights of a network from `build`, except for its head."""
        backbone_of(core).set_weights(backbone_of(self.network).get_weights())

    def set_head(
        self, core: keras.Model, labels: tuple[str, ...], images: NDArray[np.uint8], targets: NDArray[np.float32]
    ) -> str:
        """Set the head of a network from `build`: the columns of the model, or a head for new labels.

        Args:
            core: Network; modified in place.
            labels: Labels of the data.
            images: (N, H, W, C) training faces.
            targets: (N, K) label distributions of the faces.

        Returns:
            Description of the head for a sentence.
        """
        head, columns = core.get_layer("logits"), self.head_columns(labels)
        kernel, bias = self.network.layers[-1].get_weights()
        if columns is None:
            body = backbone_of(core)
            both = np.concatenate([images, images[:, :, ::-1]])  # an expression mirrored is the same expression
            parts = [both[i : i + EMBEDDING_BATCH] for i in range(0, len(both), EMBEDDING_BATCH)]
            # `predict` would compile a function for each new `body`.
            embeddings = np.concatenate([np.asarray(body(part, training=False), np.float64) for part in parts])
            weights, share = transfer_head(embeddings.reshape(2, len(images), -1), targets, (kernel, bias))
            head.set_weights(weights)
            sources = "labels" if share == 1 else "labels and the old head's predictions"
            return f"a new head for {', '.join(labels)}, fitted to the {sources} of {len(images):,} faces"
        head.set_weights([kernel[:, columns], bias[columns]])
        kept = f"all {len(columns)}" if len(columns) == len(self.info.labels) else f"{len(columns)} of the {len(bias)}"
        return f"the head for {kept} labels"

    def describe(self, head: str) -> str:
        """Return one sentence about the parts of the model that a run takes over."""
        side = self.image_size
        width = f"width {self.width:g}, " if self.width != 1 else ""
        return f"starts from {self.path.name}: the {self.info.backbone} network ({width}{side}x{side}) and {head}"


def bundled_model() -> Path:
    """Return the path of the bundled model's `.keras` file: in the package, or in `models` of a checkout.

    Raises:
        ModelNotFoundError: This installation lacks the file.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "assets", package.parents[1] / "models"):
        if (folder / BUNDLED_FILE).is_file():
            return folder / BUNDLED_FILE
    raise ModelNotFoundError(
        f"this installation lacks {BUNDLED_FILE}: copy it from models/ of the repository or of the source archive, "
        "and set `weights` to its path"
    )


def find_start(config: FitConfig) -> Start | None:
    """Load the trained model that `weights` names.

    Args:
        config: Settings of the run.

    Returns:
        The model, or None if the weights are random, from ImageNet, or a file without labels.

    Raises:
        ModelNotFoundError: The file does not exist.
        ModelError: The model has another backbone, or cannot be loaded.
        ConfigError: `width` differs from that of the model.
    """
    path = start_path(config.weights)
    if path is None:
        return None
    info = read_model_info(path)
    if info.backbone != config.backbone:
        raise ModelError(f"{path} has the backbone {info.backbone}, not {config.backbone}: set `backbone` to it")
    start = Start(path, load_model(path)[0], info)
    if config.width not in (1.0, start.width):
        raise ConfigError(f"`width` is {config.width:g}, but {path} has {start.width:g}: leave `width` out")
    return start


def start_path(weights: str) -> Path | None:
    """Return the `.keras` file with labels that `weights` names, or None.

    Raises:
        ModelNotFoundError: `weights` is "bundled", but this installation lacks the file.
    """
    if weights in ("auto", "none", "imagenet"):
        return None
    path = bundled_model() if weights == BUNDLED else Path(weights)
    path = path / MODEL_FILE if path.is_dir() else path
    if path.suffix.lower() != ".keras" or not path.is_file():
        return None
    try:
        read_model_info(path)
    except ModelError:  # a file of keras.applications, or a damaged one, which `initialize` reports
        return None
    return path


def blend(start: list[NDArray[Any]], end: list[NDArray[Any]], share: float) -> list[NDArray[Any]]:
    """Interpolate between two sets of weights (Wortsman et al. 2022, arXiv:2109.01903).

    Args:
        start: Weights at 0.
        end: Weights at 1.
        share: Position between both, 0..1.
    """
    return [(a + share * (b - a)).astype(a.dtype) for a, b in zip(start, end, strict=True)]
