"""A detector of your own, found by its name: the largest face alone, for a mirror or a desk with one visitor.

Needs: edgeinfer, and pip install ./examples/custom_detector
Run:   edgeinfer run clip.mp4 --detector largest
       or edgeinfer.load_pipeline(detector="largest") in Python
"""

import numpy as np
from numpy.typing import NDArray

import edgeinfer


class LargestFaceDetector:
    """Passes on the largest find of the built-in cascade."""

    def __init__(self, model: str | None) -> None:
        """Take what `--detector-model` says.

        Raises:
            UsageError: it says something.
        """
        if model is not None:
            raise edgeinfer.UsageError("the detector largest takes no detector model; leave it out")
        self._all = edgeinfer.HaarDetector()

    def detect(self, image: NDArray[np.uint8]) -> list[edgeinfer.Box]:
        """One box or none in a (H, W, 3) BGR or (H, W) grey frame, in pixels."""
        return sorted(self._all.detect(image), key=lambda box: box.w * box.h)[-1:]
