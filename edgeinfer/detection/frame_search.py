"""Where to look: the whole frame in steps, and closely around one face."""

from __future__ import annotations

from collections.abc import Callable

from edgeinfer.detection.base import FaceDetector, Search, Step
from edgeinfer.detection.cascade_search import CascadeSearch
from edgeinfer.detection.haar import HaarDetector
from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.detection.yunet import YuNetDetector
from edgeinfer.geometry import Place, Region
from edgeinfer.results import Box, Image


class FullFrameSearch:
    """Any detector, asked for the whole frame every so often."""

    close = False
    patience_s = 0.6

    def __init__(
        self, detector: FaceDetector, *, period_s: float, glance: Callable[[Image], list[Box]] | None = None
    ) -> None:
        """Ask a detector, or its quicker `glance` after the first frame, every `period_s` seconds."""
        self._detector, self._glance = detector, glance or detector.detect
        self.steps: tuple[Step, ...] = (Step(period_s, 3 * period_s),)

    def whole(self, image: Image) -> list[Place]:
        """Ask the detector."""
        return [Place.of(box) for box in self._detector.detect(image)]

    def scan(self, view: Pyramid, step: int, region: Region) -> list[Place]:
        """Ask it now."""
        return [Place.of(box) for box in self._glance(view.image)]

    def confirm(self, view: Pyramid, place: Place, turn: int, *, thorough: bool) -> Place | None:
        """It has no closer look."""
        return None


def create_search(detector: FaceDetector) -> Search:
    """The search that suits a detector: one of its own parts for those that we know as they are, all else is asked."""
    if isinstance(detector, HaarDetector) and detector.standard:
        return CascadeSearch(detector.cascade)
    if isinstance(detector, YuNetDetector):
        return FullFrameSearch(detector, period_s=0.12, glance=detector.glance)
    return FullFrameSearch(detector, period_s=0.2)
