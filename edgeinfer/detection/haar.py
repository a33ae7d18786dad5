"""Finds faces in a frame."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Literal, Protocol, get_args

import cv2
import numpy as np

from edgeinfer.errors import CapabilityError, ModelError, ModelNotFoundError, UsageError
from edgeinfer.plugins import plugin, plugin_names
from edgeinfer.preprocess import Image
from edgeinfer.results import Box

DetectorName = Literal["haar", "yunet", "none"]
DETECTORS: tuple[DetectorName, ...] = get_args(DetectorName)
DEFAULT_CASCADE = "haarcascade_frontalface_default"


STANDARD = (DEFAULT_CASCADE, 1.1, 5, 30, None)
"""What `HaarDetector` takes without arguments."""


class FaceDetector(Protocol):
    """The role of whatever finds faces."""

    def detect(self, image: Image) -> list[Box]:
        """Boxes of the faces in a (H, W, 3) BGR or (H, W) grey uint8 frame, inside its bounds."""


class HaarDetector:
    """An OpenCV cascade over the whole frame (Viola and Jones 2001; Lienhart and Maydt 2002).

    Attributes:
        cascade: OpenCV's.
        standard: whether it was made without options of its own.
    """

    def __init__(
        self,
        cascade: str | Path | None = None,
        *,
        scale_factor: float = 1.1,
        min_neighbors: int = 5,
        min_size: int = 30,
        max_size: int | None = None,
    ) -> None:
        """Load a cascade.

        Args:
            cascade: the name of one that comes with OpenCV, with or without ".xml", or a path to an XML file;
                None for the frontal face.
            scale_factor: step between two sizes of the search, more than 1.
            min_neighbors: overlapping hits that make a face, 0 or more.
            min_size: smallest side of a face in pixels.
            max_size: largest side in pixels; None for the frame's.

        Raises:
            CapabilityError: this OpenCV has no cascade classifier or came without cascade files.
            ModelError: the cascade is missing or no cascade.
            UsageError: an option is out of bounds.
        """
        if scale_factor <= 1 or min_neighbors < 0 or min_size < 1 or (max_size is not None and max_size < min_size):
            raise UsageError(
                "a cascade needs scale_factor > 1, min_neighbors >= 0 and 1 <= min_size <= max_size; got "
                f"{scale_factor}, {min_neighbors}, {min_size}, {max_size}"
            )
        self.cascade = load_cascade(cascade)
        self._scale_factor, self._min_neighbors = scale_factor, min_neighbors
        self._min_size = (min_size, min_size)
        self._max_size = (max_size, max_size) if max_size else (0, 0)
        self.standard = (cascade or DEFAULT_CASCADE, scale_factor, min_neighbors, min_size, max_size) == STANDARD

    def detect(self, image: Image) -> list[Box]:
        """Search the whole frame, (H, W, 3) BGR or (H, W) grey uint8."""
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        found = self.cascade.detectMultiScale(
            grey, self._scale_factor, self._min_neighbors, minSize=self._min_size, maxSize=self._max_size
        )
        return [Box(*(int(v) for v in row)) for row in found]


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


class WholeFrameDetector:
    """The frame is one face: for pictures that are cropped already."""

    def detect(self, image: Image) -> list[Box]:
        """One box, the frame's."""
        return [Box(0, 0, image.shape[1], image.shape[0])]


def create_detector(name: str, *, model: str | Path | None = None, cascade: str | Path | None = None) -> FaceDetector:
    """Make a detector by name.

    Args:
        name: one of `DETECTORS`, or one that another package brings, see `edgeinfer.plugins`.
        model: the network's file; "yunet" needs it, "haar" and "none" take none.
        cascade: for "haar", see `HaarDetector`.

    Raises:
        UsageError: an unknown name, or an option that does not belong to the detector.
        CapabilityError: OpenCV lacks what the detector needs.
        ModelError: a file is missing or invalid.
    """
    if cascade is not None and name != "haar":
        raise UsageError(f"the detector {name} takes no cascade; leave it out or choose haar")
    if name not in DETECTORS:
        return _brought(name, model)
    if model is not None and name != "yunet":
        raise UsageError(f"the detector {name} takes no detector model; leave it out or choose yunet")
    if name == "yunet":
        if model is None:
            raise UsageError("the detector yunet needs --detector-model PATH, a face_detection_yunet ONNX file")
        return YuNetDetector(model)
    return HaarDetector(cascade) if name == "haar" else WholeFrameDetector()


def _brought(name: str, model: str | Path | None) -> FaceDetector:
    """A detector of another package."""
    check_detector(name)
    made: FaceDetector = plugin("detectors", name)(model)
    return made


def check_detector(name: str) -> None:
    """Refuse the name of no detector.

    Raises:
        UsageError: nobody brings one of this name.
    """
    if name not in DETECTORS and name not in (brought := plugin_names("detectors")):
        raise UsageError(f"no detector is called {name}; choose one of {', '.join((*DETECTORS, *brought))}")


def find_cascade(cascade: str | Path | None) -> Path:
    """The XML file meant by a name, a path, or None for the frontal face.

    Raises:
        CapabilityError: this OpenCV has no cascade classifier or came without cascade files.
        ModelNotFoundError: no such cascade.
    """
    if not hasattr(cv2, "CascadeClassifier"):
        raise CapabilityError(
            f"OpenCV {cv2.__version__} has no cascade classifier (removed in 5.0); "
            "run: pip install 'opencv-python-headless>=4.10,<5'"
        )
    if cascade is not None and (str(cascade).endswith(".xml") or "/" in str(cascade)) and Path(cascade).is_file():
        return Path(cascade)
    shipped = {path.stem: path for path in _cascade_folder().glob("haarcascade_*.xml")}
    if cascade is None and DEFAULT_CASCADE not in shipped:
        raise CapabilityError(
            f"OpenCV {cv2.__version__} came without its cascade files; run: pip install --force-reinstall "
            "'opencv-python-headless>=4.10,<5', or give --cascade FILE.xml"
        )
    name = DEFAULT_CASCADE if cascade is None else str(cascade).removesuffix(".xml")
    if name not in shipped:
        raise ModelNotFoundError(f"no cascade {cascade}; give an XML file or one of {', '.join(sorted(shipped))}")
    return shipped[name]


def _cascade_folder() -> Path:
    data = getattr(cv2, "data", None)  # builds without it exist
    return Path(data.haarcascades) if data else Path()


def load_cascade(cascade: str | Path | None) -> cv2.CascadeClassifier:
    """Load the cascade meant by a name, a path, or None for the frontal face.

    Raises:
        CapabilityError: this OpenCV has no cascade classifier or came without cascade files.
        ModelError: the cascade is missing or no cascade.
    """
    path = find_cascade(cascade)
    loaded = cv2.CascadeClassifier()
    with contextlib.suppress(cv2.error):
        loaded.load(str(path))  # the constructor would raise a SystemError for a damaged file
    if loaded.empty():
        raise ModelError(f"{path} is not a cascade that OpenCV {cv2.__version__} can read")
    return loaded


def _inside(xywh: np.ndarray[tuple[int], np.dtype[np.float32]], width: int, height: int) -> Box:
    left, top = max(0, round(float(xywh[0]))), max(0, round(float(xywh[1])))
    right, bottom = min(width, round(float(xywh[0] + xywh[2]))), min(height, round(float(xywh[1] + xywh[3])))
    return Box(left, top, max(0, right - left), max(0, bottom - top))
