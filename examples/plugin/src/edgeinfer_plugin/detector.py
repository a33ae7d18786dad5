"""Detector that returns only the largest face, for a mirror or a desk with one visitor."""

import numpy as np
from numpy.typing import NDArray

import edgeinfer


class LargestFaceDetector:
    """Face detector that returns the largest detection of the built-in cascade."""

    def __init__(self, model: str | None) -> None:
        """Create the detector.

        Args:
            model: Value of the option `detector_model`; must be None.

        Raises:
            UsageError: A model was given.
        """
        if model is not None:
            raise edgeinfer.UsageError("`detector_model` does not apply to the detector largest: omit it")
        self._cascade: edgeinfer.FaceDetector = edgeinfer.HaarDetector()

    def detect(self, image: NDArray[np.uint8]) -> list[edgeinfer.Box]:
        """Return at most one box in pixels, from a (H, W, 3) BGR or (H, W) grey uint8 frame."""
        return sorted(self._cascade.detect(image), key=lambda box: box.w * box.h)[-1:]
