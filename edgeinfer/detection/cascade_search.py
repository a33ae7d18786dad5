"""Incremental face search with OpenCV's Haar cascades."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2

from edgeinfer.detection.base import SearchStep
from edgeinfer.detection.cascade_files import load_cascade
from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.geometry import Place, Region
from edgeinfer.results import Image

MIN_FACE_PIXELS = 20
"""Side of the smallest face that the cascades detect, in pixels of the searched picture."""
PROFILE_SHARE = 0.8
"""Face side as a share of the profile cascade's box side; the box includes the back of the head."""


@dataclass(frozen=True, slots=True)
class _StepOptions:
    """Options of one search step.

    Attributes:
        cascade: OpenCV cascade.
        sides: Shorter side of the searched picture in pixels, for frames with a shorter side of 360 and of 540 or more.
        factor: Ratio of two successive face sizes.
        max_share: Side of the largest face as a share of the picture's shorter side; 0 for no limit.
        profile: True if the cascade's box includes the back of the head.
        mirrored: True to search the mirrored picture, for faces turned to the other side.
    """

    cascade: cv2.CascadeClassifier
    sides: tuple[int, int]
    factor: float
    max_share: float = 0.0
    profile: bool = False
    mirrored: bool = False


@dataclass(frozen=True, slots=True)
class _Verifier:
    """A cascade that confirms a face. The fields are those of `_StepOptions`."""

    cascade: cv2.CascadeClassifier
    profile: bool = False
    mirrored: bool = False


class CascadeSearch:
    """Frontal and profile cascades on reduced pictures; candidates are then verified at a higher resolution.

    The verifiers are, in order: alt2 frontal, default frontal, profile, mirrored profile.
    """

    can_verify = True
    decisive = False
    every_frame = False
    max_age_s = 2.5
    max_halvings = 2
    min_tile = 0.15
    FIRST_SIDE = 480
    """Shorter side to which the first frame is reduced, in pixels."""
    VERIFY_FACE_PIXELS = 24
    """Side to which a face is scaled for verification, in pixels."""
    VERIFY_REACH = 1.7
    """Side of the square that is searched for verification, as a multiple of the face side."""

    def __init__(self, strict: cv2.CascadeClassifier) -> None:
        """Load the alt2 frontal and the profile cascade; `strict` is `haarcascade_frontalface_default`."""
        frontal = load_cascade("haarcascade_frontalface_alt2")
        profile = load_cascade("haarcascade_profileface")
        schedule = (
            (_StepOptions(frontal, (130, 130), 1.3), SearchStep(0.4, 0.4, (1, 0))),
            (_StepOptions(frontal, (190, 230), 1.2, max_share=0.145), SearchStep(0.8, 0.4, (1, 0))),
            (_StepOptions(profile, (114, 114), 1.2, profile=True), SearchStep(1.2, 0.45, (2,), tentative=True)),
            (
                _StepOptions(profile, (114, 114), 1.2, profile=True, mirrored=True),
                SearchStep(1.2, 0.45, (3,), tentative=True),
            ),
        )
        self._options = tuple(options for options, _ in schedule)
        self.steps: tuple[SearchStep, ...] = tuple(step for _, step in schedule)
        self._strict = strict
        self._verifiers = (
            _Verifier(frontal),
            _Verifier(strict),
            _Verifier(profile, profile=True),
            _Verifier(profile, profile=True, mirrored=True),
        )

    def search_frame(self, image: Image) -> list[Place]:
        """Return the frontal faces of at least 30 pixels in a frame reduced to a shorter side of `FIRST_SIDE`.

        Halving the picture for larger faces makes the search twice as fast. On frames of video clips, with
        `min_neighbors` 3 instead of 5, it finds 97 % as many faces as `HaarDetector` and hardly any false positives.
        """
        pyramid = Pyramid(image)
        small = pyramid.shrunk(self.FIRST_SIDE)
        found = _run_cascade(self._strict, small, False, 1.1, 3, 30, 0)
        zoom = pyramid.size_wh[1] / small.shape[0]
        return [Place((x + w / 2) * zoom - 0.5, (y + h / 2) * zoom - 0.5, w * zoom, h * zoom) for x, y, w, h in found]

    def run_step(self, pyramid: Pyramid, step: int, region: Region) -> list[Place]:
        """Run one cascade on a region of the reduced frame and return the candidate faces."""
        return self.run_reduced(pyramid, step, region, 0)

    def small_face_side(self, size_wh: tuple[int, int], step: int) -> float | None:
        """Return the side of the smallest face at half resolution, or of the largest face if that is smaller."""
        options = self._options[step]
        side = _side(options, size_wh)
        pixels = min(2 * MIN_FACE_PIXELS, options.max_share * side or math.inf)
        return pixels * max(1.0, min(size_wh) / side)

    def run_reduced(self, pyramid: Pyramid, step: int, region: Region, halvings: int) -> list[Place]:
        """Run one cascade on a region of the frame at a lower resolution and return the candidate faces."""
        options = self._options[step]
        small = pyramid.shrunk(_side(options, pyramid.size_wh) >> halvings)
        height, width = small.shape
        left, top, right, bottom = (round(k * n) for k, n in zip(region, (width, height, width, height), strict=True))
        part, max_face = small[top:bottom, left:right], round(options.max_share * min(height, width))
        if min(part.shape) < MIN_FACE_PIXELS or 0 < max_face < MIN_FACE_PIXELS:
            return []
        found = _run_cascade(options.cascade, part, options.mirrored, options.factor, 0, MIN_FACE_PIXELS, max_face)
        zoom = pyramid.size_wh[1] / height
        share = PROFILE_SHARE if options.profile else 1.0
        return [
            Place((left + x + w / 2) * zoom - 0.5, (top + y + h / 2) * zoom - 0.5, w * zoom * share, h * zoom * share)
            for x, y, w, h in found
        ]

    def verify_near(self, pyramid: Pyramid, place: Place, verifier: int, *, thorough: bool) -> Place | None:
        """Search a square around the face, scaled to the size at which the cascade works best."""
        chosen = self._verifiers[verifier % len(self._verifiers)]
        profile = chosen.profile
        share = PROFILE_SHARE if profile else 1.0
        face = self.VERIFY_FACE_PIXELS * (1.4 if profile else 1.25 if thorough else 1.0)
        side = round(face * self.VERIFY_REACH)
        zoom = place.side / share / face
        picture = pyramid.patch(place.x, place.y, zoom * side, side)
        found = _run_cascade(
            chosen.cascade,
            picture,
            chosen.mirrored,
            1.05 if thorough or profile else 1.1,
            (1 if profile else 3) if thorough else 1,
            int(face / 1.3),
            int(face * 1.35),
        )
        if not found:
            return None
        x, y, w, h = min(found, key=lambda f: (f[0] + f[2] / 2 - side / 2) ** 2 + (f[1] + f[3] / 2 - side / 2) ** 2)
        return Place(place.x + (x + w / 2 - side / 2) * zoom, place.y + (y + h / 2 - side / 2) * zoom,
                     w * zoom * share, h * zoom * share)  # fmt: skip


def _side(options: _StepOptions, size_wh: tuple[int, int]) -> int:
    """Return the shorter side to which a frame is reduced for a step, in pixels."""
    smallest, largest = options.sides
    return max(smallest, min(largest, smallest * min(size_wh) // 360))


def _run_cascade(
    cascade: cv2.CascadeClassifier, picture: Image, mirrored: bool, factor: float, min_neighbors: int,
    min_face: int, max_face: int,
) -> list[tuple[int, int, int, int]]:  # fmt: skip
    """Return the boxes (x, y, w, h) that a cascade detects; with 0 neighbours, single hits are kept.

    OpenCV evaluates every second pixel for faces up to twice the cascade's window, and every pixel for larger ones,
    where it matters least. Larger faces are therefore searched in halved pictures.
    """
    width, window = picture.shape[1], cascade.getOriginalWindowSize()[0]
    scaled, hits, zoom = cv2.flip(picture, 1) if mirrored else picture, [], 1
    max_face = min(max_face or width, *picture.shape)
    while window * zoom <= max_face:
        low, high = max(window, min_face // zoom), min(2 * window - 1, max_face // zoom)
        if low <= high:
            found = cascade.detectMultiScale(scaled, factor, 0, minSize=(low, low), maxSize=(high, high))
            hits += [tuple(int(zoom * n) for n in box) for box in found]
        zoom *= 2
        scaled = cv2.resize(scaled, (width // zoom, picture.shape[0] // zoom), interpolation=cv2.INTER_AREA)
    hits.sort()  # OpenCV's threads append them in any order
    boxes, _ = cv2.groupRectangles(hits if min_neighbors else hits * 2, min_neighbors or 1, 0.2)
    return [((width - int(x) - int(w)) if mirrored else int(x), int(y), int(w), int(h)) for x, y, w, h in boxes]
