"""Incremental face search with OpenCV cascades."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgeinfer.detection.base import Step
from edgeinfer.detection.haar import load_cascade
from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.geometry import Place, Region
from edgeinfer.results import Box, Image


@dataclass(frozen=True, slots=True)
class _Scan:
    """How a step searches the frame.

    Attributes:
        cascade: of OpenCV.
        sides: shorter side of the picture that is searched, in pixels, for frames of 360 and of 540 and more.
        factor: step between two sizes of faces.
        largest: face that is searched, as a share of the shorter side; 0 for any.
        profile: whether the box takes in the back of the head.
        mirrored: whether the other side of the head is meant.
    """

    cascade: cv2.CascadeClassifier
    sides: tuple[int, int]
    factor: float
    largest: float = 0.0
    profile: bool = False
    mirrored: bool = False


WINDOW = 20
"""Side of the smallest face that the cascades see, in pixels."""
PROFILE_SHARE = 0.8
"""Side of the face in the box of the profile cascade, which takes in the back of the head."""


class CascadeSearch:
    """Frontal and profile cascades over small pictures; each face is then confirmed from near."""

    close = True
    patience_s = 2.5
    NEAR_PIXELS = 24
    """Side of a face in the picture of a closer look."""
    NEAR_REACH = 1.7
    """Side of what a closer look searches, in sides of the face."""

    def __init__(self, strict: cv2.CascadeClassifier) -> None:
        """Load the other cascades beside `haarcascade_frontalface_default`."""
        frontal = load_cascade("haarcascade_frontalface_alt2")
        profile = load_cascade("haarcascade_profileface")
        self._scans = (
            (_Scan(frontal, (130, 130), 1.3), Step(0.4, 0.4, (1, 0))),
            (_Scan(frontal, (190, 230), 1.2, largest=0.145), Step(0.8, 0.4, (1, 0))),
            (_Scan(profile, (114, 114), 1.2, profile=True), Step(1.2, 0.45, (2,), pending=True)),
            (_Scan(profile, (114, 114), 1.2, profile=True, mirrored=True), Step(1.2, 0.45, (3,), pending=True)),
        )
        self.steps: tuple[Step, ...] = tuple(step for _, step in self._scans)
        self._strict = strict
        self._near = ((frontal, False, False), (strict, False, False), (profile, False, True), (profile, True, True))

    def whole(self, image: Image) -> list[Place]:
        """Search for frontal faces of 30 pixels and more at full size, as `HaarDetector` does, but by halved pictures.

        On frames of clips that is twice as fast, with 3 hits for its 5, and finds 97 % as many faces and hardly
        any false ones.
        """
        grey = image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
        return [Place.of(Box(*found)) for found in _run(self._strict, grey, False, 1.1, 3, 30, 0)]

    def scan(self, view: Pyramid, step: int, region: Region) -> list[Place]:
        """Search with one cascade at a reduced size."""
        how = self._scans[step][0]
        least, most = how.sides
        small = view.shrunk(max(least, min(most, least * min(view.size_wh) // 360)))
        high, wide = small.shape
        left, top, right, bottom = (round(k * n) for k, n in zip(region, (wide, high, wide, high), strict=True))
        part, largest = small[top:bottom, left:right], round(how.largest * min(high, wide))
        if min(part.shape) < WINDOW or 0 < largest < WINDOW:
            return []
        found = _run(how.cascade, part, how.mirrored, how.factor, 0, WINDOW, largest)
        zoom = view.size_wh[1] / high
        share = PROFILE_SHARE if how.profile else 1.0
        return [
            Place((left + x + w / 2) * zoom - 0.5, (top + y + h / 2) * zoom - 0.5, w * zoom * share, h * zoom * share)
            for x, y, w, h in found
        ]

    def confirm(self, view: Pyramid, place: Place, turn: int, *, thorough: bool) -> Place | None:
        """Search a square around the face, at the size that suits the cascade."""
        cascade, mirrored, profile = self._near[turn % len(self._near)]
        share = PROFILE_SHARE if profile else 1.0
        face = self.NEAR_PIXELS * (1.4 if profile else 1.25 if thorough else 1.0)
        side = round(face * self.NEAR_REACH)
        zoom = place.side / share / face
        picture = view.patch(place.x, place.y, zoom * side, side)
        found = _run(
            cascade,
            picture,
            mirrored,
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


def _run(
    cascade: cv2.CascadeClassifier, picture: Image, mirrored: bool, factor: float, neighbours: int,
    smallest: int, largest: int,
) -> list[tuple[int, int, int, int]]:  # fmt: skip
    """Boxes of a cascade, x, y, w, h; 0 neighbours leaves every place that was hit once or more.

    OpenCV looks at every second pixel for faces up to twice the cascade's window, and at every pixel for larger ones,
    where it is needed least. So larger faces are searched in halved pictures.
    """
    wide, window = picture.shape[1], cascade.getOriginalWindowSize()[0]
    seen, hits, zoom = cv2.flip(picture, 1) if mirrored else picture, [], 1
    largest = min(largest or wide, *picture.shape)
    while window * zoom <= largest:
        low, high = max(window, smallest // zoom), min(2 * window - 1, largest // zoom)
        if low <= high:
            found = cascade.detectMultiScale(seen, factor, 0, minSize=(low, low), maxSize=(high, high))
            hits += [tuple(int(zoom * n) for n in box) for box in found]
        zoom *= 2
        seen = cv2.resize(seen, (wide // zoom, picture.shape[0] // zoom), interpolation=cv2.INTER_AREA)
    boxes, _ = cv2.groupRectangles(hits if neighbours else hits * 2, neighbours or 1, 0.2)
    return [((wide - int(x) - int(w)) if mirrored else int(x), int(y), int(w), int(h)) for x, y, w, h in boxes]
