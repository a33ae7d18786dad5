"""Interfaces of face detectors and face searches, and their names. This module loads neither OpenCV nor NumPy."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, get_args, runtime_checkable

from edgeinfer.errors import UsageError
from edgeinfer.plugins import plugin_names

if TYPE_CHECKING:
    from pathlib import Path

    from edgeinfer.detection.pyramid import Pyramid
    from edgeinfer.geometry import Place, Region
    from edgeinfer.results import Box, Image

DetectorName = Literal["haar", "yunet", "none"]
DETECTORS: tuple[DetectorName, ...] = get_args(DetectorName)
DetectEvery: TypeAlias = int | Literal["auto"]
"""Number of frames per run of the detector on the full frame, or "auto" for a search scheduled by time."""


class FaceDetector(Protocol):
    """Interface of face detectors: any object with this method can be passed to `Pipeline`.

    A detector whose boxes have a `pose` sets the attribute `estimates_pose` to True; tables then have columns for it.

    Examples:
        A detector that reports the left half of every frame:

        >>> import numpy as np
        >>> from edgeinfer import Box, EmotionClassifier, Pipeline
        >>> class LeftHalfDetector:
        ...     def detect(self, image):
        ...         return [Box(0, 0, image.shape[1] // 2, image.shape[0])]
        >>> pipeline = Pipeline(LeftHalfDetector(), EmotionClassifier.load())
        >>> pipeline(np.zeros((60, 80, 3), np.uint8)).faces[0].box.xywh
        (0, 0, 40, 60)
    """

    def detect(self, image: Image) -> list[Box]:
        """Return the bounding boxes of the faces in a frame.

        Args:
            image: (H, W, 3) BGR or (H, W) grey uint8. It must not be modified.

        Returns:
            One box per face, in pixels of `image` and inside its bounds; an empty list if there is no face.
        """


@dataclass(frozen=True, slots=True)
class SearchStep:
    """One part of a full-frame search, run on a separate schedule.

    Attributes:
        period_s: Interval between runs of the step, in seconds.
        max_age_s: Time for which a face found by this step is tracked without another detection, in seconds.
        verifiers: Indices of the verifiers that must all accept a new face; empty if it needs no verification.
        tentative: True if a new face must be detected again in a later frame before it is reported.
    """

    period_s: float
    max_age_s: float
    verifiers: tuple[int, ...] = ()
    tentative: bool = False


class FaceSearch(Protocol):
    """Interface of searches, which spread the detection of faces over several frames.

    Attributes:
        steps: Parts of a full-frame search.
        can_verify: True if `verify_near` can confirm or reject a face.
        decisive: True if a face that `verify_near` does not find is gone; False if it may have turned away.
        every_frame: True if the detector runs on every frame, without a schedule.
        max_age_s: Longest time for which a face is tracked without another detection, in seconds.
    """

    steps: tuple[SearchStep, ...]
    can_verify: bool
    decisive: bool
    every_frame: bool
    max_age_s: float

    def search_frame(self, image: Image) -> list[Place]:
        """Return the faces in the first, possibly only, frame, (H, W, 3) BGR or (H, W) grey uint8."""

    def run_step(self, pyramid: Pyramid, step: int, region: Region) -> list[Place]:
        """Run one step on a region of the frame and return the candidate faces."""

    def verify_near(self, pyramid: Pyramid, place: Place, verifier: int, *, thorough: bool) -> Place | None:
        """Search the surroundings of a face with one verifier.

        Args:
            pyramid: Frame to search.
            place: Expected position of the face.
            verifier: Index of the verifier, 0 or more; larger indices wrap around.
            thorough: True for the stricter and slower search that new faces must pass.

        Returns:
            The detected position, or None if the verifier finds no face.
        """


@runtime_checkable
class DivisibleSearch(Protocol):
    """Interface of searches whose steps can run in tiles of the frame, one per frame; see `tracking.tiles`.

    Attributes:
        max_halvings: Number of times that the resolution can be halved for large faces.
        min_tile: Area of the smallest tile that saves time, as a share of the searched region.
    """

    max_halvings: int
    min_tile: float

    def small_face_side(self, size_wh: tuple[int, int], step: int) -> float | None:
        """Return the side in pixels of the smallest face at half resolution; None if the step cannot be divided."""

    def run_reduced(self, pyramid: Pyramid, step: int, region: Region, halvings: int) -> list[Place]:
        """Run a step with its resolution halved some times, 0 or more, and return the candidate faces."""


@runtime_checkable
class SearchProvider(Protocol):
    """Interface of detectors with a custom search; all others run on the full frame periodically."""

    def create_search(self) -> FaceSearch:
        """Return a new search for one pipeline."""


@runtime_checkable
class StillDetector(Protocol):
    """Interface of detectors with a more thorough search for single pictures; all others use `detect` for these too."""

    def detect_still(self, image: Image) -> list[Box]:
        """Return the bounding boxes of the faces in a picture that does not belong to a video.

        Args:
            image: (H, W, 3) BGR or (H, W) grey uint8. It must not be modified.

        Returns:
            One box per face, in pixels of `image` and inside its bounds; an empty list if there is no face.
        """


@runtime_checkable
class CropProvider(Protocol):
    """Interface of detectors whose boxes differ from those of the frontal face cascade, which models are made for."""

    def crop_box(self, box: Box) -> Box:
        """Return the box that the cascade would find for a face, in pixels of the same frame."""


def check_detector(name: str) -> None:
    """Validate the name of a detector.

    Raises:
        UsageError: The name is neither in `DETECTORS` nor the name of an installed plugin.
    """
    if name not in DETECTORS and name not in (plugins := plugin_names("detectors")):
        raise UsageError(f"unknown detector {name!r}: expected one of {', '.join((*DETECTORS, *plugins))}")


def parse_detect_every(text: str) -> DetectEvery:
    """Parse "auto" or an integer of 1 or more.

    Raises:
        UsageError: The text is neither.
    """
    if text == "auto":
        return "auto"
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"invalid `detect_every` {text!r}: expected auto, or an integer of 1 or more")
    return int(text)


def is_cascade_path(cascade: str | Path) -> bool:
    """Return True if a cascade is named by a path, False if by the name of a file that comes with OpenCV."""
    return str(cascade).endswith(".xml") or "/" in str(cascade) or os.path.isfile(cascade)  # noqa: PTH113 - fits any text
