"""Pipeline of detection, tracking and classification: one call per frame."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from edgeinfer.detection.base import CropProvider, DetectEvery, FaceDetector, StillDetector
from edgeinfer.detection.factory import create_detector
from edgeinfer.errors import UsageError
from edgeinfer.expression.cache import ExpressionCache
from edgeinfer.expression.classifier import Classifier, EmotionClassifier
from edgeinfer.expression.face_classifier import FaceClassifier
from edgeinfer.expression.prior import LabelPrior
from edgeinfer.pixels import check_image
from edgeinfer.results import Box, Face, Image, Result
from edgeinfer.tracking.locator import FaceLocator

DEFAULT_FPS = 30.0
"""Frame rate assumed for frames without a timestamp."""


@runtime_checkable
class Paceable(Protocol):
    """Interface of pipelines that can adapt to the speed of the machine."""

    def keep_pace(self, enabled: bool) -> None:
        """Limit the time of searches in live images, or stop doing so."""


class Pipeline:
    """Detector, tracker and classifier combined. A pipeline must not be used by two threads at the same time.

    Attributes:
        detector: Face detector.
        classifier: Expression classifier.
        unknown_below: Confidence threshold of the label "unknown", 0..1; 0 keeps all labels.
        min_face: Shorter side of the smallest face that is reported, in pixels of the frame.

    Examples:
        >>> import edgeinfer
        >>> from edgeinfer.model.card import asset_path
        >>> pipeline = edgeinfer.Pipeline(edgeinfer.HaarDetector(), edgeinfer.EmotionClassifier.load())
        >>> with edgeinfer.open_source(asset_path("demo.mp4")) as source:
        ...     for frame in source:
        ...         result = pipeline(frame.image, timestamp_s=frame.timestamp_s)
        ...         if frame.index == 5:
        ...             break
        >>> [(face.track_id, face.emotion.label) for face in result.faces]
        [(1, 'happy')]
    """

    def __init__(
        self,
        detector: FaceDetector,
        classifier: Classifier,
        *,
        track: bool = True,
        detect_every: DetectEvery = "auto",
        unknown_below: float = 0.0,
        min_face: int | None = None,
    ) -> None:
        """Create a pipeline.

        Args:
            detector: Face detector. It runs on the first frame, and on later ones depending on `detect_every`.
            classifier: Expression classifier.
            track: True if successive frames belong together. False for pictures: each is searched with the detector's
                `detect_still` if it has one, each face gets a new id, and nothing is smoothed.
            detect_every: "auto" to search by time, in parts, and to track faces in between; or N to run the detector on
                the full frame every N-th frame, 1 or more.
            unknown_below: Confidence threshold below which a label is reported as "unknown", 0..1; 0 keeps all labels.
            min_face: Shorter side of the smallest face that is reported, in pixels of the frame, 1 or more; None for
                all faces.

        Raises:
            UsageError: `detect_every` is neither "auto" nor an integer of 1 or more, or is above 1 without tracking;
                or `unknown_below` or `min_face` is out of range.
        """
        if min_face is not None and min_face < 1:
            raise UsageError(f"invalid `min_face` {min_face}: expected 1 or more")
        if not 0 <= unknown_below <= 1:
            raise UsageError(f"invalid `unknown_below` {unknown_below}: expected a number from 0 to 1")
        if detect_every != "auto" and (not isinstance(detect_every, int) or detect_every < 1):
            raise UsageError(f"invalid `detect_every` {detect_every!r}: expected auto, or an integer of 1 or more")
        if not track and detect_every not in ("auto", 1):
            raise UsageError(
                f"invalid `detect_every` {detect_every}: without tracking the detector runs on every frame; omit it"
            )
        self.detector, self.classifier = detector, classifier
        self.unknown_below, self.min_face = unknown_below, min_face or 1
        self._locator = FaceLocator(detector, detect_every) if track else None
        self._detect_still = detector.detect_still if isinstance(detector, StillDetector) else detector.detect
        self._face_classifier = FaceClassifier(
            classifier, detector.crop_box if isinstance(detector, CropProvider) else None
        )
        self._start()

    def reset(self) -> None:
        """Discard all tracks, restart the track ids from 1 and the time from 0, for example for another source."""
        if self._locator is not None:
            self._locator.reset()
        self._start()

    def keep_pace(self, enabled: bool = True, *, clock: Callable[[], float] = time.perf_counter) -> None:
        """Limit the time of searches in live images, so that a slow machine keeps up; `run` does so for live sources.

        The results then depend on the speed of the machine. With a number as `detect_every`, nothing changes.

        Args:
            enabled: False to search as scheduled, for recordings.
            clock: Monotonic time in seconds, by which work is measured.
        """
        if self._locator is not None:
            self._locator.keep_pace(clock if enabled else None)

    def _start(self) -> None:
        self._expressions = ExpressionCache(self._face_classifier, unknown_below=self.unknown_below)
        self._untracked_ids = itertools.count(1)
        self._next_s = 0.0
        self._indices = itertools.count()

    def __call__(self, image: Image, *, timestamp_s: float | None = None) -> Result:
        """Process one frame.

        Args:
            image: (H, W, 3) BGR or (H, W) grey uint8; it is not modified.
            timestamp_s: Presentation time of the frame in seconds; None for the next frame of a steady 30 fps stream. A
                step back in time discards all tracks.

        Returns:
            The faces in the frame, in ascending order of their ids.

        Raises:
            UsageError: the image has an invalid shape or dtype.
        """
        check_image(image, "frame")
        now_s = self._next_s if timestamp_s is None else timestamp_s
        self._next_s = now_s + 1 / DEFAULT_FPS
        if self._locator is None:
            return self._process_single(image, now_s)
        return self._process_tracked(self._locator, image, now_s)

    def _process_tracked(self, locator: FaceLocator, image: Image, now_s: float) -> Result:
        located, stages_ms = locator.locate(image, now_s)
        started = time.perf_counter()
        self._expressions.keep(locator.track_ids)
        located = [face for face in located if self._is_large(face[1])]
        faces = self._expressions.classify(image, located, now_s)
        stages_ms["classify"] = 1000 * (time.perf_counter() - started)
        return Result(faces, now_s, stages_ms, next(self._indices))

    def _is_large(self, box: Box) -> bool:
        return min(box.w, box.h) >= self.min_face

    def _process_single(self, image: Image, now_s: float) -> Result:
        started = time.perf_counter()
        boxes = [box for box in self._detect_still(image) if self._is_large(box)]
        detected = time.perf_counter()
        raws = self._face_classifier.classify(image, boxes)
        faces = tuple(
            Face(next(self._untracked_ids), box, raw.with_threshold(self.unknown_below), raw)
            for box, raw in zip(boxes, raws, strict=True)
        )
        classified = time.perf_counter()
        stages = {"detect": detected - started, "track": 0.0, "classify": classified - detected}
        stages_ms = {name: 1000 * seconds for name, seconds in stages.items()}
        return Result(faces, now_s, stages_ms, next(self._indices))


def load_pipeline(
    *,
    model: str | Path | None = None,
    detector: str = "haar",
    detector_model: str | Path | None = None,
    cascade: str | Path | None = None,
    detect_every: DetectEvery = "auto",
    track: bool = True,
    threads: int = 1,
    prior: LabelPrior = "natural",
    unknown_below: float = 0.0,
    min_face: int | None = None,
) -> Pipeline:
    """Create a pipeline from option values; the default is the bundled model with the frontal face cascade.

    Args:
        model: Path of an ONNX file with edgeinfer metadata, or name of a bundled model; None for the default model.
        detector: "haar", "yunet", "none" to treat the whole frame as one face, or the name of a plugin.
        detector_model: Path of the network's file for "yunet"; None for the file from the extra `yunet`.
        cascade: Cascade name or path of an XML file, only for "haar".
        detect_every: "auto", or N to run the detector every N-th frame; see `Pipeline`.
        track: True if successive frames belong together; see `Pipeline`.
        threads: CPU threads per call of the model and of the detector's network, 1 or more.
        prior: Expected distribution of the expressions; see `EmotionClassifier.load`.
        unknown_below: Confidence threshold below which a label is reported as "unknown", 0..1.
        min_face: Shorter side of the smallest face that is reported, in pixels of the frame, 1 or more; None for all
            faces.

    Returns:
        A pipeline without tracks.

    Raises:
        UsageError: an option is out of range, or does not apply to the detector or the model.
        CapabilityError: OpenCV lacks a feature that the detector needs, or the extra `yunet` is not installed.
        ModelError: a model or cascade does not exist or is invalid.

    Examples:
        >>> import edgeinfer
        >>> from edgeinfer.model.card import asset_path
        >>> pipeline = edgeinfer.load_pipeline(detect_every="auto", unknown_below=0.5)
        >>> with edgeinfer.open_source(asset_path("demo.mp4")) as source:
        ...     frame = next(iter(source))
        >>> face = pipeline(frame.image, timestamp_s=frame.timestamp_s).faces[0]
        >>> face.track_id, len(face.emotion.probabilities)
        (1, 7)
    """
    face_detector = create_detector(detector, model=detector_model, cascade=cascade, threads=threads, min_face=min_face)
    classifier = EmotionClassifier.load(model, threads=threads, prior=prior)
    return Pipeline(
        face_detector, classifier, track=track, detect_every=detect_every, unknown_below=unknown_below,
        min_face=min_face,
    )  # fmt: skip
