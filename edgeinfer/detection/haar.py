"""Finds faces in a frame."""

from __future__ import annotations

import contextlib
from pathlib import Path

import cv2

from edgeinfer.errors import CapabilityError, ModelError, ModelNotFoundError, UsageError
from edgeinfer.results import Box, Image

DEFAULT_CASCADE = "haarcascade_frontalface_default"


STANDARD = (DEFAULT_CASCADE, 1.1, 5, 30, None)
"""What `HaarDetector` takes without arguments."""


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
