"""Classification of the faces in a frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgeinfer.expression.classifier import Classifier
from edgeinfer.expression.preprocess import crop_face
from edgeinfer.expression.reliability import soften, temperature
from edgeinfer.results import Box, Emotion, Image


class FaceClassifier:
    """Crops of the detector's boxes, classified in one batch, with less confidence in unreliable ones."""

    def __init__(self, classifier: Classifier, crop_box: Callable[[Box], Box] | None = None) -> None:
        """Wrap a classifier.

        Args:
            classifier: Classifier for crops.
            crop_box: Function from the detector's box to the box to crop, without the margin; None to crop the former.
        """
        self._classifier, self._crop_box = classifier, crop_box or (lambda box: box)
        self.labels = classifier.labels

    def classify(self, image: Image, boxes: Sequence[Box]) -> list[Emotion]:
        """Return the expression of each face.

        Args:
            image: Frame, (H, W, 3) BGR or (H, W) grey uint8.
            boxes: Bounding boxes of the faces.
        """
        margin = self._classifier.margin
        crops = [crop_face(image, self._crop_box(box).xywh, margin) for box in boxes]
        emotions = self._classifier.classify(crops)
        return [soften(emotion, temperature(box)) for emotion, box in zip(emotions, boxes, strict=True)]
