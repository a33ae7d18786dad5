"""Value types of the library: frames, boxes, expressions, faces and results. All of them are immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from edgeinfer.representation import result_html, result_object

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Image: TypeAlias = NDArray[np.uint8]
    """Picture as an (H, W) grey or (H, W, 3) BGR uint8 array."""
else:
    Image = Any  # importing numpy takes 80 ms, and `--help` needs no arrays

Colour = Literal["grey", "rgb", "bgr"]


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a source.

    Attributes:
        image: (H, W, 3) BGR uint8 array.
        index: Position in the source, from 0.
        timestamp_s: Presentation time in seconds; for cameras and streams, relative to the first frame.
        captured_s: Time of capture in seconds of `time.monotonic()`, or None if the source does not record it.
        picture: Path of the picture file as given; None for videos, cameras and streams.
        full_size_wh: Width and height of the picture in pixels, in the orientation of `image`, if it was too large and
            `image` is a reduced copy; otherwise None.

    Examples:
        >>> import edgeinfer
        >>> from edgeinfer.model.card import asset_path
        >>> with edgeinfer.open_source(asset_path("demo.mp4")) as source:
        ...     frame = next(iter(source))
        >>> frame.index, frame.timestamp_s, frame.image.dtype.name
        (0, 0.0, 'uint8')
    """

    image: Image
    index: int
    timestamp_s: float
    captured_s: float | None = None
    picture: str | None = None
    full_size_wh: tuple[int, int] | None = None

    def source_box(self, box: Box) -> Box:
        """Convert a box in pixels of `image` to pixels of the source, which differ only for a reduced picture.

        Args:
            box: Bounding box in pixels of `image`.

        Examples:
            >>> import edgeinfer
            >>> import numpy as np
            >>> frame = edgeinfer.Frame(np.zeros((3000, 4000, 3), np.uint8), 0, 0.0, full_size_wh=(8000, 6000))
            >>> frame.source_box(edgeinfer.Box(10, 20, 30, 40)).xywh
            (20, 40, 60, 80)
        """
        if self.full_size_wh is None:
            return box
        across, down = self.full_size_wh[0] / self.image.shape[1], self.full_size_wh[1] / self.image.shape[0]
        return Box(round(box.x * across), round(box.y * down), round(box.w * across), round(box.h * down))


State = Literal["connecting", "live", "stalled", "lost"]


@dataclass(frozen=True, slots=True)
class SourceState:
    """Connection state of a live source.

    Attributes:
        state: "connecting" while the source is opened; "live" from the first frame on; "stalled" if no frame arrived
            within the timeout; "lost" if opening or reading failed.
        at_s: Time of the change in seconds, in the time base of the frames; 0 before the first frame.
        detail: Explanation for log messages, without credentials.
    """

    state: State
    at_s: float
    detail: str


LABELS: tuple[str, ...] = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear")
"""Expressions of the default model, in the order of its outputs. A model's own list takes precedence."""

UNKNOWN = "unknown"
"""Label of a face whose most probable expression is below the confidence threshold."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Orientation of a head relative to the direction towards the camera.

    Attributes:
        roll: Rotation in the picture in degrees, -180..180; positive if clockwise.
        yaw: Rotation to the side in degrees, -90..90; positive if the face turns to the right of the picture.
        pitch: Inclination in degrees, -90..90; positive if the face looks up.

    Examples:
        >>> from edgeinfer import Pose
        >>> Pose(roll=0.0, yaw=40.0, pitch=-5.0).turned
        True
    """

    roll: float
    yaw: float
    pitch: float

    @property
    def turned(self) -> bool:
        """True if the yaw is above `MAX_YAW`, or the pitch above `MAX_PITCH`, in either direction."""
        return abs(self.yaw) > MAX_YAW or abs(self.pitch) > MAX_PITCH


MAX_YAW, MAX_PITCH = 30.0, 25.0
"""Largest yaw and pitch of a face that is not turned, in degrees. Beyond them, a part of the expression is hidden."""


@dataclass(frozen=True, slots=True)
class Box:
    """Bounding box of a face.

    Attributes:
        x: Left edge in pixels of the source frame.
        y: Top edge in pixels of the source frame.
        w: Width in pixels.
        h: Height in pixels.
        pose: Orientation of the head, or None if the detector does not estimate it. Boxes are compared without it.

    Examples:
        >>> from edgeinfer import Box
        >>> Box(10, 20, 30, 40).xyxy
        (10, 20, 40, 60)
    """

    x: int
    y: int
    w: int
    h: int
    pose: Pose | None = field(default=None, compare=False, repr=False, kw_only=True)

    @property
    def xywh(self) -> tuple[int, int, int, int]:
        """Left edge, top edge, width and height, in pixels."""
        return self.x, self.y, self.w, self.h

    @property
    def xyxy(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom edges, in pixels. Right and bottom are exclusive."""
        return self.x, self.y, self.x + self.w, self.y + self.h

    def iou(self, other: Box) -> float:
        """Return the intersection over union with another box.

        Args:
            other: A box in pixels of the same frame.

        Returns:
            0 for boxes that do not overlap, up to 1 for identical ones.

        Examples:
            >>> from edgeinfer import Box
            >>> round(Box(0, 0, 10, 10).iou(Box(5, 0, 10, 10)), 3)
            0.333
        """
        width = min(self.x + self.w, other.x + other.w) - max(self.x, other.x)
        height = min(self.y + self.h, other.y + other.h) - max(self.y, other.y)
        if width <= 0 or height <= 0:
            return 0.0
        common = width * height
        return common / (self.w * self.h + other.w * other.h - common)


@dataclass(frozen=True, slots=True)
class Emotion:
    """Perceived expression of one face.

    Attributes:
        label: One of the model's labels, or "unknown" if `confidence` is below the threshold of the pipeline.
        confidence: Probability of the expression, 0..1. For "unknown", that of the most probable expression.
        probabilities: Map from label to probability, in the model's order. The values sum to 1.

    Examples:
        >>> import edgeinfer
        >>> import numpy as np
        >>> emotion = edgeinfer.EmotionClassifier.load().classify([np.zeros((64, 64), np.uint8)])[0]
        >>> emotion.label in edgeinfer.LABELS and emotion.confidence == emotion.probabilities[emotion.label]
        True
    """

    label: str
    confidence: float
    probabilities: Mapping[str, float]

    def with_threshold(self, threshold: float) -> Emotion:
        """Return the same expression, labelled "unknown" if its confidence is below a threshold.

        Args:
            threshold: Lowest confidence that keeps the label, 0..1.

        Examples:
            >>> from edgeinfer import Emotion
            >>> Emotion("happy", 0.6, {"neutral": 0.4, "happy": 0.6}).with_threshold(0.7).label
            'unknown'
        """
        return replace(self, label=UNKNOWN) if self.confidence < threshold else self


@dataclass(frozen=True, slots=True)
class Face:
    """A tracked face in one frame.

    Attributes:
        track_id: Number of the track; constant while the face stays in view.
        box: Bounding box in pixels of the source frame.
        emotion: Expression smoothed over the track. Applications should use this one.
        raw: Latest unsmoothed output of the classifier, at most 0.125 s old.

    Examples:
        >>> import edgeinfer
        >>> from edgeinfer.model.card import asset_path
        >>> pipeline = edgeinfer.load_pipeline()
        >>> with edgeinfer.open_source(asset_path("demo.mp4")) as source:
        ...     face = pipeline(next(iter(source)).image).faces[0]
        >>> face.track_id, len(face.box.xywh), face.emotion.label in pipeline.classifier.labels
        (1, 4, True)
    """

    track_id: int
    box: Box
    emotion: Emotion
    raw: Emotion

    @property
    def pose(self) -> Pose | None:
        """Orientation of the head, at most 0.5 s old; None if the detector does not estimate it."""
        return self.box.pose

    @property
    def turned(self) -> bool:
        """True if the head is known to be turned by more than `MAX_YAW` or `MAX_PITCH`."""
        return self.box.pose is not None and self.box.pose.turned

    @property
    def size_px(self) -> int:
        """Shorter side of the box in pixels."""
        return min(self.box.w, self.box.h)


@dataclass(frozen=True, slots=True)
class Result:
    """All faces in one frame.

    Attributes:
        faces: Faces in ascending order of their track ids.
        timestamp_s: Presentation time of the frame in its source, in seconds.
        stages_ms: Milliseconds spent in "detect", "track" and "classify"; empty for results of a file.
        index: Number of the frame, from 0: the calls of a pipeline since its last reset, or, for a result read from a
            file, its position in the source. None if unknown.
        picture: Path of the picture for results of a file; None otherwise, and for videos.
        source: Name of the source for results of a file; None otherwise.

    Examples:
        >>> import edgeinfer
        >>> import numpy as np
        >>> result = edgeinfer.load_pipeline()(np.zeros((120, 160, 3), np.uint8), timestamp_s=1.5)
        >>> result.faces, result.timestamp_s, sorted(result.stages_ms)
        ((), 1.5, ['classify', 'detect', 'track'])
    """

    faces: tuple[Face, ...]
    timestamp_s: float
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    index: int | None = None
    picture: str | None = None
    source: str | None = None

    def to_dict(self, frame: Frame | None = None) -> dict[str, Any]:
        """Return the result as the object of its line in JSONL, which `json.dumps` accepts.

        Args:
            frame: Frame of the result. With it, the object has the frame's own index, time and picture, and boxes in
                pixels of the source, which differ from the result's where a live source dropped frames or a picture
                was reduced.

        Examples:
            >>> import edgeinfer
            >>> happy = edgeinfer.Emotion("happy", 0.9, {"neutral": 0.1, "happy": 0.9})
            >>> face = edgeinfer.Face(1, edgeinfer.Box(10, 20, 30, 40), happy, happy)
            >>> line = edgeinfer.Result((face,), timestamp_s=0.04, index=1).to_dict()
            >>> line["frame"], line["time_s"], line["faces"][0]["box"], line["faces"][0]["label"]
            (1, 0.04, [10, 20, 30, 40], 'happy')
        """
        return result_object(self, frame)

    def _repr_html_(self) -> str:
        """Return a table of the faces, which notebooks show."""
        return result_html(self)
