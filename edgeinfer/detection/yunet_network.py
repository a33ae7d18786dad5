"""Inference with the YuNet network: from a picture to boxes, scores and facial points."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeinfer.detection.head_pose import estimate_pose
from edgeinfer.detection.network_admission import OUTPUTS, STRIDES, read_network
from edgeinfer.errors import ModelError, shown_path
from edgeinfer.geometry import Place
from edgeinfer.model.free_shapes import with_free_size
from edgeinfer.model.session import create_session, run_session
from edgeinfer.results import Box, Image

GRID = 32
"""Largest stride of the network; its input is padded to multiples of it, in pixels."""
MAX_OVERLAP = 0.3
"""Intersection over union above which the box with the lower score is a duplicate, as in OpenCV's `FaceDetectorYN`."""
MAX_CANDIDATES = 5000
"""Maximum number of boxes before duplicates are removed, as in OpenCV."""
MAX_EXPONENT = 10.0
"""Maximum logarithm of a box side in units of the stride, which keeps sides finite."""


@dataclass(frozen=True, slots=True)
class Detection:
    """A face found by the network.

    Attributes:
        xywh: Left, top, width and height in fractional pixels; parts of the box may lie outside the picture.
        score: Score of the face, 0..1.
        points: (x, y) of the right eye, left eye, tip of the nose, right and left corner of the mouth, in pixels. Right
            and left are those of the person.
    """

    xywh: tuple[float, float, float, float]
    score: float
    points: tuple[tuple[float, float], ...]

    @property
    def place(self) -> Place:
        """Box as a place with the pose of the head, in the same pixels."""
        x, y, w, h = self.xywh
        return Place(x + (w - 1) / 2, y + (h - 1) / 2, w, h, estimate_pose(self.points))

    def clipped(self, width: int, height: int) -> Box:
        """Return the box in whole pixels, clipped to a picture of that size, with the pose; its sides are 0 outside."""
        x, y, w, h = self.xywh
        left, top = min(max(0, round(x)), width), min(max(0, round(y)), height)
        right, bottom = min(width, round(x + w)), min(height, round(y + h))
        return Box(left, top, max(0, right - left), max(0, bottom - top), pose=estimate_pose(self.points))

    def mapped(self, zoom: float, left: float, top: float) -> Detection:
        """Return the detection in the frame of which the picture is a part.

        Args:
            zoom: Side of a pixel of the picture, in pixels of the frame.
            left: Left edge of the picture in pixels of the frame.
            top: Top edge of the picture in pixels of the frame.
        """
        x, y, w, h = self.xywh
        points = tuple((left + zoom * px, top + zoom * py) for px, py in self.points)
        return Detection((left + zoom * x, top + zoom * y, zoom * w, zoom * h), self.score, points)


class YuNetNetwork:
    """YuNet (Wu et al. 2023, doi:10.1007/s11633-023-1423-y) on onnxruntime, for pictures of any size.

    The outputs are decoded as in OpenCV's modules/objdetect/src/face_detect.cpp.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        """Load a model file and run it once.

        Args:
            path: face_detection_yunet ONNX file.
            threads: Number of threads per call, 1 or more.

        Raises:
            ModelError: The file is not a YuNet model that onnxruntime can run.
        """
        data = with_free_size(read_network(path), "input", 3)
        self._session = create_session(data, path, threads=threads, bounded=True)
        self._shown = shown_path(path)
        self._grids: dict[tuple[int, int], tuple[NDArray[Any], NDArray[Any]]] = {}
        self.detect(np.zeros((GRID, 2 * GRID, 3), np.uint8), 0.5)

    def detect(self, picture: Image, min_score: float) -> list[Detection]:
        """Return the faces in a picture, the highest score first.

        Args:
            picture: (H, W, 3) uint8 BGR array.
            min_score: Lowest score of a face, 0..1.

        Raises:
            ModelError: The network fails or has outputs of an unexpected shape.
        """
        height, width = picture.shape[:2]
        rows, columns = -(-height // GRID) * GRID, -(-width // GRID) * GRID
        if (rows, columns) != (height, width):
            picture = cv2.copyMakeBorder(  # type: ignore[assignment]
                picture, 0, rows - height, 0, columns - width, cv2.BORDER_CONSTANT, value=(0, 0, 0)
            )
        outputs = run_session(self._session, tuple(OUTPUTS), {"input": cv2.dnn.blobFromImage(picture)})
        cls, obj, bbox, kps = (self._joined(outputs, kind, rows * columns) for kind in range(4))
        scores = (cls * obj)[:, 0]
        chosen = np.flatnonzero(scores >= min_score**2)
        if not len(chosen):
            return []
        if len(chosen) > MAX_CANDIDATES:
            chosen = chosen[np.argpartition(scores[chosen], -MAX_CANDIDATES)[-MAX_CANDIDATES:]]
        grid, strides = self._grid(rows, columns)
        return _decode(grid[chosen], strides[chosen], np.sqrt(scores[chosen]), bbox[chosen], kps[chosen])

    def _joined(self, outputs: list[NDArray[Any]], kind: int, pixels: int) -> NDArray[Any]:
        """Return one kind of output for the positions of all strides, (N, K)."""
        parts = outputs[3 * kind : 3 * kind + 3]
        numbers = tuple(OUTPUTS.values())[3 * kind]
        if any(part.shape != (1, pixels // stride**2, numbers) for part, stride in zip(parts, STRIDES, strict=True)):
            raise ModelError(f"{self._shown} is not a YuNet model: its outputs have unexpected shapes")
        return np.concatenate([part[0] for part in parts])

    def _grid(self, rows: int, columns: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the column and row of each position, (N, 2), and its stride in pixels, (N, 1)."""
        if (rows, columns) not in self._grids:
            if len(self._grids) > 8:
                self._grids.clear()
            cells = [np.indices((rows // s, columns // s))[::-1].reshape(2, -1).T for s in STRIDES]
            strides = [np.full((len(part), 1), s) for part, s in zip(cells, STRIDES, strict=True)]
            self._grids[rows, columns] = np.concatenate(cells), np.concatenate(strides)
        return self._grids[rows, columns]


def _decode(
    grid: NDArray[Any], strides: NDArray[Any], scores: NDArray[Any], bbox: NDArray[Any], kps: NDArray[Any]
) -> list[Detection]:
    """Return the faces at some positions without duplicates.

    Args:
        grid: (N, 2) column and row.
        strides: (N, 1) strides in pixels.
        scores: (N,) scores.
        bbox: (N, 4) offset of the centre from the position, and logarithm of the sides, in units of the stride.
        kps: (N, 10) offset of the points from the position, in units of the stride.
    """
    sides = np.exp(np.minimum(bbox[:, 2:], MAX_EXPONENT)) * strides
    corners = (grid + bbox[:, :2]) * strides - sides / 2
    points = (kps.reshape(-1, 5, 2) + grid[:, None]) * strides[:, None]
    boxes = np.concatenate([corners, sides], axis=1)
    finite = np.isfinite(boxes).all(axis=1) & np.isfinite(points).all(axis=(1, 2)) & np.isfinite(scores)
    boxes, points, scores = boxes[finite], points[finite], scores[finite]
    kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), 0.0, MAX_OVERLAP)
    return [
        Detection(tuple(boxes[n].tolist()), float(scores[n]), tuple((x, y) for x, y in points[n].tolist()))
        for n in np.asarray(kept, int).ravel()
    ]
