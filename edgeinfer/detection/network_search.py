"""Incremental face search with a network: scans of the reduced frame, and of the surroundings of faces in between."""

from __future__ import annotations

import math
from typing import Protocol

from edgeinfer.detection.base import SearchStep
from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.detection.yunet_network import GRID, Detection
from edgeinfer.geometry import WHOLE, Place, Region
from edgeinfer.results import Image

FIRST_SIDE = 360
"""Shorter side to which the first frame is reduced, in pixels."""
SCAN_SIDES = (216, 252)
"""Same for later frames: the smaller one up to a shorter side of 432 and from `TILED_SIDE`, the larger one from 504."""
SCAN_PERIOD_S = 0.2
"""Interval between scans in seconds."""
SCAN_FACE_PIXELS = 10
"""Side of the smallest face that the network finds reliably, in pixels of the scanned picture."""
COARSE_MARGIN = 1.5
"""Factor on the side of the smallest face that a scan at half resolution finds reliably."""
TILED_SIDE = 600
"""Shorter side from which frames are also searched in tiles, for faces too small for a scan, in pixels."""
TILES, TILE_SHARE = 2, 4 / 7
"""Number of tiles along each side of a frame, and their share of it; neighbours overlap by a quarter."""
TILE_PERIOD_S = 0.8
"""Interval between scans of two successive tiles in seconds."""
CROP_PIXELS, CROP_REACH = 96, 2.4
"""Side of the square around a tracked face in which it is verified: in pixels, and as a multiple of the face side."""
NEW_REACH, NEW_ZOOM = 4.0, 0.75
"""Same for a new face, as a multiple of its side, and the square's reduction as a share of that of a scan. False faces
look like one only at one scale and without their surroundings."""
MAX_NEW_PIXELS = 256
"""Largest side of that square in pixels."""
MAX_AGE_S = 0.5
"""Time for which a face is tracked without a verification, in seconds."""
NEW_SCORE = 0.9
"""Lowest score of a new face in a scan and in its verification, as a share of the lowest score at full size: the same
face scores lower in reduced pictures."""
KEEP_SCORE = 0.6
"""Same for a face that is already tracked."""
MAX_DISTANCE = 0.6
"""Largest distance of a verified face from its expected position, as a multiple of its side."""


class FaceNetwork(Protocol):
    """Interface of networks that find faces of at least about 10 pixels in a picture."""

    def detect(self, picture: Image, min_score: float) -> list[Detection]:
        """Return the faces in an (H, W, 3) uint8 BGR picture with at least `min_score`, 0..1."""


class NetworkSearch:
    """Scans of the reduced frame at intervals; faces are verified in a small picture around them.

    The second step searches large frames for small faces, one tile after the other.
    """

    can_verify = True
    decisive = True
    every_frame = False
    max_age_s = MAX_AGE_S
    max_halvings = 1
    min_tile = 0.5  # a quarter of the region takes about as long

    def __init__(self, network: FaceNetwork, *, min_score: float, min_size: int) -> None:
        """Create a search.

        Args:
            network: Network that finds the faces.
            min_score: Lowest score of a new face at full size, 0..1.
            min_size: Smallest side of a face in pixels of the frame.
        """
        self.steps: tuple[SearchStep, ...] = tuple(
            SearchStep(period_s, MAX_AGE_S, verifiers=(0,)) for period_s in (SCAN_PERIOD_S, TILE_PERIOD_S)
        )
        self._network, self._min_score, self._min_size = network, min_score, min_size
        self._tile = 0

    def search_frame(self, image: Image) -> list[Place]:
        """Return the faces in a frame reduced to a shorter side of `FIRST_SIDE`; the tiles start again."""
        self._tile = 0
        pyramid = Pyramid(image)
        return self._scan(pyramid, WHOLE, _zoom(pyramid.size_wh, FIRST_SIDE), self._min_score)

    def run_step(self, pyramid: Pyramid, step: int, region: Region) -> list[Place]:
        """Scan a region of the frame, or the next tile of a large frame."""
        zoom = _scan_zoom(pyramid.size_wh)
        if step == 1:
            if min(pyramid.size_wh) < TILED_SIDE or SCAN_FACE_PIXELS * zoom <= self._min_size:
                return []
            self._tile = (self._tile + 1) % TILES**2
            top, left = (index * (1 - TILE_SHARE) / (TILES - 1) for index in divmod(self._tile, TILES))
            region, zoom = (left, top, left + TILE_SHARE, top + TILE_SHARE), max(1.0, zoom * TILE_SHARE)
        return self._scan(pyramid, region, zoom, self._min_score * NEW_SCORE)

    def small_face_side(self, size_wh: tuple[int, int], step: int) -> float | None:
        """Return the side of the smallest face at half resolution; a tile of a large frame is not divided again."""
        return 2 * SCAN_FACE_PIXELS * _scan_zoom(size_wh) * COARSE_MARGIN if step == 0 else None

    def run_reduced(self, pyramid: Pyramid, step: int, region: Region, halvings: int) -> list[Place]:
        """Scan a region of the frame at a lower resolution."""
        zoom = _scan_zoom(pyramid.size_wh) * 2**halvings
        return self._scan(pyramid, region, zoom, self._min_score * NEW_SCORE)

    def verify_near(self, pyramid: Pyramid, place: Place, verifier: int, *, thorough: bool) -> Place | None:
        """Scan a square around the face; the wider and finer one of `NEW_REACH` if `thorough`."""
        side = place.side * (NEW_REACH if thorough else CROP_REACH)
        zoom = (
            max(1.0, NEW_ZOOM * _scan_zoom(pyramid.size_wh), side / MAX_NEW_PIXELS) if thorough else side / CROP_PIXELS
        )
        width, height = pyramid.size_wh
        left, top = max(0, round(place.x - side / 2)), max(0, round(place.y - side / 2))
        right, bottom = min(width, round(place.x + side / 2)), min(height, round(place.y + side / 2))
        if min(right - left, bottom - top) < zoom:
            return None
        picture = pyramid.cut((left, top, right, bottom), zoom)
        found = self._network.detect(picture, self._min_score * (NEW_SCORE if thorough else KEEP_SCORE))
        faces = (face.mapped(zoom, left, top).place for face in found)
        near = ((_distance(face, place) / max(face.side, place.side), face) for face in faces)
        distance, nearest = min(near, default=(math.inf, place), key=lambda pair: pair[0])
        return nearest if distance < MAX_DISTANCE else None

    def _scan(self, pyramid: Pyramid, region: Region, zoom: float, min_score: float) -> list[Place]:
        """Return the faces in a region of the frame, without those that its edges cut off."""
        width, height = pyramid.size_wh
        left, top, right, bottom = (round(k * n) for k, n in zip(region, (width, height, width, height), strict=True))
        if min(right - left, bottom - top) < zoom:
            return []
        found = self._network.detect(pyramid.cut((left, top, right, bottom), zoom), min_score)
        # A face may extend beyond the frame.
        edges = (
            left or -math.inf, top or -math.inf,
            right if right < width else math.inf, bottom if bottom < height else math.inf,
        )  # fmt: skip
        places = (face.mapped(zoom, left, top).place for face in found)
        return [place for place in places if min(place.w, place.h) >= self._min_size and _is_within(place, edges)]


def _scan_zoom(size_wh: tuple[int, int]) -> float:
    """Return the factor by which a frame is reduced for a scan, 1 or more."""
    (smallest, largest), side = SCAN_SIDES, min(size_wh)
    return _zoom(size_wh, smallest if side >= TILED_SIDE else max(smallest, min(largest, side // 2)))


def _zoom(size_wh: tuple[int, int], side: int) -> float:
    """Return the factor by which a frame is reduced to a shorter side of about `side` pixels, 1 or more.

    The longer side becomes a multiple of the network's grid, so that little is padded.
    """
    longest, shortest = max(size_wh), min(size_wh)
    return max(1.0, longest / max(GRID, round(longest / shortest * side / GRID) * GRID))


def _is_within(place: Place, edges: tuple[float, float, float, float]) -> bool:
    """Return True if a place lies between edges: left, top, right and bottom in pixels."""
    x, y = place.w / 2, place.h / 2
    return edges[0] <= place.x - x and edges[1] <= place.y - y and place.x + x <= edges[2] and place.y + y <= edges[3]


def _distance(one: Place, other: Place) -> float:
    return math.hypot(one.x - other.x, one.y - other.y)
