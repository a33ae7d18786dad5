"""Who is who: faces followed from frame to frame, lost, and found again."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from edgeinfer.motion import Place, follow, likeness, look_of, zoom_of
from edgeinfer.preprocess import Image
from edgeinfer.view import View

FITS = 0.6
"""Correlation from which a patch is the face that was followed."""
FITS_ACROSS_A_CUT = 0.85
"""The same where another face or another scene is the likelier explanation."""
REFRESH = 0.85
"""Correlation below which the patch is taken anew: the head has turned a little."""
SAME_PLACE = 0.3
"""Least intersection over union of a face and its detection; half of what detection benchmarks ask."""
DOUBLE = 0.4
"""Intersection over union from which one of two boxes is too many."""
KEEP_S = 1.5
"""How long a hidden face keeps its identity, in seconds."""
VELOCITY_S = 0.1
"""Time over which velocity is averaged, in seconds."""
COASTING_S = 1.0
"""Time in which the velocity that is assumed of a hidden face falls to 1/e, in seconds."""
TRIAL_S = 0.35
"""How long a place that looked like a face once may take to look like one again, in seconds."""


@dataclass(slots=True)
class Track:
    """A face.

    Attributes:
        number: its identity, from 1; 0 while it is on trial.
        place: where it is, or where it should be while it is hidden.
        patch: what it looked like when last taken.
        face: what it looked like when a detector last saw it.
        seen_s: when it was last in view, in seconds.
        sure_s: when a detector last saw it.
        looked_s: when a closer look was last taken.
        velocity: in pixels a second, x and y.
        sightings: how often a detector saw it.
        turn: counts closer looks.
        visible: whether it is in view.
    """

    number: int
    place: Place
    patch: Image
    face: Image
    seen_s: float
    sure_s: float
    looked_s: float
    born_s: float
    velocity: tuple[float, float] = (0.0, 0.0)
    sightings: int = 1
    turn: int = 0
    visible: bool = True
    crowded: bool = field(default=False)


class Tracker:
    """Keeps the faces; knows nothing of detectors or schedules."""

    def __init__(self, *, patience_s: float = 0.35, most_patience_s: float = 2.5) -> None:
        """Start without any face.

        Args:
            patience_s: how long a face may be followed that no detector has seen again, for one seen once.
            most_patience_s: the same for one seen often; each sighting adds a quarter of a second.
        """
        self._patience_s, self._most_s = patience_s, most_patience_s
        self._ids = itertools.count(1)
        self.tracks: list[Track] = []

    def follow(self, view: View, now_s: float, elapsed_s: float, *, cut: bool) -> None:
        """Move every face to where it is in this frame, and hide those that are not there."""
        if cut:
            self.tracks = [track for track in self.tracks if track.visible]
        for track in self.tracks:
            place = track.place.moved(track.velocity[0] * elapsed_s, track.velocity[1] * elapsed_s)
            if not track.visible:
                slower = math.exp(-elapsed_s / COASTING_S)
                track.velocity = track.velocity[0] * slower, track.velocity[1] * slower
                track.place = place
                continue
            found, fit = follow(view, track.patch, place)
            needed = FITS_ACROSS_A_CUT if cut or track.crowded else FITS
            if fit < needed or not _inside(found, view):
                track.visible = False
                track.place = place
                continue
            self._move(track, found, elapsed_s)
            track.seen_s = now_s
            if fit < REFRESH and not track.crowded:
                track.patch = look_of(view, track.place)
        if cut:
            self.tracks = [track for track in self.tracks if track.visible]
        self._mark_crowds()

    def _move(self, track: Track, place: Place, elapsed_s: float) -> None:
        if elapsed_s > 0 and not track.crowded:
            share = elapsed_s / (elapsed_s + VELOCITY_S)
            x, y = (place.x - track.place.x) / elapsed_s, (place.y - track.place.y) / elapsed_s
            track.velocity = (
                track.velocity[0] + share * (x - track.velocity[0]),
                track.velocity[1] + share * (y - track.velocity[1]),
            )
        track.place = place

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

    def confirm(self, track: Track, found: Place, view: View, now_s: float, *, weight: float = 1.0) -> bool:
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
            look = look_of(view, found)
            near = not track.crowded and track.place.iou(found) >= SAME_PLACE
            if track.number and not near and likeness(look, track.face) < 0.3:
                return False
            track.place, track.visible, track.velocity = found, True, (0.0, 0.0)
        elif not _plausible(track.place, found):
            return False
        else:
            track.place = track.place.towards(found, weight)
        track.patch = track.face = look_of(view, track.place)
        track.seen_s = track.sure_s = now_s
        track.sightings += 1
        if not track.number and track.sightings > 1:
            track.number = next(self._ids)
        return True

    def sighted(self, found: Sequence[Place], view: View, now_s: float, *, exact: bool) -> list[Track]:
        """Take what a search of the whole frame found.

        Args:
            found: places of faces.
            view: the frame.
            now_s: its time.
            exact: whether the search is to be believed: one sighting makes a face, and its place is the face's. What a
                rough one finds is on trial until the next sighting, and moves no face that is followed.

        Returns:
            The tracks that are new.
        """
        pairs = sorted(
            ((self._nearness(track, place, view), -n, -m, track, place) for n, track in enumerate(self.tracks)
             for m, place in enumerate(found)),
            key=lambda pair: pair[:3], reverse=True,
        )  # fmt: skip
        taken: set[int] = set()
        used: set[int] = set()
        for near, n, m, track, place in pairs:
            if near <= 0 or n in used or m in taken:
                continue
            used.add(n)
            taken.add(m)
            self.confirm(track, place, view, now_s, weight=1.0 if exact else 0.0)
        new = []
        for m, place in enumerate(found):
            if -m in taken or any(t.visible and t.place.iou(place) > SAME_PLACE for t in [*self.tracks]):
                continue
            look = look_of(view, place)
            track = Track(next(self._ids) if exact else 0, place, look, look, now_s, now_s, now_s, now_s)
            self.tracks.append(track)
            new.append(track)
        return new

    def _nearness(self, track: Track, place: Place, view: View) -> float:
        """How well a detection fits a track; 0 for not at all."""
        overlap = track.place.iou(place)
        if track.visible or (overlap >= SAME_PLACE and not track.crowded):
            return overlap if overlap >= SAME_PLACE else 0.0
        away = math.hypot(track.place.x - place.x, track.place.y - place.y) / track.place.side
        if away > 1.5 or not 0.6 < place.side / track.place.side < 1.7:
            return 0.0
        return max(0.0, 0.5 * likeness(look_of(view, place), track.face) + 0.1 * (1.5 - away))

    def prune(self, now_s: float) -> None:
        """Forget who has been gone for too long, who was never sure, and the younger of two on one place."""
        kept: list[Track] = []
        for track in sorted(self.tracks, key=lambda t: (not t.visible, t.number == 0, -t.sightings)):
            if self._lost(track, now_s):
                continue
            if track.visible and any(o.visible and o.place.iou(track.place) > DOUBLE for o in kept):
                if track.number == 0:
                    continue
                track.visible = False
            kept.append(track)
        self.tracks = kept

    def _lost(self, track: Track, now_s: float) -> bool:
        if track.number == 0 and now_s - track.born_s > TRIAL_S:
            return True
        if not track.visible:
            return now_s - track.seen_s > KEEP_S or track.number == 0
        patience_s = min(self._most_s, self._patience_s + 0.25 * (track.sightings - 1))
        if now_s - track.sure_s > patience_s:
            track.visible = False
        return False

    @property
    def shown(self) -> Iterable[Track]:
        """Faces in view that are sure."""
        return (track for track in self.tracks if track.visible and track.number)

    @property
    def alive(self) -> frozenset[int]:
        """Identities that may come back."""
        return frozenset(track.number for track in self.tracks)


def _plausible(place: Place, found: Place) -> bool:
    """Whether a detection may be the face that is followed there, rather than part of it or another one."""
    away = math.hypot(found.x - place.x, found.y - place.y)
    return away < 0.4 * place.side and 0.65 < found.side / place.side < 1.55


def _inside(place: Place, view: View) -> bool:
    wide, high = view.size_wh
    return 0 <= place.x < wide and 0 <= place.y < high
