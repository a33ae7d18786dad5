"""Who is who: faces followed from frame to frame, lost, and found again."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.geometry import Place
from edgeinfer.results import Image
from edgeinfer.tracking.template import correlation, extract_patch, follow

FITS = 0.6
"""Correlation from which a patch is the face that was followed."""
FITS_IN_A_CROWD = 0.8
"""The same beside another face, which it may be instead."""
FITS_ACROSS_A_CUT = 0.85
"""The same in another scene, where it hardly is."""
REFRESH = 0.85
"""Correlation below which the patch is taken anew: the head has turned a little."""
SAME_PLACE = 0.3
"""Least intersection over union of a face and its detection; half of what detection benchmarks ask."""
DOUBLE = 0.4
"""Intersection over union from which one of two boxes is too many."""
INSIDE = 0.6
"""Share of a box within another one from which it is part of that face, such as an eye or a cheek."""
KEEP_S = 1.5
"""How long a hidden face keeps its identity, in seconds."""
VELOCITY_S = 0.1
"""Time over which velocity is averaged, in seconds."""
COASTING_S = 1.0
"""Time in which the velocity that is assumed of a hidden face falls to 1/e, in seconds."""
PROVEN_S = 1.0
"""How long a face that had to be seen twice is followed without the next sighting, in seconds."""
MORE_PATIENCE_S = 0.2
"""What each sighting adds to the time for which a face is followed without the next, in seconds."""


@dataclass(slots=True)
class Track:
    """A face.

    Attributes:
        number: its identity, from 1.
        place: where it is, or where it should be while it is hidden.
        patch: what it looked like when last taken.
        face: what it looked like when a detector last saw it.
        seen_s: when it was last in view, in seconds.
        sure_s: when a detector last saw it.
        looked_s: when a closer look was last taken.
        velocity: in pixels a second, x and y.
        home: the closer look that saw it last.
        pending: whether it must be seen once more before it counts.
        misses: closer looks since the last that saw it.
        patience_s: how long it may be followed that no detector has seen again.
        visible: whether it is in view.
        crowded: whether another face is so near that the two may be mixed up.
    """

    number: int
    place: Place
    patch: Image
    face: Image
    seen_s: float
    sure_s: float
    looked_s: float
    patience_s: float
    velocity: tuple[float, float] = (0.0, 0.0)
    home: int = 0
    pending: bool = False
    misses: int = 0
    visible: bool = True
    crowded: bool = False

    @property
    def covered(self) -> bool:
        """Whether it is out of sight beside another face."""
        return self.crowded and not self.visible


class Tracker:
    """Keeps the faces; knows nothing of detectors or schedules."""

    def __init__(self, *, most_patience_s: float) -> None:
        """Start without any face.

        Args:
            most_patience_s: how long a face that was often seen is followed without the next sighting, in seconds.
        """
        self._most_patience_s = most_patience_s
        self._ids = itertools.count(1)
        self.tracks: list[Track] = []

    def follow(self, view: Pyramid, now_s: float, elapsed_s: float, *, cut: bool) -> None:
        """Move every face to where it is in this frame, and hide those that are not there."""
        for track in self.tracks:
            place = track.place.moved(track.velocity[0] * elapsed_s, track.velocity[1] * elapsed_s)
            if not track.visible:
                slower = math.exp(-elapsed_s / COASTING_S)
                track.velocity = track.velocity[0] * slower, track.velocity[1] * slower
                track.place = place
                continue
            found, fit = follow(view, track.patch, place)
            needed = FITS_ACROSS_A_CUT if cut else FITS_IN_A_CROWD if track.crowded else FITS
            if fit < needed or not _inside(found, view):
                track.visible = False
                track.place = place
                continue
            if not track.crowded:
                _learn_velocity(track, found, elapsed_s)
            track.place, track.seen_s = found, now_s
            if fit < REFRESH and not track.crowded:
                track.patch = extract_patch(view, track.place)
        if cut:
            self.tracks = [track for track in self.tracks if track.visible]
        self._mark_crowds()

    def _mark_crowds(self) -> None:
        for track in self.tracks:
            track.crowded = False
        for one, other in itertools.combinations(self.tracks, 2):
            if one.place.moved(0, 0, 1.5).iou(other.place.moved(0, 0, 1.5)) > 0:
                one.crowded = other.crowded = True

    def forget(self) -> None:
        """Forget every face; no number is given twice."""
        self.tracks = []

    def hide_unseen(self, now_s: float) -> None:
        """Hide every face that the search of this frame did not find."""
        for track in self.tracks:
            track.visible = track.visible and track.sure_s == now_s

    def confirm(self, track: Track, found: Place, view: Pyramid, now_s: float, *, weight: float = 1.0) -> bool:
        """A detector saw a face at or near a track's place.

        Args:
            track: the one that is meant.
            found: where the detector saw a face.
            view: the frame.
            now_s: its time.
            weight: how far to believe the detector's place rather than the followed one, 0..1.

        Returns:
            Whether it is that face.
        """
        if any(other is not track and other.visible and other.place.iou(found) > DOUBLE for other in self.tracks):
            return False
        if not track.visible:
            look = extract_patch(view, found)
            near = not track.crowded and track.place.iou(found) >= SAME_PLACE
            if not near and correlation(look, track.face) < 0.3:
                return False
            if not _plausible(track.place, found):
                track.velocity = (0.0, 0.0)  # it did not go where it was expected
            track.place, track.visible = found, True
        elif not _plausible(track.place, found):
            return False
        else:
            track.place = track.place.towards(found, weight)
        track.patch = extract_patch(view, track.place)
        if not track.crowded:  # else another one may hide half of it
            track.face = track.patch
        track.seen_s = track.sure_s = now_s
        if track.pending:
            track.pending, track.number, track.patience_s = False, next(self._ids), PROVEN_S
        track.patience_s = min(self._most_patience_s, track.patience_s + MORE_PATIENCE_S)
        return True

    def match(self, found: Sequence[Place], view: Pyramid, now_s: float, *, weight: float) -> list[Place]:
        """Give what a search found to the faces that are known.

        Args:
            found: places of faces.
            view: the frame.
            now_s: its time.
            weight: how far to believe these places rather than followed ones, 0..1.

        Returns:
            The places that belong to nobody.
        """
        pairs = sorted(
            ((self._nearness(track, place, view), n, m) for n, track in enumerate(self.tracks)
             for m, place in enumerate(found)),
            key=lambda pair: (-pair[0], pair[1], pair[2]),
        )  # fmt: skip
        used, taken = set[int](), set[int]()
        for near, n, m in pairs:
            free = near > 0 and n not in used and m not in taken
            if free and self.confirm(self.tracks[n], found[m], view, now_s, weight=weight):
                used.add(n)
                taken.add(m)
        rest = [place for m, place in enumerate(found) if m not in taken]
        return [place for place in rest if not self.knows(place)]

    def knows(self, place: Place) -> bool:
        """Whether a face in view is there already."""
        return any(track.visible and _same_head(track.place, place) for track in self.tracks)

    def add(
        self, place: Place, view: Pyramid, now_s: float, *, patience_s: float, home: int = 0, pending: bool = False
    ) -> None:
        """Begin to follow a new face.

        Args:
            place: where it is.
            view: the frame.
            now_s: its time.
            patience_s: how long it may be followed before a detector sees it again.
            home: the closer look that saw it.
            pending: whether it must be seen once more before it counts as a face and gets a number.
        """
        look = extract_patch(view, place)
        number = 0 if pending else next(self._ids)
        self.tracks.append(
            Track(number, place, look, look, now_s, now_s, now_s, patience_s, home=home, pending=pending)
        )

    def _nearness(self, track: Track, place: Place, view: Pyramid) -> float:
        """How well a detection fits a track; 0 for not at all."""
        overlap = track.place.iou(place)
        if track.visible or (overlap >= SAME_PLACE and not track.crowded):
            return overlap if overlap >= SAME_PLACE else 0.0
        away = math.hypot(track.place.x - place.x, track.place.y - place.y) / track.place.side
        if away > 1.5 or not 0.6 < place.side / track.place.side < 1.7:
            return 0.0
        return max(0.0, 0.5 * correlation(extract_patch(view, place), track.face) + 0.1 * (1.5 - away))

    def prune(self, now_s: float) -> None:
        """Forget who has been gone for too long; hide who is no longer sure, and the younger of two on one place."""
        kept: list[Track] = []
        for track in sorted(self.tracks, key=lambda t: (not t.visible, t.pending, t.number)):
            if now_s - track.seen_s > KEEP_S or (track.pending and not track.visible):
                continue
            double = any(other.visible and other.place.iou(track.place) > DOUBLE for other in kept)
            if double or now_s - track.sure_s > track.patience_s:
                track.visible = False
            kept.append(track)
        self.tracks = kept

    @property
    def shown(self) -> Iterable[Track]:
        """Faces in view."""
        return (track for track in self.tracks if track.visible and not track.pending)

    @property
    def alive(self) -> frozenset[int]:
        """Identities that may come back."""
        return frozenset(track.number for track in self.tracks)


def _learn_velocity(track: Track, place: Place, elapsed_s: float) -> None:
    """Average the way to a new place into the velocity."""
    if elapsed_s <= 0:
        return
    share = elapsed_s / (elapsed_s + VELOCITY_S)
    x, y = (place.x - track.place.x) / elapsed_s, (place.y - track.place.y) / elapsed_s
    old_x, old_y = track.velocity
    track.velocity = old_x + share * (x - old_x), old_y + share * (y - old_y)


def _same_head(one: Place, other: Place) -> bool:
    """Whether two boxes are too close to each other for two faces, or one is part of the other."""
    near = max(abs(one.x - other.x) / (one.w + other.w), abs(one.y - other.y) / (one.h + other.h)) < 0.25
    inside = one.common(other) > INSIDE * min(one.side, other.side) ** 2
    return near or inside or one.iou(other) > SAME_PLACE


def _plausible(place: Place, found: Place) -> bool:
    """Whether a detection may be the face that is followed there, rather than part of it or another one."""
    away = math.hypot(found.x - place.x, found.y - place.y)
    return away < 0.4 * place.side and 0.65 < found.side / place.side < 1.55


def _inside(place: Place, view: Pyramid) -> bool:
    wide, high = view.size_wh
    return 0 <= place.x < wide and 0 <= place.y < high
