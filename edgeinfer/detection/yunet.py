"""YuNet face detector."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edgeinfer.detection.base import FaceSearch
from edgeinfer.detection.frame_search import FullFrameSearch
from edgeinfer.detection.network_admission import read_network
from edgeinfer.errors import CapabilityError, ModelError, ModelNotFoundError, shown_path
from edgeinfer.results import Box, Image
from edgeinfer.system.paths import local_path

SEARCH_PERIOD_S = 0.12
"""Time between two runs on the full frame, in seconds: YuNet costs less than other full-frame detectors."""
QUICK_SCORE_FACTOR = 0.82
"""Multiplier of the score threshold at the reduced size, at which the same face scores lower."""


class YuNetDetector:
    """The YuNet network (Wu et al. 2023, doi:10.1007/s11633-023-1423-y) in OpenCV. Its model file is not bundled.

    Examples:
        >>> import edgeinfer
        >>> detector = edgeinfer.YuNetDetector("face_detection_yunet_2023mar.onnx")  # doctest: +SKIP
        >>> detector.detect(image)  # doctest: +SKIP
        [Box(x=76, y=40, w=101, h=138)]
    """

    def __init__(self, model: str | Path, *, min_score: float = 0.7, min_size: int = 16) -> None:
        """Load a YuNet model.

        Args:
            model: Path of a face_detection_yunet ONNX file.
            min_score: Lowest score of a face, 0..1.
            min_size: Smallest side of a face in pixels.

        Raises:
            CapabilityError: this OpenCV has no `FaceDetectorYN`.
            ModelNotFoundError: the file does not exist.
            ModelError: the file is not a YuNet model that OpenCV can use.
        """
        path = local_path(model, ModelNotFoundError)
        if not path.is_file():
            raise ModelNotFoundError(
                f"detector model {shown_path(path)} not found: set `detector_model` to the path of a "
                "face_detection_yunet ONNX file"
            )
        if not hasattr(cv2, "FaceDetectorYN"):
            raise CapabilityError(
                f"OpenCV {cv2.__version__} has no FaceDetectorYN; run: pip install 'opencv-python-headless>=4.10,<5'"
            )
        content, empty = np.frombuffer(read_network(path), np.uint8), np.empty(0, np.uint8)
        try:
            self._network = cv2.FaceDetectorYN.create("onnx", content, empty, (320, 320), min_score)
            self._size_wh = (320, 320)
            self._network.detect(np.zeros((320, 320, 3), np.uint8))
        except cv2.error as error:
            message = f"{shown_path(path)} is not a YuNet model that OpenCV {cv2.__version__} can use"
            raise ModelError(message) from error
        self._min_size, self._min_score = min_size, min_score

    def detect(self, image: Image) -> list[Box]:
        """Search the frame at its own size.

        Args:
            image: (H, W, 3) BGR or (H, W) grey uint8.

        Returns:
            Bounding boxes of the faces in pixels, inside the frame, in no particular order.
        """
        return self._detect_at(image, image.shape[0], self._min_score)

    def detect_quick(self, image: Image) -> list[Box]:
        """Search the frame at a reduced size, at about half the cost.

        The score threshold is lowered by `QUICK_SCORE_FACTOR`. On video clips, this finds the same faces as `detect`.

        Args:
            image: (H, W, 3) BGR or (H, W) grey uint8.

        Returns:
            Bounding boxes of the faces in pixels of `image`.
        """
        height = image.shape[0]
        reduced = min(height, max(240, min(480, height * 3 // 4)))
        return self._detect_at(image, reduced, self._min_score * QUICK_SCORE_FACTOR)

    def create_search(self) -> FaceSearch:
        """Return a new full-frame search that uses `detect_quick` after the first frame."""
        return FullFrameSearch(self, period_s=SEARCH_PERIOD_S, detect_quick=self.detect_quick)

    def _detect_at(self, image: Image, scaled_height: int, min_score: float) -> list[Box]:
        """Run the network on the frame resized to the given height and return boxes in frame pixels."""
        picture = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        height, width = picture.shape[:2]
        size_wh = (max(1, round(width * scaled_height / height)), scaled_height)
        if scaled_height != height:
            picture = cv2.resize(picture, size_wh, interpolation=cv2.INTER_LINEAR)
        if self._size_wh != size_wh:
            self._size_wh = size_wh
            self._network.setInputSize(size_wh)
        self._network.setScoreThreshold(min_score)
        try:
            found = self._network.detect(picture)[1]
        except cv2.error as error:
            raise ModelError(f"OpenCV {cv2.__version__} cannot run the YuNet model on {size_wh} pixels") from error
        scale = height / scaled_height
        boxes = (
            []
            if found is None
            else [_clip(row[:4] * scale, width, height) for row in found if np.isfinite(row[:4]).all()]
        )
        return [box for box in boxes if min(box.w, box.h) >= self._min_size]


def _clip(xywh: np.ndarray[tuple[int], np.dtype[np.float32]], width: int, height: int) -> Box:
    """Round a box to whole pixels and clip it to the frame."""
    left, top = max(0, round(float(xywh[0]))), max(0, round(float(xywh[1])))
    right, bottom = min(width, round(float(xywh[0] + xywh[2]))), min(height, round(float(xywh[1] + xywh[3])))
    return Box(left, top, max(0, right - left), max(0, bottom - top))
