"""Haar cascade face detector."""

from __future__ import annotations

from pathlib import Path

from edgeinfer.detection.base import FaceSearch
from edgeinfer.detection.bounded_search import search_bounded
from edgeinfer.detection.cascade_files import DEFAULT_CASCADE, find_cascade, is_bundled, load_cascade
from edgeinfer.detection.cascade_search import CascadeSearch
from edgeinfer.detection.frame_search import FullFrameSearch
from edgeinfer.detection.stills import StillSearch
from edgeinfer.errors import UsageError
from edgeinfer.pixels import check_image, in_grey
from edgeinfer.results import Box, Image

DEFAULT_OPTIONS = (DEFAULT_CASCADE, 1.1, 5, 30, None)
"""Cascade, scale_factor, min_neighbors, min_size and max_size of a `HaarDetector` created without arguments."""


class HaarDetector:
    """An OpenCV Haar cascade on the full frame (Viola and Jones 2001; Lienhart and Maydt 2002).

    Attributes:
        cascade: The loaded `cv2.CascadeClassifier`.

    Examples:
        >>> import edgeinfer
        >>> from edgeinfer.model.card import asset_path
        >>> with edgeinfer.open_source(asset_path("demo.mp4")) as source:
        ...     frame = next(iter(source))
        >>> len(edgeinfer.HaarDetector(min_size=60).detect(frame.image))
        1
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
            cascade: Name of a cascade bundled with OpenCV, with or without ".xml", or path of an XML file;
                None for the frontal face cascade.
            scale_factor: Ratio of two successive face sizes in the search, above 1.
            min_neighbors: Number of overlapping hits required for a face, 0 or more.
            min_size: Smallest side of a face in pixels, 1 or more.
            max_size: Largest side of a face in pixels, `min_size` or more; None for no limit.

        Raises:
            CapabilityError: this OpenCV has no cascade classifier or lacks its cascade files.
            ModelError: the cascade does not exist, or the file is not a valid cascade.
            UsageError: a number is out of range.
        """
        if scale_factor <= 1 or min_neighbors < 0 or min_size < 1 or (max_size is not None and max_size < min_size):
            raise UsageError(
                f"invalid cascade options: scale_factor {scale_factor}, min_neighbors {min_neighbors}, min_size "
                f"{min_size}, max_size {max_size}; expected scale_factor > 1, min_neighbors >= 0 and "
                "1 <= min_size <= max_size"
            )
        self.cascade = load_cascade(cascade)
        self._trusted = is_bundled(find_cascade(cascade))
        self._scale_factor, self._min_neighbors = scale_factor, min_neighbors
        self._min_size, self._max_size = min_size, max_size
        options = (cascade or DEFAULT_CASCADE, scale_factor, min_neighbors, min_size, max_size)
        self._has_default_options = options == DEFAULT_OPTIONS
        self._still_search: StillSearch | None = None

    def detect(self, image: Image) -> list[Box]:
        """Search the full frame.

        Args:
            image: (H, W, 3) BGR or (H, W) grey uint8.

        Returns:
            Bounding boxes of the faces in pixels, inside the frame, in no particular order.

        Raises:
            UsageError: the image has an invalid shape or dtype.
            ModelError: a cascade that is not part of OpenCV is too slow or unusable, see `search_bounded`.
        """
        check_image(image, "image")
        grey = in_grey(image)
        low, high, factor, neighbors = self._min_size, self._max_size, self._scale_factor, self._min_neighbors
        if not self._trusted:
            found = search_bounded(self.cascade, grey, factor, neighbors, min_size=low, max_size=high)
            return [Box(*box) for box in found]
        boxes = self.cascade.detectMultiScale(
            grey, factor, neighbors, minSize=(low, low), maxSize=(high, high) if high else (0, 0)
        )
        return [Box(*(int(value) for value in box)) for box in boxes]

    def detect_still(self, image: Image) -> list[Box]:
        """Search a single picture with two cascades and confirm each face with others, see `StillSearch`.

        A detector with a custom cascade or options returns what `detect` returns.

        Args:
            image: (H, W, 3) BGR or (H, W) grey uint8.

        Returns:
            Bounding boxes of the faces in pixels, inside the picture, the most certain first.

        Raises:
            UsageError: the image has an invalid shape or dtype.
            ModelError: this OpenCV lacks a cascade file; or see `detect`.
        """
        check_image(image, "image")
        if not self._has_default_options:
            return self.detect(image)
        if self._still_search is None:
            self._still_search = StillSearch(self.cascade)
        return self._still_search.detect(image)

    def create_search(self) -> FaceSearch:
        """Return a new search: incremental for the default options, else this detector on the full frame."""
        return CascadeSearch(self.cascade) if self._has_default_options else FullFrameSearch(self)
