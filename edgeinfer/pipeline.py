"""Detect, track, classify: one call a frame."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.classifier import Classifier, EmotionClassifier
from edgeinfer.detector import DetectorName, FaceDetector, create_detector
from edgeinfer.errors import UsageError
from edgeinfer.preprocess import Image, crop_face
from edgeinfer.results import Box, Face, Result
from edgeinfer.tracker import OverlapTracker, Smoother

STEADY_FPS = 30.0


class Pipeline:
    """Turns frames into tracked, read faces. Not for use by two threads at once.

    Attributes:
        classifier: what reads the crops.
        detector: what finds the faces.
    """

    def __init__(
        self, detector: FaceDetector, classifier: Classifier, *, track: bool = True, detect_every: int = 1
    ) -> None:
        """Put the parts together.

        Args:
            detector: what finds the faces.
            classifier: what reads them.
            track: whether frames follow each other; without it every face gets a number of its own and nothing is
                smoothed.
            detect_every: look for faces in every n-th frame, 1 or more; boxes stay where they are in between.

        Raises:
            UsageError: `detect_every` is below 1 or means nothing without tracking.
        """
        if detect_every < 1 or (detect_every > 1 and not track):
            raise UsageError(f"detect_every is {detect_every}; it must be 1 or more, and 1 without tracking")
        self.detector, self.classifier = detector, classifier
        self._track, self._detect_every = track, detect_every
        self.reset()

    def reset(self) -> None:
        """Forget every face, as at the start of another source."""
        self._tracker = OverlapTracker()
        self._smoother = Smoother(self.classifier.labels)
        self._single_ids = itertools.count(1)
        self._frames = 0
        self._boxes: list[Box] = []
        self._next_s = 0.0

    def __call__(self, image: Image, *, timestamp_s: float | None = None) -> Result:
        """Read one frame.

        Args:
            image: (H, W, 3) BGR or (H, W) grey uint8; it is not changed.
            timestamp_s: presentation time in seconds; None for the next frame of a steady 30 fps stream.

        Raises:
            UsageError: the image is no such array.
        """
        _check(image)
        now_s = self._next_s if timestamp_s is None else timestamp_s
        self._next_s = now_s + 1 / STEADY_FPS
        started = time.perf_counter()
        if self._frames % self._detect_every == 0:
            self._boxes = self.detector.detect(image)
        self._frames += 1
        detected = time.perf_counter()
        ids = self._identify(now_s)
        tracked = time.perf_counter()
        faces = self._read(image, ids, now_s)
        classified = time.perf_counter()
        stages = {"detect": detected - started, "track": tracked - detected, "classify": classified - tracked}
        return Result(faces, now_s, {name: 1000 * seconds for name, seconds in stages.items()})

    def _identify(self, now_s: float) -> list[int]:
        if not self._track:
            return [next(self._single_ids) for _ in self._boxes]
        ids = self._tracker.update(self._boxes, now_s)
        self._smoother.keep(self._tracker.alive)
        return ids

    def _read(self, image: Image, ids: list[int], now_s: float) -> tuple[Face, ...]:
        crops = [crop_face(image, box.xywh, self.classifier.margin) for box in self._boxes]
        faces = []
        for track_id, box, raw in zip(ids, self._boxes, self.classifier.classify(crops), strict=True):
            shown = self._smoother.update(track_id, raw, now_s) if self._track else raw
            faces.append(Face(track_id, box, shown, raw))
        return tuple(sorted(faces, key=lambda face: face.track_id))


def load_pipeline(
    *,
    model: str | Path | None = None,
    detector: DetectorName = "haar",
    detector_model: str | Path | None = None,
    cascade: str | Path | None = None,
    detect_every: int = 1,
    track: bool = True,
    threads: int = 1,
) -> Pipeline:
    """Make a pipeline; without arguments the bundled model behind the frontal cascade.

    Args:
        model: an .onnx file with our metadata, or the name of a bundled model.
        detector: "haar", "yunet" or "none" (the frame is one face).
        detector_model: the network's file, for "yunet".
        cascade: a cascade's name or XML file, for "haar".
        detect_every: look for faces in every n-th frame.
        track: whether frames follow each other.
        threads: cores for one call of the model.

    Raises:
        UsageError: an option is out of bounds or does not belong to the detector.
        CapabilityError: OpenCV lacks what the detector needs.
        ModelError: a model or cascade is missing or invalid.
    """
    finder = create_detector(detector, model=detector_model, cascade=cascade)
    return Pipeline(finder, EmotionClassifier.load(model, threads=threads), track=track, detect_every=detect_every)


def _check(image: Any) -> None:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        raise UsageError(f"a frame is {getattr(image, 'dtype', type(image).__name__)}; expected a uint8 array")
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or 0 in image.shape:
        raise UsageError(f"a frame has the shape {image.shape}; expected (H, W) or (H, W, 3) with at least one pixel")
