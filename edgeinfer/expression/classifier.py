"""Expression classifiers for face crops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeinfer.errors import ModelError, UsageError
from edgeinfer.expression.preprocess import model_input
from edgeinfer.expression.prior import LabelPrior, logit_offsets
from edgeinfer.expression.probabilities import softmax
from edgeinfer.model.card import EMBEDDING_NAME, ModelCard, find_model
from edgeinfer.model.session import infer, infer_embeddings, load_session
from edgeinfer.pixels import check_image
from edgeinfer.results import Emotion, Image


class Classifier(Protocol):
    """Interface of expression classifiers: any object with these members can be passed to `Pipeline`.

    Examples:
        A classifier that returns the same expression for every face:

        >>> import numpy as np
        >>> from edgeinfer import Emotion, Pipeline, WholeFrameDetector
        >>> class ConstantClassifier:
        ...     labels = ("neutral", "happy")
        ...     margin = 0.0
        ...     def classify(self, crops):
        ...         return [Emotion("happy", 0.75, {"neutral": 0.25, "happy": 0.75}) for _ in crops]
        >>> pipeline = Pipeline(WholeFrameDetector(), ConstantClassifier())
        >>> pipeline(np.zeros((48, 48), np.uint8)).faces[0].emotion.label
        'happy'
    """

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the expressions, in the order of the probabilities."""

    @property
    def margin(self) -> float:
        """Extension of a crop beyond the detector's box on each side, as a share of the box's width and height."""

    def classify(self, crops: Sequence[Image]) -> list[Emotion]:
        """Classify face crops.

        Args:
            crops: Faces with the margin applied, (H, W) grey or (H, W, 3) BGR uint8, any size.

        Returns:
            One `Emotion` per crop, in order, with a probability for every label; an empty list if there are no crops.
        """


class EmotionClassifier:
    """Expression classifier that runs an ONNX model with onnxruntime. Create one with `load`.

    Attributes:
        card: Metadata of the model file.

    Examples:
        >>> import numpy as np
        >>> from edgeinfer import EmotionClassifier
        >>> classifier = EmotionClassifier.load()
        >>> classifier.labels
        ('neutral', 'happy', 'surprise', 'sad', 'angry', 'disgust', 'fear')
        >>> emotions = classifier.classify([np.zeros((64, 64), np.uint8), np.zeros((90, 80, 3), np.uint8)])
        >>> [round(sum(emotion.probabilities.values()), 6) for emotion in emotions]
        [1.0, 1.0]
    """

    def __init__(self, session: Any, card: ModelCard, prior: LabelPrior = "natural") -> None:
        """Wrap an onnxruntime session; `load` creates it."""
        self._session = session
        self._logit_offsets = logit_offsets(prior, card.labels, card.prior)
        self.card = card

    @classmethod
    def load(
        cls, path: str | Path | None = None, *, threads: int = 1, prior: LabelPrior = "natural"
    ) -> EmotionClassifier:
        """Load a model.

        Args:
            path: Path of an ONNX file with edgeinfer metadata, or name of a bundled model; None for the default model.
            threads: CPU threads per call, 1 or more.
            prior: Expected distribution of the expressions: "natural" (as in the training data), "balanced" (uniform),
                or a dict from label to share. Shares may have any positive sum.

        Raises:
            ModelNotFoundError: the model does not exist.
            ModelError: the file is not a valid model, lacks metadata, or is not permitted by the admission rules.
            UsageError: `threads` is below 1, or `prior` does not match the labels of the model.
        """
        if threads < 1:
            raise UsageError(f"invalid `threads` {threads}: expected 1 or more")
        return cls(*load_session(find_model(path), threads=threads, bounded=True), prior)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the expressions, in the order of the probabilities."""
        return self.card.labels

    @property
    def margin(self) -> float:
        """Extension of a crop beyond the detector's box on each side, as a share of the box's width and height."""
        return self.card.margin

    def classify(self, crops: Sequence[Image]) -> list[Emotion]:
        """Classify face crops.

        Args:
            crops: Faces with the model's margin applied, (H, W) grey or (H, W, 3) BGR uint8, any size.

        Returns:
            One `Emotion` per crop, in order; an empty list if there are no crops.

        Raises:
            UsageError: a crop is empty, or has an invalid shape or dtype.
            ModelError: the model file is damaged: inference fails, or an output is not finite.
        """
        if not crops:
            return []
        card = self.card
        logits = infer(self._session, self._batch(crops), len(card.labels))
        return [to_emotion(row, card.labels) for row in softmax(logits / card.temperature + self._logit_offsets)]

    def embed(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        """Return the embeddings of face crops, from which the last layer of the network computes the expression.

        Embeddings of similar expressions are close; they are for search, clustering and small classifiers of your own.

        Args:
            crops: Faces with the model's margin applied, as for `classify`; at least one.

        Returns:
            One row of D values per crop, (N, D); D depends on the model.

        Raises:
            UsageError: there is no crop, or one is empty or has an invalid shape or dtype.
            ModelError: the model file has no embeddings, as by default, or is damaged.
        """
        if EMBEDDING_NAME not in [output.name for output in self._session.get_outputs()]:
            raise ModelError(f"{self.card.name} has no embeddings: export it with edgeinfer-export convert --embedding")
        if not crops:
            raise UsageError("`crops` is empty: expected one face or more")
        return infer_embeddings(self._session, self._batch(crops))

    def _batch(self, crops: Sequence[Image]) -> NDArray[np.uint8]:
        """Return the input of the network, (N, H, W, C)."""
        for crop in crops:
            check_image(crop, "crop")
        card = self.card
        return np.stack([model_input(crop, size_hw=card.size_hw, colour=card.colour) for crop in crops])


def to_emotion(probabilities: NDArray[np.float64], labels: tuple[str, ...]) -> Emotion:
    """Return the `Emotion` with the most probable label of one row of probabilities, (K,)."""
    best = int(probabilities.argmax())
    return Emotion(labels[best], float(probabilities[best]), dict(zip(labels, probabilities.tolist(), strict=True)))
