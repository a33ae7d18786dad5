"""Search of single pictures with cascades: candidates from two of them, each confirmed by others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from edgeinfer.detection.cascade_files import load_cascade
from edgeinfer.detection.cascade_search import PROFILE_SHARE
from edgeinfer.geometry import Place
from edgeinfer.pixels import in_grey
from edgeinfer.results import Box, Image
from edgeinfer.system import interrupts

MIN_FACE_PIXELS = 30
"""Side of the smallest face in pixels of the picture, as in `HaarDetector`."""
MIN_PROFILE_PIXELS = 60
"""Side of the smallest box of the profile cascade in pixels, for speed."""
MIN_PROFILE_HITS = 15
"""Lowest number of hits of the profile cascade in a rescaled crop of a face; in `benchmarks/stills.py`, false ones have
up to 12."""
STRIP_PIXELS = 2_000_000
"""Number of pixels that are searched at once, which bounds the memory: OpenCV needs about 30 bytes for each."""
MIN_SCORE = 6.0
"""Lowest score of a face, see `StillSearch.score`: a hundredth of a false box per picture in `benchmarks/stills.py`."""
MAX_OVERLAP = 0.4
"""Intersection of two boxes as a share of the smaller one above which they are the same face."""

_Window = tuple[int, int, int, int]
_FACE, _PROFILES = 30, (40, 48)  # pixels; sizes to which a face, and a profile's box, are scaled for confirmation
_REACH = 1.7  # side of the square around it, in multiples of the side of the face
_EYES_SIDE = 80  # pixels; the size to which a face is scaled for the search of its eyes
_EYES_ROWS = slice(8, 52)  # rows of that picture which contain the eyes


class StillSearch:
    """Cascades at full size and in halved pictures; candidates need the agreement of other cascades.

    The default and the alt2 cascade propose frontal faces, which are examined in their surroundings by the cascades
    alt, alt2 and eye. There is only one cascade for profiles, which must confirm its own candidates.
    """

    def __init__(self, strict: cv2.CascadeClassifier) -> None:
        """Load the cascades; `strict` is `haarcascade_frontalface_default`."""
        self._strict = strict
        self._alt = load_cascade("haarcascade_frontalface_alt")
        self._alt2 = load_cascade("haarcascade_frontalface_alt2")
        self._eye = load_cascade("haarcascade_eye")
        self._profile = load_cascade("haarcascade_profileface")

    def detect(self, image: Image) -> list[Box]:
        """Return the bounding boxes of the faces in a picture, one per face.

        Args:
            image: (H, W, 3) BGR or (H, W) grey uint8.
        """
        grey = in_grey(image)
        found = [(score, box) for box in self.propose(grey) if (score := self.score(grey, box)) >= MIN_SCORE]
        frontal = [box for _, box in sorted(found, key=lambda face: -face[0])]
        return without_duplicates([*frontal, *self._find_profiles(grey)])

    def propose(self, grey: Image) -> list[Box]:
        """Return the candidates in an (H, W) uint8 picture; some faces have several."""
        return [
            box
            for cascade in (self._strict, self._alt2)
            for box in _group(find_windows(cascade, grey, MIN_FACE_PIXELS), 2)
        ]

    def score(self, grey: Image, box: Box) -> float:
        """Return how much the cascades support a candidate, 0 or more.

        The terms and their weights are those of a logistic regression in `benchmarks/stills.py`, rounded.
        """
        alt, alt2, eyes = self.examine(grey, box)
        return 2 * math.log1p(alt) + math.log1p(alt2) + 2 * min(eyes, 2)

    def examine(self, grey: Image, box: Box) -> tuple[int, int, int]:
        """Return the numbers of hits of alt and of alt2 at a candidate, and the number of eyes in it.

        Args:
            grey: (H, W) uint8.
            box: Candidate in pixels of the picture.
        """
        inside = _patch(grey, Place.of(box), box.w, _EYES_SIDE)[_EYES_ROWS]
        eyes = self._eye.detectMultiScale(inside, 1.1, 2, minSize=(14, 14), maxSize=(34, 34))
        return count_hits(self._alt, grey, box), count_hits(self._alt2, grey, box), len(eyes)

    def _find_profiles(self, grey: Image) -> Iterator[Box]:
        """Yield the faces that are turned to either side."""
        for mirrored in (False, True):
            picture = np.ascontiguousarray(grey[:, ::-1]) if mirrored else grey
            for box in _group(find_windows(self._profile, picture, MIN_PROFILE_PIXELS), 1):
                if sum(count_hits(self._profile, picture, box, side) for side in _PROFILES) >= MIN_PROFILE_HITS:
                    # The box of this cascade includes the back of the head.
                    place = Place.of(Box(grey.shape[1] - box.x - box.w, box.y, box.w, box.h) if mirrored else box)
                    yield place.moved(0, 0, PROFILE_SHARE).box()


def find_windows(cascade: cv2.CascadeClassifier, grey: Image, min_face: int) -> list[_Window]:
    """Return all windows (x, y, w, h) that a cascade accepts, ungrouped, for face sizes in steps of 10 %.

    OpenCV evaluates every second pixel for faces up to twice the cascade's window, and every pixel for larger ones,
    where it matters least. Larger faces are therefore searched in halved pictures.
    """
    window, zoom, found = cascade.getOriginalWindowSize()[0], 1, list[_Window]()
    while min(grey.shape) >= window:
        low, high = max(window, min_face // zoom), 2 * window - 1
        if low <= high:
            found += [(zoom * x, zoom * y, zoom * w, zoom * h) for x, y, w, h in _scan(cascade, grey, low, high)]
        zoom *= 2
        size_wh = max(1, grey.shape[1] // 2), max(1, grey.shape[0] // 2)
        grey = np.asarray(cv2.resize(grey, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    return found


def count_hits(cascade: cv2.CascadeClassifier, grey: Image, box: Box, side: int = _FACE) -> int:
    """Return the number of windows that a cascade accepts at a candidate whose box is scaled to a side in pixels."""
    pixels, low, high = round(_REACH * side), round(side / 1.35), round(1.4 * side)
    around = _patch(grey, Place.of(box), _REACH * box.w, pixels)
    windows = cascade.detectMultiScale(around, 1.05, 0, minSize=(low, low), maxSize=(high, high))
    distances = (max(abs(x + w / 2 - pixels / 2), abs(y + h / 2 - pixels / 2)) for x, y, w, h in windows)
    return sum(bool(distance < side / 4) for distance in distances)


def without_duplicates(boxes: Iterable[Box]) -> list[Box]:
    """Return the boxes without those that mostly overlap, or lie in, an earlier one."""
    kept: list[Box] = []
    for box in boxes:
        place = Place.of(box)
        shares = (place.common(Place.of(other)) / min(box.w * box.h, other.w * other.h) for other in kept)
        if all(share <= MAX_OVERLAP for share in shares):
            kept.append(box)
    return kept


def _scan(cascade: cv2.CascadeClassifier, grey: Image, low: int, high: int) -> list[_Window]:
    """Return the windows with sides from `low` to `high`; large pictures are searched in overlapping strips."""
    height, width = grey.shape
    rows = max(STRIP_PIXELS // width, 4 * high)
    found: list[_Window] = []
    for top in range(0, max(1, height - high), rows - high):
        interrupts.check()
        strip = grey[top : top + rows]
        windows = cascade.detectMultiScale(strip, 1.1, 0, minSize=(low, low), maxSize=(high, high))
        # Windows inside the overlap were found in the previous strip.
        found += [(int(x), top + int(y), int(w), int(h)) for x, y, w, h in windows if top == 0 or y + h > high]
    return found


def _group(windows: list[_Window], hits: int) -> list[Box]:
    """Return one box per group of at least `hits` windows, 1 or more."""
    boxes, _ = cv2.groupRectangles(windows * 2, 2 * hits - 1, 0.2)
    return [Box(*(int(value) for value in box)) for box in boxes]


def _patch(grey: Image, place: Place, side: float, pixels: int) -> Image:
    """Return the square around a place, scaled to (pixels, pixels); outside the picture its edge is repeated."""
    height, width = grey.shape
    left, top, size = round(place.x - side / 2), round(place.y - side / 2), max(1, round(side))
    right, bottom = left + size, top + size
    part = grey[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    if part.shape != (size, size):
        part = cv2.copyMakeBorder(  # type: ignore[assignment]
            part, max(0, -top), max(0, bottom - height), max(0, -left), max(0, right - width), cv2.BORDER_REPLICATE
        )
    flags = cv2.INTER_AREA if size > pixels else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, (pixels, pixels), interpolation=flags), np.uint8)
