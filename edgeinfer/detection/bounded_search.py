"""Search with an untrusted cascade, bounded in time and in the number of hits."""

from __future__ import annotations

import time

import cv2
import numpy as np

from edgeinfer.errors import ModelError
from edgeinfer.results import Image
from edgeinfer.system import interrupts

MAX_SECONDS = 20.0
"""Maximum duration of the search of one picture, in seconds."""
MAX_HITS = 20_000
"""Maximum number of accepted windows per picture; grouping them takes quadratic time."""
_GROUP_EPS = 0.2  # as in OpenCV's detectMultiScale


def search_bounded(
    cascade: cv2.CascadeClassifier,
    grey: Image,
    scale_factor: float,
    min_neighbors: int,
    *,
    min_size: int,
    max_size: int | None,
) -> list[tuple[int, int, int, int]]:
    """Return the boxes (x, y, w, h) of `cascade.detectMultiScale`, computed one face size at a time.

    The search starts with the largest size, which has the fewest windows. Each following size takes about
    `scale_factor` squared as long as the previous one, so an excessive search is refused before it has taken long.

    Args:
        cascade: Cascade that passed the admission rules.
        grey: (H, W) uint8.
        scale_factor: Ratio of two successive face sizes, above 1.
        min_neighbors: Number of overlapping hits required for a face.
        min_size: Smallest side of a face in pixels.
        max_size: Largest side of a face in pixels, or None.

    Raises:
        ModelError: The search would take more than `MAX_SECONDS`, or the cascade accepts nearly everything.
    """
    hits: list[tuple[int, int, int, int]] = []
    started = previous = time.monotonic()
    for size in reversed(_window_sizes(cascade, grey, scale_factor, min_size, max_size)):
        try:
            found = cascade.detectMultiScale(grey, scale_factor, 0, minSize=size, maxSize=size)
        except cv2.error as error:
            raise ModelError(f"the cascade cannot be used by OpenCV {cv2.__version__}: it is damaged") from error
        hits += [(int(x), int(y), int(w), int(h)) for x, y, w, h in found]
        now = time.monotonic()
        if now - started + (now - previous) * scale_factor**2 > MAX_SECONDS:
            raise ModelError(f"the cascade needs more than {MAX_SECONDS:g} s per picture; use a smaller cascade")
        if len(hits) > MAX_HITS:
            raise ModelError(f"the cascade finds more than {MAX_HITS} faces in a picture; train it again")
        previous = now
        interrupts.check()
    if not hits or min_neighbors == 0:
        return hits
    boxes, _ = cv2.groupRectangles(hits, min_neighbors, _GROUP_EPS)
    return [(int(x), int(y), int(w), int(h)) for x, y, w, h in boxes]


def _window_sizes(
    cascade: cv2.CascadeClassifier, grey: Image, scale_factor: float, min_size: int, max_size: int | None
) -> list[tuple[int, int]]:
    """Return the window sizes (width, height) that OpenCV searches, in ascending order."""
    window = np.array(cascade.getOriginalWindowSize())
    height, width = grey.shape
    limit = np.array((width, height) if max_size is None else (min(max_size, width), min(max_size, height)))
    sizes: list[tuple[int, int]] = []
    factor = 1.0
    while (size := np.rint(window * factor).astype(int)).max() and (size <= limit).all():
        pair = (int(size[0]), int(size[1]))
        if size.min() >= min_size and pair not in sizes[-1:]:
            sizes.append(pair)
        factor *= scale_factor
    return sizes
