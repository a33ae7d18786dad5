"""Location of faces in each frame: periodic detection, and tracking in between."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from edgeinfer.detection.base import DetectEvery, DivisibleSearch, FaceDetector, SearchStep
from edgeinfer.detection.frame_search import create_search
from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.geometry import WHOLE, Place, Region
from edgeinfer.results import Box, Image
from edgeinfer.tracking.budget import SHARE, Task, TimeBudget
from edgeinfer.tracking.scene import SceneMonitor
from edgeinfer.tracking.scheduler import CATCH_UP_S, EPSILON_S, VERIFY_UNSTABLE_S, Scheduler, verification_period_s
from edgeinfer.tracking.template import estimate_scale
from edgeinfer.tracking.tiles import Part, area, divide_search
from edgeinfer.tracking.tracker import Track, Tracker

FIRST_MAX_AGE_S = 0.5
"""Time for which a face from a full-frame detection is tracked without another detection, in seconds."""
FULL_FRAME_EVERY = 3
"""Number of runs of a step per run on the full frame; the other runs search only the changed region."""
DECISIVE_SHARE = 1.5
"""Time for detection relative to the rest, for searches that end tracks; see `benchmarks/slow_board.py`."""
PART_SHARE = 0.3
"""Share of a face in a tile from which it is part of a tracked face that is too large for the tile."""
OVERDUE_PERIODS = 3
"""Number of periods after which a track is verified even if there is no time for it."""
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
        self._divisible = self._search if isinstance(self._search, DivisibleSearch) else None
        self._detect_every = 1 if self._search.every_frame else detect_every
        self._budget: TimeBudget | None = None
        self.reset()

    def keep_pace(self, clock: Callable[[], float] | None) -> None:
        """Limit the time of detection in live images, measured with a clock in seconds; None for no limit."""
        share = DECISIVE_SHARE if self._search.decisive else SHARE
        self._budget = None if clock is None or self._detect_every != "auto" else TimeBudget(clock, share=share)

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
        if self._budget is not None:
            self._budget.restart()

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
        if self._budget is not None:
            self._budget.start_frame()
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
        elif last_s is None and self._budget is None:
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
        if self._budget is not None:
            self._run_affordable_steps(self._budget, pyramid, now_s, elapsed_s, cut=cut, lost=lost)
            return
        for step, first_run in self._scheduler.next_steps(now_s, elapsed_s, cut=cut, lost=lost):
            region = self._next_region(pyramid, step, first_run=first_run)
            if region is None:
                continue
            found = self._search.run_step(pyramid, step, region)
            for place in self._tracker.match(found, pyramid, now_s, weight=self._found_weight):
                self._examine(place, self._search.steps[step], 0, pyramid, now_s)

    @property
    def _found_weight(self) -> float:
        """Weight of a position found by a step relative to the tracked one."""
        return FOUND_WEIGHT if self._search.decisive else 0.0 if self._search.can_verify else 1.0

    def _run_affordable_steps(
        self, budget: TimeBudget, pyramid: Pyramid, now_s: float, elapsed_s: float, *, cut: bool, lost: bool
    ) -> None:
        """Queue the steps that are due once the previous ones are complete; run tasks while this frame has time."""
        if cut:
            budget.restart()
        for _ in range(1 + int(elapsed_s / CATCH_UP_S)):
            due = self._scheduler.next_steps(now_s, 0.0, cut=cut, lost=lost) if budget.ready else []
            for step, first_run in due:
                region = self._next_region(pyramid, step, first_run=first_run)
                if region is not None:
                    self._queue_step(budget, pyramid.size_wh, step, region)
            while budget.run_next(pyramid, now_s):
                pass

    def _queue_step(self, budget: TimeBudget, size_wh: tuple[int, int], step: int, region: Region) -> None:
        """Queue a step, divided if it takes too long; tiles from its previous run that are still queued remain."""
        parts = self._divided(budget, size_wh, step, region)
        unfinished = budget.has(("scan", step, 0))
        for part in parts:
            is_tile = part.halvings == 0 and len(parts) > 1
            if not (is_tile and unfinished):
                task = Task(("scan", step, part.halvings), area(part.region), partial(self._scan, step, part))
                budget.add(task, urgent=not is_tile)

    def _divided(self, budget: TimeBudget, size_wh: tuple[int, int], step: int, region: Region) -> list[Part]:
        """Return the parts of a step, only one if there is enough time for it or if it cannot be divided."""
        search = self._divisible
        side = None if search is None else search.small_face_side(size_wh, step)
        if search is None or side is None:
            return [Part(region)]
        kinds = [("scan", step, halvings) for halvings in range(search.max_halvings + 1)]
        budget.expect(kinds[0], budget.cost_s(("scan", step - 1, 0)))
        for kind, reduced in itertools.pairwise(kinds):
            budget.expect(reduced, budget.cost_s(kind) / 4)
        overlap, costs_s = (side / size_wh[0], side / size_wh[1]), [budget.cost_s(kind) for kind in kinds]
        return divide_search(region, overlap, costs_s, budget.largest_s, min_tile=search.min_tile)

    def _scan(self, step: int, part: Part, pyramid: Pyramid, now_s: float) -> None:
        """Search a part of the frame and queue the new faces for verification.

        Faces that are too large for a tile may be cut off. These, and parts of tracked faces, are ignored.
        """
        max_side = part.max_share * pyramid.size_wh[0]
        if part.halvings and self._divisible is not None:
            found = self._divisible.run_reduced(pyramid, step, part.region, part.halvings)
        else:
            found = self._search.run_step(pyramid, step, part.region)
        large = [track.place for track in self._tracker.tracks if track.place.side > max_side]
        complete = [
            place for place in found
            if place.side <= max_side and not any(place.common(face) > PART_SHARE * place.side**2 for face in large)
        ]  # fmt: skip
        for place in self._tracker.match(complete, pyramid, now_s, weight=self._found_weight):
            self._examine(place, self._search.steps[step], 0, pyramid, now_s)

    def _examine(self, place: Place, step: SearchStep, passed: int, pyramid: Pyramid, now_s: float) -> None:
        """Add a track for a new face if it has passed all verifiers of the step, else run or queue the next one."""
        if passed == len(step.verifiers):
            self._add(place, step, pyramid, now_s)
        elif self._budget is None:
            self._verify_new(place, step, passed, pyramid, now_s)
        else:
            verify = partial(self._verify_new, place, step, passed)
            self._budget.add_first(Task(("new", step.verifiers[passed]), 1.0, verify))

    def _verify_new(self, place: Place, step: SearchStep, passed: int, pyramid: Pyramid, now_s: float) -> None:
        """Run the next verification of a new face, and continue if it succeeds."""
        found = self._search.verify_near(pyramid, place, step.verifiers[passed], thorough=True)
        if found is not None:
            self._examine(place.towards(found, 0.5), step, passed + 1, pyramid, now_s)

    def _measured(self, kind: Hashable) -> AbstractContextManager[None]:
        return nullcontext() if self._budget is None else self._budget.spend(kind)

    def _next_region(self, pyramid: Pyramid, step: int, *, first_run: bool) -> Region | None:
        """Return the region for a step: the full frame on the first and every third run, else the changed region."""
        self._runs[step] = 1 if first_run else self._runs[step] + 1
        if not self._search.can_verify or self._runs[step] % FULL_FRAME_EVERY == 1:
            self._scene.mark_searched(step)
            return WHOLE
        return self._scene.changed_region(step, pyramid, (track.place for track in self._tracker.visible_tracks))

    def _add(self, place: Place, step: SearchStep, pyramid: Pyramid, now_s: float) -> None:
        """Add a track for a new face."""
        if not self._tracker.is_tracked(place):
            self._tracker.add(
                place, pyramid, now_s, max_age_s=step.max_age_s,
                verifier=step.verifiers[-1] if step.verifiers else 0, tentative=step.tentative,
            )  # fmt: skip

    def _confirm_tracks(self, pyramid: Pyramid, now_s: float, *, cut: bool) -> None:
        """Verify the tracks that were not found recently, and hide those that are not found now.

        The search must be decisive. After a cut, all tracks that it did not find in this frame are verified.
        """
        for track in self._by_urgency(self._tracker.tracks):
            since_s = now_s - max(track.last_detected_s, track.last_verified_s)
            if track.last_detected_s == now_s or not (cut or since_s >= CONFIRM_PERIOD_S - EPSILON_S):
                continue
            if not (cut or self._has_time(track, since_s, CONFIRM_PERIOD_S)):
                continue
            track.last_verified_s = now_s
            with self._measured(("verify", 0)):
                found = self._search.verify_near(pyramid, track.place, 0, thorough=False)
            if found is None or not self._tracker.assign(track, found, pyramid, now_s, weight=FOUND_WEIGHT):
                track.visible = False

    def _verify_tracks(self, pyramid: Pyramid, now_s: float) -> None:
        """Verify the tracks that are due, if the search has verifiers."""
        if not self._search.can_verify:
            return
        for track in self._by_urgency(self._tracker.tracks):
            since_s = now_s - track.last_verified_s
            period_s = verification_period_s(stable=track.is_stable(now_s), occluded=track.occluded)
            if since_s < period_s - EPSILON_S or not self._has_time(track, since_s, period_s):
                continue
            with self._measured(("verify", track.verifier)):
                self._verify(track, pyramid, now_s)

    def _by_urgency(self, tracks: list[Track]) -> list[Track]:
        """Return tracks in their order, or in that of their last verification if time is limited."""
        return tracks if self._budget is None else sorted(tracks, key=lambda track: track.last_verified_s)

    def _has_time(self, track: Track, since_s: float, period_s: float) -> bool:
        """Return True if a verification that is due can or must run in this frame."""
        overdue = track.tentative or since_s >= OVERDUE_PERIODS * max(period_s, VERIFY_UNSTABLE_S)
        return self._budget is None or overdue or self._budget.affords(("verify", track.verifier))

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
        if track.tentative and self._budget is not None:  # tiles find more false faces than whole frames
            track.visible = False
        elif track.visible:
            track.place = track.place.moved(0, 0, estimate_scale(pyramid, track.template, track.place))


def _reported_box(track: Track, pyramid: Pyramid, now_s: float) -> Box:
    """Return the box of a track, clipped to the frame, of at least one pixel, without an outdated pose."""
    width, height = pyramid.size_wh
    box = track.place.box()
    left, top, right, bottom = box.xyxy
    left, top = min(max(0, left), width - 1), min(max(0, top), height - 1)
    pose = box.pose if now_s - track.last_detected_s <= MAX_POSE_AGE_S else None
    return Box(left, top, max(1, min(width, right) - left), max(1, min(height, bottom) - top), pose=pose)
