"""Where the faces are in each frame: searches now and then, follows in between."""

from __future__ import annotations

import time
from typing import Literal

from edgeinfer.detection.base import FaceDetector
from edgeinfer.detection.frame_search import create_search
from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.detection.whole_frame import WholeFrameDetector
from edgeinfer.geometry import WHOLE, Place, Region
from edgeinfer.results import Box, Image
from edgeinfer.tracking.scene import SceneMonitor
from edgeinfer.tracking.scheduler import Scheduler
from edgeinfer.tracking.template import estimate_scale
from edgeinfer.tracking.tracker import Track, Tracker

Auto = Literal["auto"]
_LONG_GAP_S = 1.0
FIRST_PATIENCE_S = 0.5
"""How long the finds of a whole search are followed before they must be found again."""
WHOLE_EVERY = 3
"""Every so many scans of a step take the whole frame; the others what has changed."""


class FaceLocator:
    """Joins when, where and who: the faces of each frame with their identities."""

    def __init__(self, detector: FaceDetector, detect_every: int | Auto = "auto") -> None:
        """Start without any face.

        Args:
            detector: asked for the whole first frame, which has nothing to build on, and as `detect_every` says.
            detect_every: "auto" for a search that suits the detector, by time; or every n-th frame, 1 or more.
        """
        # The whole frame costs nothing to find and does not move.
        self._detector, self._every = detector, 1 if isinstance(detector, WholeFrameDetector) else detect_every
        self._search = create_search(detector)
        self._tracker = Tracker(most_patience_s=self._search.patience_s)
        self._forget()

    def _forget(self) -> None:
        self._tracker.forget()
        self._scheduler, self._scene = Scheduler(self._search.steps), SceneMonitor(len(self._search.steps))
        self._last_s: float | None = None
        self._size_wh = (0, 0)
        self._frames = 0
        self._scans = [0] * len(self._search.steps)

    def find(self, image: Image, now_s: float) -> tuple[list[tuple[int, Box]], dict[str, float]]:
        """Where everyone is.

        Args:
            image: (H, W, 3) BGR or (H, W) grey uint8.
            now_s: its time; a step back forgets every face, and so does another size.

        Returns:
            Identity and box of every face in view, and the milliseconds of "detect" and "track".
        """
        started = time.perf_counter()
        view = Pyramid(image)
        if self._last_s is not None and (now_s < self._last_s or view.size_wh != self._size_wh):
            self._forget()
        last_s, self._last_s, self._size_wh = self._last_s, now_s, view.size_wh
        elapsed_s = 0.0 if last_s is None else now_s - last_s
        cut = self._scene.cut(view) or elapsed_s > _LONG_GAP_S
        self._tracker.follow(view, now_s, elapsed_s, cut=cut)
        followed = time.perf_counter()
        if self._every != "auto":
            self._detect(view, now_s, self._every)
        elif last_s is None:
            self._scheduler.due(now_s, 0.0, cut=True)
            self._take(self._search.whole(image), view, now_s)
        else:
            self._search_some(view, now_s, elapsed_s, cut=cut)
        detected = time.perf_counter()
        self._tracker.prune(now_s)
        seen = [(track.number, _clipped(track.place.box(), view)) for track in self._tracker.shown]
        done = time.perf_counter()
        return seen, {"detect": 1000 * (detected - followed), "track": 1000 * (done - detected + followed - started)}

    @property
    def alive(self) -> frozenset[int]:
        """Identities that may come back."""
        return self._tracker.alive

    def _detect(self, view: Pyramid, now_s: float, every: int) -> None:
        """Have the detector itself search the frame, if it is its turn."""
        turn, self._frames = self._frames, self._frames + 1
        if turn % every == 0:
            self._take([Place.of(box) for box in self._detector.detect(view.image)], view, now_s)
            self._tracker.hide_unseen(now_s)

    def _take(self, places: list[Place], view: Pyramid, now_s: float) -> None:
        """Believe a search of the whole frame."""
        for place in self._tracker.match(places, view, now_s, weight=1.0):
            self._tracker.add(place, view, now_s, patience_s=FIRST_PATIENCE_S)

    def _search_some(self, view: Pyramid, now_s: float, elapsed_s: float, *, cut: bool) -> None:
        if self._search.close:
            for track in self._tracker.tracks:
                if self._scheduler.deserves_look(track, now_s):
                    self._confirm(track, view, now_s)
        covered = not self._search.close and any(track.covered for track in self._tracker.tracks)
        for step, fresh in self._scheduler.due(now_s, elapsed_s, cut=cut, covered=covered):
            region = self._region(view, step, fresh=fresh)
            if region is None:
                continue
            found = self._search.scan(view, step, region)
            how = self._search.steps[step]
            for candidate in self._tracker.match(found, view, now_s, weight=0.0 if self._search.close else 1.0):
                place = self._vouched(view, candidate, how.looks)
                if place and not self._tracker.knows(place):
                    home = how.looks[-1] if how.looks else 0
                    self._tracker.add(place, view, now_s, patience_s=how.patience_s, home=home, pending=how.pending)

    def _vouched(self, view: Pyramid, place: Place, looks: tuple[int, ...]) -> Place | None:
        """Where a new face is if every closer look sees it, too."""
        for turn in looks:
            found = self._search.confirm(view, place, turn, thorough=True)
            if found is None:
                return None
            place = place.towards(found, 0.5)
        return place

    def _region(self, view: Pyramid, step: int, *, fresh: bool) -> Region | None:
        """The whole frame of a new scene and every third time, else what is new in it."""
        self._scans[step] = 1 if fresh else self._scans[step] + 1
        if not self._search.close or self._scans[step] % WHOLE_EVERY == 1:
            self._scene.searched(step)
            return WHOLE
        return self._scene.news(step, view, (track.place for track in self._tracker.shown))

    def _confirm(self, track: Track, view: Pyramid, now_s: float) -> None:
        track.looked_s = now_s
        # What saw it last takes turns with all the others.
        turn = track.home if track.pending or track.misses % 2 == 0 else track.misses // 2
        found = self._search.confirm(view, track.place, turn, thorough=False)
        if found is not None and self._tracker.confirm(track, found, view, now_s, weight=0.4):
            track.home, track.misses = turn, 0
            return
        track.misses += 1
        if track.visible:
            track.place = track.place.moved(0, 0, estimate_scale(view, track.patch, track.place))


def _clipped(box: Box, view: Pyramid) -> Box:
    wide, high = view.size_wh
    left, top, right, bottom = box.xyxy
    left, top = min(max(0, left), wide - 1), min(max(0, top), high - 1)
    return Box(left, top, max(1, min(wide, right) - left), max(1, min(high, bottom) - top))
