"""YuNet face detector."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edgeinfer.errors import CapabilityError, ModelError, ModelNotFoundError
from edgeinfer.results import Box, Image


class YuNetDetector:
    """The YuNet network (Wu et al. 2023, doi:10.1007/s11633-023-1423-y) through OpenCV; its file is not bundled."""

    def __init__(self, model: str | Path, *, min_score: float = 0.7, min_size: int = 16) -> None:
        """Load a YuNet file.

        Args:
            model: path to an ONNX file of the family face_detection_yunet.
            min_score: lowest score of a face, 0..1.
            min_size: smallest side of a face in pixels.

        Raises:
            CapabilityError: this OpenCV has no `FaceDetectorYN`.
            ModelNotFoundError: no such file.
            ModelError: OpenCV cannot use the file.
        """
        path = Path(model)
        if not path.is_file():
            raise ModelNotFoundError(f"no detector model at {path}; give the path of a face_detection_yunet ONNX file")
        if not hasattr(cv2, "FaceDetectorYN"):
            raise CapabilityError(
                f"OpenCV {cv2.__version__} has no FaceDetectorYN; install opencv-python-headless>=4.10,<5"
            )
        try:
            self._network = cv2.FaceDetectorYN.create(str(path), "", (320, 320), min_score)
            self._size_wh = (320, 320)
            self._network.detect(np.zeros((320, 320, 3), np.uint8))
        except cv2.error as error:
            raise ModelError(f"{path} is not a YuNet model that OpenCV {cv2.__version__} can use") from error
        self._min_size, self._min_score = min_size, min_score

    def detect(self, image: Image) -> list[Box]:
        """Search the whole frame, (H, W, 3) BGR or (H, W) grey uint8."""
        return self._search(image, image.shape[0], self._min_score)

    def glance(self, image: Image) -> list[Box]:
        """Search the frame at a reduced size, for about half of the cost.

        A face scores less when it is smaller, so that a lower score suffices: on clips it finds what `detect` finds.
        """
        height = image.shape[0]
        return self._search(image, min(height, max(240, min(480, height * 3 // 4))), self._min_score * 0.82)

    def _search(self, image: Image, height: int, min_score: float) -> list[Box]:
        picture = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        high, wide = picture.shape[:2]
        size_wh = (max(1, round(wide * height / high)), height)
        if height != high:
            picture = cv2.resize(picture, size_wh, interpolation=cv2.INTER_LINEAR)
        if self._size_wh != size_wh:
            self._size_wh = size_wh
            self._network.setInputSize(size_wh)
        self._network.setScoreThreshold(min_score)
        found = self._network.detect(picture)[1]
        boxes = [] if found is None else [_inside(row[:4] * (high / height), wide, high) for row in found]
        return [box for box in boxes if min(box.w, box.h) >= self._min_size]


def _inside(xywh: np.ndarray[tuple[int], np.dtype[np.float32]], width: int, height: int) -> Box:
    left, top = max(0, round(float(xywh[0]))), max(0, round(float(xywh[1])))
    right, bottom = min(width, round(float(xywh[0] + xywh[2]))), min(height, round(float(xywh[1] + xywh[3])))
    return Box(left, top, max(0, right - left), max(0, bottom - top))
