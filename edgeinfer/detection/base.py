"""Roles of face detectors and of incremental searches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.geometry import Place, Region
from edgeinfer.results import Box, Image

DetectorName = Literal["haar", "yunet", "none"]
DETECTORS: tuple[DetectorName, ...] = get_args(DetectorName)


class FaceDetector(Protocol):
    """The role of whatever finds faces."""

    def detect(self, image: Image) -> list[Box]:
        """Boxes of the faces in a (H, W, 3) BGR or (H, W) grey uint8 frame, inside its bounds."""


@dataclass(frozen=True, slots=True)
class Step:
    """A part of the search of a whole frame.

    Attributes:
        period_s: how often it should be done, in seconds.
        patience_s: how long what it finds is followed before it must be found again, in seconds.
        looks: the closer looks that what it finds must pass to be a face; none where its word is enough.
        pending: whether it must also be seen again in a later frame.
    """

    period_s: float
    patience_s: float
    looks: tuple[int, ...] = ()
    pending: bool = False


class Search(Protocol):
    """The role of what finds faces for the watcher.

    Attributes:
        steps: what makes up a search of the whole frame.
        close: whether `confirm` can tell a face from something else.
        patience_s: how long a face that was often seen may be followed before it is seen again, in seconds.
    """

    steps: tuple[Step, ...]
    close: bool
    patience_s: float

    def whole(self, image: Image) -> list[Place]:
        """Where faces are in a first frame, (H, W, 3) BGR or (H, W) grey uint8, which may be the only one."""

    def scan(self, view: Pyramid, step: int, region: Region) -> list[Place]:
        """Do one step in a part of the frame; where faces may be."""

    def confirm(self, view: Pyramid, place: Place, turn: int, *, thorough: bool) -> Place | None:
        """Look closely around a face; where it is, or None. `turn` counts the looks, to take turns with."""
