"""Tracks: faces with an identity that persists from frame to frame, and after an occlusion."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.geometry import Place
from edgeinfer.results import Image
from edgeinfer.tracking.template import correlation, extract_template, match_template

MIN_CORRELATION = 0.6
"""Minimum correlation at which a template match is accepted as the tracked face."""
MIN_CORRELATION_NEAR_OTHER = 0.8
"""Same threshold near another face, with which the track could be confused."""
MIN_CORRELATION_AFTER_CUT = 0.85
"""Same threshold in a new scene or after a gap, in which the face is unlikely to be at the same position."""
MAX_GAP_S = 0.9
"""Interval between frames above which motion is not extrapolated and overlap alone does not identify a face: another
person may have taken its place. In seconds."""
MIN_CORRELATION_AFTER_GAP = 0.62
"""Minimum correlation at which a detection after a gap is the same face; that of two people is above it in one case out
of twenty, and 0.3 in the median."""
UPDATE_CORRELATION = 0.85
"""Correlation below which the template is extracted again, because the head has turned a little."""
MATCH_IOU = 0.3
"""Minimum intersection over union of a track and its detection; detection benchmarks commonly require 0.5."""
DUPLICATE_IOU = 0.4
"""Minimum intersection over union at which two boxes are treated as the same face."""
CONTAINED_SHARE = 0.6
"""Minimum share of a box inside another at which it is treated as part of that face, such as an eye or a cheek."""
NEAR_ZOOM = 1.5
"""Scale factor for the neighbourhood test: two faces are near each other if their enlarged boxes intersect."""
MIN_RECOVERY_CORRELATION = 0.3
"""Minimum correlation at which a detection away from the predicted position of a hidden track is the same face."""
MAX_HIDDEN_S = 1.5
"""Time for which a hidden track keeps its identity, in seconds."""
MAX_HIDDEN_FRAMES = 2.5
"""Same time in intervals between frames, if that is longer: a face may be missed in one frame."""
VELOCITY_AVERAGE_S = 0.1
"""Time constant of the moving average of the velocity, in seconds."""
VELOCITY_DECAY_S = 1.0
"""Time after which the assumed velocity of a hidden track has decreased to 1/e, in seconds."""
CONFIRMED_MAX_AGE_S = 1.0
"""Time for which a tentative track is kept after its confirmation without another detection, in seconds."""
MAX_AGE_INCREMENT_S = 0.2
"""Time by which each detection extends the time that a track is kept without another one, in seconds."""


@dataclass(slots=True)
class Track:
    """A face and its state.

    Attributes:
        track_id: Identity, from 1; 0 while the track is tentative.
        place: Position in the current frame; the predicted position while the track is hidden.
        template: Picture for matching, updated as the face changes.
        appearance: Template taken when a detector last found the face apart from others.
        last_visible_s: Time at which the face was last visible, in seconds.
        last_detected_s: Time at which a detector last found it, in seconds.
        last_verified_s: Time at which a verification was last attempted, in seconds.
        max_age_s: Time for which the track is shown without another detection, in seconds.
        velocity: Velocity in x and y, in pixels per second.
        verifier: Index of the verifier that last accepted the face.
        tentative: True if a second detection is required before the track is reported.
        misses: Number of failed verifications since the last successful one.
        visible: True if the face is visible.
        near_other: True if another face is so near that the two could be confused.
    """

    track_id: int
    place: Place
    template: Image
    appearance: Image
    last_visible_s: float
    last_detected_s: float
    last_verified_s: float
    max_age_s: float
    velocity: tuple[float, float] = (0.0, 0.0)
    verifier: int = 0
    tentative: bool = False
    misses: int = 0
    visible: bool = True
    near_other: bool = False

    @property
    def occluded(self) -> bool:
        """True if the face is hidden near another face, and thus probably behind it."""
        return self.near_other and not self.visible

    def is_stable(self, now_s: float) -> bool:
        """Return True if the face is visible, was detected repeatedly and was detected in the last 0.3 seconds."""
        return self.visible and self.max_age_s > 0.5 and now_s - self.last_detected_s < 0.3


class Tracker:
    """Set of tracks, updated from frames and detections. It is independent of detectors and schedules.

    Attributes:
        tracks: Visible, hidden and tentative tracks.
    """

    def __init__(self, *, max_age_s: float) -> None:
        """Create a tracker without tracks.

        Args:
            max_age_s: Longest time for which a track is shown without another detection, in seconds.
        """
        self._max_age_s = max_age_s
        self._elapsed_s = 0.0
        self._ids = itertools.count(1)
        self.tracks: list[Track] = []

    @property
    def _after_gap(self) -> bool:
        """True if the previous frame is so old that overlap alone does not identify a face."""
        return self._elapsed_s > MAX_GAP_S

    @property
    def visible_tracks(self) -> Iterable[Track]:
        """Tracks to report: visible and not tentative."""
        return (track for track in self.tracks if track.visible and not track.tentative)

    @property
    def track_ids(self) -> frozenset[int]:
        """Ids of all tracks, including hidden ones, which may become visible again."""
        return frozenset(track.track_id for track in self.tracks)

    def update_positions(self, pyramid: Pyramid, now_s: float, elapsed_s: float, *, cut: bool) -> None:
        """Move each track to its position in this frame and hide those whose template does not match.

        Args:
            pyramid: Frame.
            now_s: Time of the frame in seconds.
            elapsed_s: Time since the previous frame in seconds.
            cut: True if the frame starts a new scene; all hidden tracks are discarded, except after a gap.
        """
        self._elapsed_s = elapsed_s
        for track in self.tracks:
            if self._after_gap:
                track.velocity = (0.0, 0.0)
            predicted = track.place.moved(track.velocity[0] * elapsed_s, track.velocity[1] * elapsed_s)
            if not track.visible:
                decay = math.exp(-elapsed_s / VELOCITY_DECAY_S)
                track.velocity = track.velocity[0] * decay, track.velocity[1] * decay
                track.place = predicted
                continue
            found, score = match_template(pyramid, track.template, predicted)
            threshold = (
                MIN_CORRELATION_AFTER_CUT
                if cut or self._after_gap
                else MIN_CORRELATION_NEAR_OTHER
                if track.near_other
                else MIN_CORRELATION
            )
            if score < threshold or not _is_centre_inside(found, pyramid):
                track.visible = False
                track.place = predicted
                continue
            if not track.near_other and not self._after_gap:
                _update_velocity(track, found, elapsed_s)
            track.place, track.last_visible_s = found, now_s
            if score < UPDATE_CORRELATION and not track.near_other:
                track.template = extract_template(pyramid, track.place)
        if cut and not self._after_gap:  # over a gap, motion changes a frame as much as a cut does
            self.tracks = [track for track in self.tracks if track.visible]
        self._update_near_other()

    def _update_near_other(self) -> None:
        for track in self.tracks:
            track.near_other = False
        for one, other in itertools.combinations(self.tracks, 2):
            if one.place.moved(0, 0, NEAR_ZOOM).iou(other.place.moved(0, 0, NEAR_ZOOM)) > 0:
                one.near_other = other.near_other = True

    def clear(self) -> None:
        """Discard all tracks; their ids are not used again."""
        self.tracks = []

    def hide_undetected(self, now_s: float) -> None:
        """Hide every track that was not detected at `now_s`."""
        for track in self.tracks:
            track.visible = track.visible and track.last_detected_s == now_s

    def assign(self, track: Track, found: Place, pyramid: Pyramid, now_s: float, *, weight: float = 1.0) -> bool:
        """Assign a detection to a track, if it is plausible.

        Args:
            track: Track to update.
            found: Detected position at or near the track.
            pyramid: Frame.
            now_s: Time of the frame in seconds.
            weight: Weight of the detected position relative to the tracked one, 0..1.

        Returns:
            True if the detection was assigned.
        """
        if any(
            other is not track and other.visible and other.place.iou(found) > DUPLICATE_IOU for other in self.tracks
        ):
            return False
        if not track.visible:
            picture = extract_template(pyramid, found)
            near = not track.near_other and track.place.iou(found) >= MATCH_IOU
            if self._after_gap:
                if match_template(pyramid, track.appearance, found)[1] < MIN_CORRELATION_AFTER_GAP:
                    return False
            elif not near and correlation(picture, track.appearance) < MIN_RECOVERY_CORRELATION:
                return False
            if not _is_plausible(track.place, found):
                track.velocity = (0.0, 0.0)  # it did not move as predicted
            track.place, track.visible = found, True
        elif not _is_plausible(track.place, found):
            return False
        else:
            track.place = track.place.towards(found, weight)
        track.template = extract_template(pyramid, track.place)
        if not track.near_other:  # another face may cover half of it
            track.appearance = track.template
        track.last_visible_s = track.last_detected_s = now_s
        if track.tentative:
            track.tentative, track.track_id, track.max_age_s = False, next(self._ids), CONFIRMED_MAX_AGE_S
        track.max_age_s = min(self._max_age_s, track.max_age_s + MAX_AGE_INCREMENT_S)
        return True

    def match(self, found: Sequence[Place], pyramid: Pyramid, now_s: float, *, weight: float) -> list[Place]:
        """Assign detections to tracks, best matches first.

        Args:
            found: Detected positions.
            pyramid: Frame.
            now_s: Time of the frame in seconds.
            weight: Weight of the detected positions relative to the tracked ones, 0..1.

        Returns:
            The detections of new faces: those that match no track and are not part of a tracked face.
        """
        pairs = sorted(
            ((self._match_score(track, place, pyramid), n, m) for n, track in enumerate(self.tracks)
             for m, place in enumerate(found)),
            key=lambda pair: (-pair[0], pair[1], pair[2]),
        )  # fmt: skip
        assigned_tracks, assigned_places = set[int](), set[int]()
        for score, n, m in pairs:
            free = score > 0 and n not in assigned_tracks and m not in assigned_places
            if free and self.assign(self.tracks[n], found[m], pyramid, now_s, weight=weight):
                assigned_tracks.add(n)
                assigned_places.add(m)
        rest = [place for m, place in enumerate(found) if m not in assigned_places]
        return [place for place in rest if not self.is_tracked(place)]

    def is_tracked(self, place: Place) -> bool:
        """Return True if a visible track covers a position."""
        return any(track.visible and _is_same_face(track.place, place) for track in self.tracks)

    def add(
        self, place: Place, pyramid: Pyramid, now_s: float, *, max_age_s: float, verifier: int = 0,
        tentative: bool = False,
    ) -> None:  # fmt: skip
        """Start a track for a new face.

        Args:
            place: Position of the face.
            pyramid: Frame.
            now_s: Time of the frame in seconds.
            max_age_s: Time for which the track is shown without another detection, in seconds.
            verifier: Index of the verifier that accepted the face.
            tentative: True if a second detection is required before the track is reported and gets an id.
        """
        template = extract_template(pyramid, place)
        track_id = 0 if tentative else next(self._ids)
        track = Track(
            track_id, place, template, template, now_s, now_s, now_s, max_age_s, verifier=verifier, tentative=tentative
        )
        self.tracks.append(track)

    def _match_score(self, track: Track, place: Place, pyramid: Pyramid) -> float:
        """Return a score for the match of a detection with a track; 0 if they cannot be the same face."""
        overlap = track.place.iou(place)
        if track.visible or (overlap >= MATCH_IOU and not track.near_other):
            return overlap if overlap >= MATCH_IOU else 0.0
        distance = math.hypot(track.place.x - place.x, track.place.y - place.y) / track.place.side
        if distance > 1.5 or not 0.6 < place.side / track.place.side < 1.7:
            return 0.0
        return max(0.0, 0.5 * correlation(extract_template(pyramid, place), track.appearance) + 0.1 * (1.5 - distance))

    def prune(self, now_s: float) -> None:
        """Discard tracks that were hidden for too long; hide outdated tracks and the newer of two duplicates."""
        kept: list[Track] = []
        max_hidden_s = max(MAX_HIDDEN_S, MAX_HIDDEN_FRAMES * self._elapsed_s)
        for track in sorted(self.tracks, key=lambda t: (not t.visible, t.tentative, t.track_id)):
            if now_s - track.last_visible_s > max_hidden_s or (track.tentative and not track.visible):
                continue
            duplicate = any(other.visible and other.place.iou(track.place) > DUPLICATE_IOU for other in kept)
            if duplicate or now_s - track.last_detected_s > track.max_age_s:
                track.visible = False
            kept.append(track)
        self.tracks = kept


def _update_velocity(track: Track, place: Place, elapsed_s: float) -> None:
    """Add the movement to a new position to the moving average of the velocity."""
    if elapsed_s <= 0:
        return
    weight = elapsed_s / (elapsed_s + VELOCITY_AVERAGE_S)
    x, y = (place.x - track.place.x) / elapsed_s, (place.y - track.place.y) / elapsed_s
    old_x, old_y = track.velocity
    track.velocity = old_x + weight * (x - old_x), old_y + weight * (y - old_y)


def _is_same_face(one: Place, other: Place) -> bool:
    """Return True if two boxes are too close to be two faces, or one is part of the other."""
    near = max(abs(one.x - other.x) / (one.w + other.w), abs(one.y - other.y) / (one.h + other.h)) < 0.25
    inside = one.common(other) > CONTAINED_SHARE * min(one.side, other.side) ** 2
    return near or inside or one.iou(other) > MATCH_IOU


def _is_plausible(place: Place, found: Place) -> bool:
    """Return True if a detection may be the face tracked at a position, rather than a part of it or another face."""
    distance = math.hypot(found.x - place.x, found.y - place.y)
    return distance < 0.4 * place.side and 0.65 < found.side / place.side < 1.55


def _is_centre_inside(place: Place, pyramid: Pyramid) -> bool:
    width, height = pyramid.size_wh
    return 0 <= place.x < width and 0 <= place.y < height
