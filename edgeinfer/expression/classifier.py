"""Reads the expression in face crops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeinfer.errors import UsageError
from edgeinfer.expression.preprocess import model_input
from edgeinfer.expression.prior import Prior, shift
from edgeinfer.expression.probabilities import softmax
from edgeinfer.model.card import ModelCard, find_model
from edgeinfer.model.session import infer, load_session
from edgeinfer.results import Emotion, Image


class Classifier(Protocol):
    """The role of whatever names an expression."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names in the order of the probabilities."""

    @property
    def margin(self) -> float:
        """How far crops should reach beyond the detector's box, as a share of its side."""

    def classify(self, crops: Sequence[Image]) -> list[Emotion]:
        """One answer a crop, in order."""


class EmotionClassifier:
    """An ONNX model of ours on onnxruntime. Make one with `load`.

    Attributes:
        card: what the model file says of itself.
    """

    def __init__(self, session: Any, card: ModelCard, prior: Prior = "natural") -> None:
        self._session = session
        self._shift = shift(prior, card.labels, card.prior)
        self.card = card

    @classmethod
    def load(cls, path: str | Path | None = None, *, threads: int = 1, prior: Prior = "natural") -> EmotionClassifier:
        """Load a model.

        Args:
            path: an .onnx file with our metadata, the name of a bundled model, or None for the default one.
            threads: cores for one call, 1 or more.
            prior: how often each expression is expected: "natural", as in the training data; "balanced", all alike;
                or a share for each label.

        Raises:
            ModelNotFoundError: no such file.
            ModelError: the file is no model, does not say how to use it, or may not be loaded.
            UsageError: `threads` is below 1, or `prior` is no prior of this model.
        """
        if threads < 1:
            raise UsageError(f"threads is {threads}; it must be 1 or more")
        return cls(*load_session(find_model(path), threads=threads, bounded=True), prior)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names in the order of the probabilities."""
        return self.card.labels

    @property
    def margin(self) -> float:
        """How far crops should reach beyond the detector's box, as a share of its side."""
        return self.card.margin

    def classify(self, crops: Sequence[Image]) -> list[Emotion]:
        """Read each crop.

        Args:
            crops: faces with the model's margin already applied, (H, W) grey or (H, W, 3) BGR uint8, any size.

        Returns:
            One `Emotion` a crop, in order; an empty list for none.

        Raises:
            UsageError: a crop is empty or not such an array.
            ModelError: the model is damaged: it cannot be run, or an answer is not finite.
        """
        if not crops:
            return []
        for crop in crops:
            _check(crop)
        card = self.card
        batch = np.stack([model_input(crop, size_hw=card.size_hw, colour=card.colour) for crop in crops])
        logits = infer(self._session, batch, len(card.labels))
        return [to_emotion(row, card.labels) for row in softmax(logits / card.temperature + self._shift)]


def to_emotion(probabilities: NDArray[np.float64], labels: tuple[str, ...]) -> Emotion:
    """The likeliest label of one row of probabilities, (K,)."""
    best = int(probabilities.argmax())
    return Emotion(labels[best], float(probabilities[best]), dict(zip(labels, probabilities.tolist(), strict=True)))


def _check(crop: Any) -> None:
    shape = getattr(crop, "shape", None)
    if shape is None or getattr(crop, "dtype", None) != np.uint8:
        raise UsageError(f"a crop is {getattr(crop, 'dtype', type(crop).__name__)}; expected a uint8 array")
    if not (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)) or 0 in shape:
        raise UsageError(f"a crop has the shape {shape}; expected (H, W) or (H, W, 3) with at least one pixel")
