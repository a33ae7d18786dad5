"""Detect, track, classify: one call a frame."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.detection.base import FaceDetector
from edgeinfer.detection.factory import create_detector
from edgeinfer.errors import UsageError
from edgeinfer.expression.cache import ExpressionCache
from edgeinfer.expression.classifier import Classifier, EmotionClassifier
from edgeinfer.expression.preprocess import crop_face
from edgeinfer.expression.prior import Prior
from edgeinfer.results import Face, Image, Result
from edgeinfer.tracking.locator import Auto, FaceLocator

STEADY_FPS = 30.0


class Pipeline:
    """Turns frames into tracked, read faces. Not for use by two threads at once.

    Attributes:
        classifier: what reads the crops.
        detector: what finds the faces.
    """

    def __init__(
        self,
        detector: FaceDetector,
        classifier: Classifier,
        *,
        track: bool = True,
        detect_every: int | Auto = "auto",
        unknown_below: float = 0.0,
    ) -> None:
        """Put the parts together.

        Args:
            detector: what finds the faces; the first frame and the other urgent ones are searched at once.
            classifier: what reads them.
            track: whether frames follow each other; without it the detector searches every frame, every face gets a
                number of its own and nothing is smoothed.
            detect_every: "auto" searches by time, in parts, and follows faces in between; a number has the detector
                search every n-th frame, 1 or more.
            unknown_below: confidence below which a face's label is "unknown", 0..1; 0 gives every face an expression.

        Raises:
            UsageError: `detect_every` is neither "auto" nor 1 or more, or means nothing without tracking, or
                `unknown_below` is out of bounds.
        """
        if not 0 <= unknown_below <= 1:
            raise UsageError(f"unknown_below is {unknown_below}; it must be in 0..1")
        if detect_every != "auto" and (not isinstance(detect_every, int) or detect_every < 1):
            raise UsageError(f"detect_every is {detect_every!r}; it must be 1 or more, or auto")
        if not track and detect_every not in ("auto", 1):
            raise UsageError(f"detect_every is {detect_every}; without tracking every frame is searched")
        self.detector, self.classifier = detector, classifier
        self._track, self._detect_every, self._unknown_below = track, detect_every, unknown_below
        self.reset()

    def reset(self) -> None:
        """Forget every face, as at the start of another source."""
        self._watcher = FaceLocator(self.detector, self._detect_every)
        self._reader = ExpressionCache(self.classifier, unknown_below=self._unknown_below)
        self._single_ids = itertools.count(1)
        self._next_s = 0.0

    def __call__(self, image: Image, *, timestamp_s: float | None = None) -> Result:
        """Read one frame.

        Args:
            image: (H, W, 3) BGR or (H, W) grey uint8; it is not changed.
            timestamp_s: presentation time in seconds; None for the next frame of a steady 30 fps stream. A step back
                in time forgets every face.

        Raises:
            UsageError: the image is no such array.
        """
        _check(image)
        now_s = self._next_s if timestamp_s is None else timestamp_s
        self._next_s = now_s + 1 / STEADY_FPS
        return self._follow(image, now_s) if self._track else self._read_alone(image, now_s)

    def _follow(self, image: Image, now_s: float) -> Result:
        seen, stages = self._watcher.find(image, now_s)
        started = time.perf_counter()
        self._reader.keep(self._watcher.alive)
        faces = self._reader.read(image, seen, now_s)
        return Result(faces, now_s, {**stages, "classify": 1000 * (time.perf_counter() - started)})

    def _read_alone(self, image: Image, now_s: float) -> Result:
        started = time.perf_counter()
        boxes = self.detector.detect(image)
        detected = time.perf_counter()
        crops = [crop_face(image, box.xywh, self.classifier.margin) for box in boxes]
        raws = self.classifier.classify(crops)
        faces = tuple(
            Face(next(self._single_ids), box, raw.with_threshold(self._unknown_below), raw)
            for box, raw in zip(boxes, raws, strict=True)
        )
        classified = time.perf_counter()
        stages = {"detect": detected - started, "track": 0.0, "classify": classified - detected}
        return Result(faces, now_s, {name: 1000 * seconds for name, seconds in stages.items()})


def load_pipeline(
    *,
    model: str | Path | None = None,
    detector: str = "haar",
    detector_model: str | Path | None = None,
    cascade: str | Path | None = None,
    detect_every: int | Auto = "auto",
    track: bool = True,
    threads: int = 1,
    prior: Prior = "natural",
    unknown_below: float = 0.0,
) -> Pipeline:
    """Make a pipeline; without arguments the bundled model behind the frontal cascade.

    Args:
        model: an .onnx file with our metadata, or the name of a bundled model.
        detector: "haar", "yunet", "none" (the frame is one face), or one that another package brings.
        detector_model: the network's file, for "yunet".
        cascade: a cascade's name or XML file, for "haar".
        detect_every: "auto", or have the detector search every n-th frame; see `Pipeline`.
        track: whether frames follow each other.
        threads: cores for one call of the model.
        prior: how often each expression is expected, see `EmotionClassifier.load`.
        unknown_below: confidence below which a face's label is "unknown", 0..1.

    Raises:
        UsageError: an option is out of bounds, or does not belong to the detector or the model.
        CapabilityError: OpenCV lacks what the detector needs.
        ModelError: a model or cascade is missing or invalid.
    """
    finder = create_detector(detector, model=detector_model, cascade=cascade)
    reader = EmotionClassifier.load(model, threads=threads, prior=prior)
    return Pipeline(finder, reader, track=track, detect_every=detect_every, unknown_below=unknown_below)


def parse_detect_every(text: str) -> int | Auto:
    """Read "auto", or a number of frames from 1 on.

    Raises:
        UsageError: it is neither.
    """
    if text == "auto":
        return "auto"
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--detect-every is {text!r}; it must be auto, or a number from 1 on")
    return int(text)


def _check(image: Any) -> None:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        raise UsageError(f"a frame is {getattr(image, 'dtype', type(image).__name__)}; expected a uint8 array")
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or 0 in image.shape:
        raise UsageError(f"a frame has the shape {image.shape}; expected (H, W) or (H, W, 3) with at least one pixel")
