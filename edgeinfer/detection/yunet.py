"""YuNet face detector."""

from __future__ import annotations

from pathlib import Path

from edgeinfer.detection.base import FaceSearch
from edgeinfer.detection.network_search import NetworkSearch
from edgeinfer.detection.network_stills import NetworkStillSearch, reduced
from edgeinfer.detection.yunet_file import find_yunet
from edgeinfer.detection.yunet_network import Detection, YuNetNetwork
from edgeinfer.errors import ModelNotFoundError, UsageError, shown_path
from edgeinfer.pixels import check_image, in_colour
from edgeinfer.results import Box, Image
from edgeinfer.system.paths import local_path

MAX_SIDE = 1280
"""Longer side above which a frame is reduced by `YuNetDetector.detect`, in pixels."""

MIN_SIZE = 16
"""Default of the smallest side of a face in pixels."""
CROP_SHARE = 0.9
"""Side of the cascade's square box as a share of the height of YuNet's box, see `benchmarks/detector_labels.py`."""


class YuNetDetector:
    """The YuNet network (Wu et al. 2023, doi:10.1007/s11633-023-1423-y) on onnxruntime.

    Its boxes have the pose of the head. Its model file is not part of edgeinfer; the extra `yunet` installs it.

    Examples:
        >>> import edgeinfer
        >>> detector = edgeinfer.YuNetDetector("face_detection_yunet_2023mar.onnx")  # doctest: +SKIP
        >>> detector.detect(image)  # doctest: +SKIP
        [Box(x=76, y=40, w=101, h=138)]
    """

    estimates_pose = True

    def __init__(
        self, model: str | Path | None = None, *, min_score: float = 0.7, min_size: int = MIN_SIZE, threads: int = 1
    ) -> None:
        """Load a YuNet model.

        Args:
            model: Path of a face_detection_yunet ONNX file; None for the file from the extra `yunet`.
            min_score: Lowest score of a face, 0..1.
            min_size: Smallest side of a face in pixels, 1 or more.
            threads: CPU threads per call of the network, 1 or more.

        Raises:
            CapabilityError: `model` is None and the extra is not installed.
            ModelNotFoundError: the file does not exist.
            ModelError: the file is not a YuNet model.
            UsageError: a number is out of range.
        """
        if not 0 <= min_score <= 1 or min_size < 1 or threads < 1:
            raise UsageError(
                f"invalid detector options: min_score {min_score}, min_size {min_size}, threads {threads}; expected "
                "0 <= min_score <= 1, min_size >= 1 and threads >= 1"
            )
        path = find_yunet() if model is None else local_path(model, ModelNotFoundError)
        if not path.is_file():
            raise ModelNotFoundError(
                f"detector model {shown_path(path)} not found: set `detector_model` to the path of a "
                "face_detection_yunet ONNX file"
            )
        self._network = YuNetNetwork(path, threads=threads)
        self._min_size, self._min_score = min_size, min_score

    def detect(self, image: Image) -> list[Box]:
        """Search the frame at its own size, or reduced to a longer side of `MAX_SIDE`.

        Args:
            image: (H, W, 3) BGR or (H, W) grey uint8.

        Returns:
            Bounding boxes of the faces in pixels, inside the frame, the highest score first.

        Raises:
            UsageError: the image has an invalid shape or dtype.
            ModelError: the network fails.
        """
        check_image(image, "image")
        height, width = image.shape[:2]
        boxes = (found.clipped(width, height) for found in self.find(image))
        return [box for box in boxes if min(box.w, box.h) >= self._min_size]

    def find(self, image: Image) -> list[Detection]:
        """Return what `detect` does with scores and facial points; boxes may extend beyond the frame."""
        zoom = max(1.0, max(image.shape[:2]) / MAX_SIDE)
        picture = in_colour(reduced(image, zoom))
        return [found.mapped(zoom, 0, 0) for found in self._network.detect(picture, self._min_score)]

    def detect_still(self, image: Image) -> list[Box]:
        """Search a single picture in several sizes, large ones in parts, see `NetworkStillSearch`.

        Args:
            image: (H, W, 3) BGR or (H, W) grey uint8.

        Returns:
            Bounding boxes of the faces in pixels, inside the picture, the highest score first.

        Raises:
            UsageError: the image has an invalid shape or dtype.
            ModelError: the network fails.
        """
        check_image(image, "image")
        return NetworkStillSearch(self._network, min_score=self._min_score, min_size=self._min_size).detect(image)

    def crop_box(self, box: Box) -> Box:
        """Return the square with the centre of a box and `CROP_SHARE` of its height."""
        side = max(1, round(CROP_SHARE * box.h))
        return Box(box.x + (box.w - side) // 2, box.y + (box.h - side) // 2, side, side, pose=box.pose)

    def create_search(self) -> FaceSearch:
        """Return a new search: scans of the reduced frame, and of the surroundings of tracked faces in between."""
        return NetworkSearch(self._network, min_score=self._min_score, min_size=self._min_size)
