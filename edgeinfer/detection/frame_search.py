"""Periodic full-frame search with any detector."""

from __future__ import annotations

from collections.abc import Callable

from edgeinfer.detection.base import FaceDetector, FaceSearch, SearchProvider, SearchStep
from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.geometry import Place, Region
from edgeinfer.results import Box, Image


class FullFrameSearch:
    """One step that runs a detector on the full frame, without verification."""

    can_verify = False
    decisive = False
    max_age_s = 0.6

    def __init__(
        self,
        detector: FaceDetector,
        *,
        period_s: float = 0.2,
        detect_quick: Callable[[Image], list[Box]] | None = None,
        every_frame: bool = False,
    ) -> None:
        """Create a search with one step.

        Args:
            detector: Detector for the first frame.
            period_s: Interval between runs, in seconds.
            detect_quick: Cheaper function for all later frames; None for `detector.detect`.
            every_frame: True to run the detector on every frame instead of periodically.
        """
        self._detector, self._detect_quick = detector, detect_quick or detector.detect
        self.every_frame = every_frame
        self.steps: tuple[SearchStep, ...] = (SearchStep(period_s, 3 * period_s),)

    def search_frame(self, image: Image) -> list[Place]:
        """Return the faces that the detector finds."""
        return [Place.of(box) for box in self._detector.detect(image)]

    def run_step(self, pyramid: Pyramid, step: int, region: Region) -> list[Place]:
        """Return the faces that the quick function finds in the full frame; `region` is ignored."""
        return [Place.of(box) for box in self._detect_quick(pyramid.image)]

    def verify_near(self, pyramid: Pyramid, place: Place, verifier: int, *, thorough: bool) -> Place | None:
        """Return None: a full-frame search has no verifiers."""
        return None


def create_search(detector: FaceDetector) -> FaceSearch:
    """Return the detector's own search, or a periodic full-frame search if it has none."""
    return detector.create_search() if isinstance(detector, SearchProvider) else FullFrameSearch(detector)
