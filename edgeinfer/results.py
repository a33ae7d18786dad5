"""What the pipeline gives back: plain values that nobody changes in passing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]
"""A picture: (H, W) grey or (H, W, 3) BGR, uint8."""

Colour = Literal["grey", "rgb", "bgr"]


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a source.

    Attributes:
        image: (H, W, 3) BGR uint8.
        index: position in the source, from 0.
        timestamp_s: presentation time in seconds, from the source's first frame on for cameras and streams.
        captured_s: when it was read, in seconds of `time.monotonic()`; None where nobody looked at the clock.
    """

    image: Image
    index: int
    timestamp_s: float
    captured_s: float | None = None


State = Literal["connecting", "live", "stalled", "lost"]


@dataclass(frozen=True, slots=True)
class SourceState:
    """How a live source fares.

    Attributes:
        state: "connecting" while it is opened; "live" from the first frame on; "stalled" when no frame has come for
            too long; "lost" when reading failed or could not begin.
        at_s: when, in seconds on the clock of the frames; 0 before the first of them.
        detail: a sentence for people, free of credentials.
    """

    state: State
    at_s: float
    detail: str


LABELS: tuple[str, ...] = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear")
"""The seven expressions of the bundled model, in the order of its outputs. A model's own list always wins."""

UNKNOWN = "unknown"
"""The label of a face whose likeliest expression is less likely than was asked for."""


@dataclass(frozen=True, slots=True)
class Box:
    """A face in a frame.

    Attributes:
        x: left edge in pixels of the source frame.
        y: top edge in pixels.
        w: width in pixels.
        h: height in pixels.
    """

    x: int
    y: int
    w: int
    h: int

    @property
    def xywh(self) -> tuple[int, int, int, int]:
        """(x, y, w, h), int pixels."""
        return self.x, self.y, self.w, self.h

    @property
    def xyxy(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom), int pixels; right and bottom lie just outside."""
        return self.x, self.y, self.x + self.w, self.y + self.h

    def iou(self, other: Box) -> float:
        """Intersection over union with another box, 0..1."""
        wide = min(self.x + self.w, other.x + other.w) - max(self.x, other.x)
        high = min(self.y + self.h, other.y + other.h) - max(self.y, other.y)
        if wide <= 0 or high <= 0:
            return 0.0
        common = wide * high
        return common / (self.w * self.h + other.w * other.h - common)


@dataclass(frozen=True, slots=True)
class Emotion:
    """The expression that the model perceives in one face.

    Attributes:
        label: the model's name for it, or "unknown" where a threshold was asked for.
        confidence: probability of `label`, 0..1; for "unknown" that of the label it stands for.
        probabilities: label to probability, in the model's order; they sum to 1.
    """

    label: str
    confidence: float
    probabilities: Mapping[str, float]

    def doubted(self, below: float) -> Emotion:
        """The same, called "unknown" where its confidence is below a threshold."""
        return replace(self, label=UNKNOWN) if self.confidence < below else self


@dataclass(frozen=True, slots=True)
class Face:
    """A tracked face in one frame.

    Attributes:
        track_id: the same number for the same face while it stays in view.
        box: where it is, in pixels of the source frame.
        emotion: smoothed over the track; what a program should act on.
        raw: the last reading of the classifier alone, at most an eighth of a second old.
    """

    track_id: int
    box: Box
    emotion: Emotion
    raw: Emotion


@dataclass(frozen=True, slots=True)
class Result:
    """Everything seen in one frame.

    Attributes:
        faces: from the lowest track id to the highest.
        timestamp_s: presentation time of the frame in its source, in seconds.
        stages_ms: milliseconds spent in "detect", "track" and "classify".
    """

    faces: tuple[Face, ...]
    timestamp_s: float
    stages_ms: Mapping[str, float] = field(default_factory=dict)
