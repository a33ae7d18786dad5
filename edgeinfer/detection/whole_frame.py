"""Detector that treats the whole frame as one face."""

from __future__ import annotations

from edgeinfer.detection.base import FaceSearch
from edgeinfer.detection.frame_search import FullFrameSearch
from edgeinfer.pixels import check_image
from edgeinfer.results import Box, Image


class WholeFrameDetector:
    """Detector that treats the whole frame as one face, for pictures that are already cropped.

    Examples:
        >>> import numpy as np
        >>> from edgeinfer import WholeFrameDetector
        >>> WholeFrameDetector().detect(np.zeros((40, 60), np.uint8))
        [Box(x=0, y=0, w=60, h=40)]
    """

    def detect(self, image: Image) -> list[Box]:
        """Return one box that covers the frame.

        Args:
            image: (H, W, 3) BGR or (H, W) grey uint8.

        Returns:
            A list of one box, (0, 0, W, H) in pixels.

        Raises:
            UsageError: the image has an invalid shape or dtype.
        """
        check_image(image, "image")
        return [Box(0, 0, image.shape[1], image.shape[0])]

    def create_search(self) -> FaceSearch:
        """Return a search that runs on every frame, because this detector costs nothing and its box is exact."""
        return FullFrameSearch(self, every_frame=True)
