"""Location of faces in each frame: periodic detection, and tracking in between."""

from __future__ import annotations

import time

from edgeinfer.detection.base import DetectEvery, FaceDetector, SearchStep
from edgeinfer.detection.frame_search import create_search
from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.geometry import WHOLE, Place, Region
from edgeinfer.results import Box, Image
from edgeinfer.tracking.scene import SceneMonitor
from edgeinfer.tracking.scheduler import EPSILON_S, Scheduler, is_verification_due
from edgeinfer.tracking.template import estimate_scale
from edgeinfer.tracking.tracker import Track, Tracker

FIRST_MAX_AGE_S = 0.5
"""Time for which a face from a full-frame detection is tracked without another detection, in seconds."""
FULL_FRAME_EVERY = 3
"""Number of runs of a step per run on the full frame; the other runs search only the changed region."""
VERIFIED_WEIGHT = 0.4
"""Weight of a verified position relative to the tracked one."""

FOUND_WEIGHT = 0.7
"""Weight of a position found by a network relative to the tracked one."""
MAX_POSE_AGE_S = 0.5
"""Time for which the pose of the latest detection is reported, in seconds."""
CONFIRM_PERIOD_S = 0.1
"""Interval without a detection after which a track is verified by a decisive search, in seconds."""


class FaceLocator:
    """Search, schedule and tracker combined: the positions and identities of the faces in each frame.

    Each frame passes through these steps:

    1. `Tracker.update_positions` moves the tracks to the positions at which their templates match.
    2. The first frame is searched completely. On later frames, the tracks that are due are verified, and the steps from
       `Scheduler.next_steps` run on the full frame or on the region from `SceneMonitor.changed_region`. With a
       fixed `detect_every`, the detector runs on every N-th frame instead.
    3. `Tracker.match` assigns the detections to tracks; the others become new tracks, after verification.
    4. `Tracker.prune` discards outdated tracks; the visible ones are returned.
    """

    def __init__(self, detector: FaceDetector, detect_every: DetectEvery = "auto") -> None:
        """Create a locator without tracks.

        Args:
            detector: Face detector. It runs on the first frame, and on later ones depending on `detect_every`.
            detect_every: "auto" for the detector's own search, scheduled by time; or N to run the detector on every
                N-th frame, 1 or more.
        """
        self._detector, self._search = detector, create_search(detector)
        self._detect_every = 1 if self._search.every_frame else detect_every
        self.reset()

    def reset(self) -> None:
        """Discard all tracks and restart the track ids from 1."""
        self._tracker = Tracker(max_age_s=self._search.max_age_s)
        self._restart()

    def _restart(self) -> None:
        """Discard all tracks, the schedule and the scene; track ids continue."""
        self._tracker.clear()
        steps = self._search.steps
        self._scheduler, self._scene = Scheduler(steps), SceneMonitor(len(steps))
        self._last_s: float | None = None
        self._size_wh = (0, 0)
        self._frames = 0
        self._runs = [0] * len(steps)

    @property
    def track_ids(self) -> frozenset[int]:
        """Ids of all tracks, including hidden ones, which may become visible again."""
        return self._tracker.track_ids

    def locate(self, image: Image, now_s: float) -> tuple[list[tuple[int, Box]], dict[str, float]]:
        """Return the faces in a frame.

        Args:
            image: (H, W, 3) BGR or (H, W) grey uint8.
            now_s: Time of the frame in seconds. A step back in time, or another frame size, discards all tracks.

        Returns:
            Track id and bounding box of each visible face, and the milliseconds spent in "detect" and "track".
        """
        started = time.perf_counter()
        pyramid = Pyramid(image)
        if self._last_s is not None and (now_s < self._last_s or pyramid.size_wh != self._size_wh):
            self._restart()
        last_s, self._last_s, self._size_wh = self._last_s, now_s, pyramid.size_wh
        elapsed_s = 0.0 if last_s is None else now_s - last_s
        cut = self._scene.update(pyramid)
        self._tracker.update_positions(pyramid, now_s, elapsed_s, cut=cut)
        tracked = time.perf_counter()
        if self._detect_every != "auto":
            self._detect_periodically(pyramid, now_s, self._detect_every)
        elif last_s is None:
            self._scheduler.next_steps(now_s, 0.0, cut=True)
            self._add_full_frame(self._search.search_frame(image), pyramid, now_s)
        elif self._search.decisive:
            self._run_due_steps(pyramid, now_s, elapsed_s, cut=cut)
            self._confirm_tracks(pyramid, now_s, cut=cut)
        else:
            self._verify_tracks(pyramid, now_s)
            self._run_due_steps(pyramid, now_s, elapsed_s, cut=cut)
        detected = time.perf_counter()
        self._tracker.prune(now_s)
        faces = [(track.track_id, _reported_box(track, pyramid, now_s)) for track in self._tracker.visible_tracks]
        done = time.perf_counter()
        return faces, {"detect": 1000 * (detected - tracked), "track": 1000 * (done - detected + tracked - started)}

    def _detect_periodically(self, pyramid: Pyramid, now_s: float, every: int) -> None:
        """Run the detector on every N-th frame and hide the tracks that it does not confirm."""
        index, self._frames = self._frames, self._frames + 1
        if index % every == 0:
            self._add_full_frame([Place.of(box) for box in self._detector.detect(pyramid.image)], pyramid, now_s)
            self._tracker.hide_undetected(now_s)

    def _add_full_frame(self, places: list[Place], pyramid: Pyramid, now_s: float) -> None:
        """Match the detections of a full-frame search; add tracks for new faces without verification."""
        for place in self._tracker.match(places, pyramid, now_s, weight=1.0):
            self._tracker.add(place, pyramid, now_s, max_age_s=FIRST_MAX_AGE_S)

    def _run_due_steps(self, pyramid: Pyramid, now_s: float, elapsed_s: float, *, cut: bool) -> None:
        """Run the search steps that are due and add tracks for the new faces."""
        can_verify, decisive = self._search.can_verify, self._search.decisive
        # Verification recovers occluded tracks; without it, the search must run more often instead.
        tracks = self._tracker.tracks
        lost = any(not t.visible for t in tracks) if decisive else not can_verify and any(t.occluded for t in tracks)
        weight = FOUND_WEIGHT if decisive else 0.0 if can_verify else 1.0
        for step, first_run in self._scheduler.next_steps(now_s, elapsed_s, cut=cut, lost=lost):
            region = self._next_region(pyramid, step, first_run=first_run)
            if region is None:
                continue
            found = self._search.run_step(pyramid, step, region)
            for place in self._tracker.match(found, pyramid, now_s, weight=weight):
                self._add_verified(place, self._search.steps[step], pyramid, now_s)

    def _next_region(self, pyramid: Pyramid, step: int, *, first_run: bool) -> Region | None:
        """Return the region for a step: the full frame on the first and every third run, else the changed region."""
        self._runs[step] = 1 if first_run else self._runs[step] + 1
        if not self._search.can_verify or self._runs[step] % FULL_FRAME_EVERY == 1:
            self._scene.mark_searched(step)
            return WHOLE
        return self._scene.changed_region(step, pyramid, (track.place for track in self._tracker.visible_tracks))

    def _add_verified(self, place: Place, step: SearchStep, pyramid: Pyramid, now_s: float) -> None:
        """Add a track for a new face if all verifiers of the step accept it."""
        for verifier in step.verifiers:
            found = self._search.verify_near(pyramid, place, verifier, thorough=True)
            if found is None:
                return
            place = place.towards(found, 0.5)
        if not self._tracker.is_tracked(place):
            self._tracker.add(
                place, pyramid, now_s, max_age_s=step.max_age_s,
                verifier=step.verifiers[-1] if step.verifiers else 0, tentative=step.tentative,
            )  # fmt: skip

    def _confirm_tracks(self, pyramid: Pyramid, now_s: float, *, cut: bool) -> None:
        """Verify the tracks that were not found recently, and hide those that are not found now.

        The search must be decisive. After a cut, all tracks that it did not find in this frame are verified.
        """
        for track in self._tracker.tracks:
            since_s = now_s - max(track.last_detected_s, track.last_verified_s)
            if track.last_detected_s == now_s or not (cut or since_s >= CONFIRM_PERIOD_S - EPSILON_S):
                continue
            track.last_verified_s = now_s
            found = self._search.verify_near(pyramid, track.place, 0, thorough=False)
            if found is None or not self._tracker.assign(track, found, pyramid, now_s, weight=FOUND_WEIGHT):
                track.visible = False

    def _verify_tracks(self, pyramid: Pyramid, now_s: float) -> None:
        """Verify the tracks that are due, if the search has verifiers."""
        if not self._search.can_verify:
            return
        for track in self._tracker.tracks:
            since_last_s = now_s - track.last_verified_s
            if is_verification_due(since_last_s, stable=track.is_stable(now_s), occluded=track.occluded):
                self._verify(track, pyramid, now_s)

    def _verify(self, track: Track, pyramid: Pyramid, now_s: float) -> None:
        """Verify one track; if that fails, adapt its size by template matching."""
        track.last_verified_s = now_s
        # After a miss, the verifier that last succeeded alternates with all the others.
        verifier = track.verifier if track.tentative or track.misses % 2 == 0 else track.misses // 2
        found = self._search.verify_near(pyramid, track.place, verifier, thorough=False)
        if found is not None and self._tracker.assign(track, found, pyramid, now_s, weight=VERIFIED_WEIGHT):
            track.verifier, track.misses = verifier, 0
            return
        track.misses += 1
        if track.visible:
            track.place = track.place.moved(0, 0, estimate_scale(pyramid, track.template, track.place))


def _reported_box(track: Track, pyramid: Pyramid, now_s: float) -> Box:
    """Return the box of a track, clipped to the frame, of at least one pixel, without an outdated pose."""
    width, height = pyramid.size_wh
    box = track.place.box()
    left, top, right, bottom = box.xyxy
    left, top = min(max(0, left), width - 1), min(max(0, top), height - 1)
    pose = box.pose if now_s - track.last_detected_s <= MAX_POSE_AGE_S else None
    return Box(left, top, max(1, min(width, right) - left), max(1, min(height, bottom) - top), pose=pose)
