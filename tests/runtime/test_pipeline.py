from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer import (
    Box,
    EmotionClassifier,
    HaarDetector,
    Pipeline,
    Result,
    UsageError,
    WholeFrameDetector,
    annotate,
    load_pipeline,
)
from edgeinfer.results import Image
from tools.fakes import FakeDetector
from tools.tiny_model import metadata, write_model

FRAME = np.full((60, 80, 3), 250, np.uint8)


def test_first_frame_has_a_full_result(classifier: EmotionClassifier) -> None:
    result = Pipeline(FakeDetector([Box(10, 10, 20, 20)]), classifier)(FRAME)
    assert len(result.faces) == 1
    face = result.faces[0]
    assert (face.track_id, face.box.xywh, face.emotion.label) == (1, (10, 10, 20, 20), "happy")
    assert face.raw == face.emotion
    assert set(result.stages_ms) == {"detect", "track", "classify"}


def test_missing_timestamps_continue_at_30_fps(classifier: EmotionClassifier) -> None:
    pipeline = Pipeline(FakeDetector([]), classifier)
    times = [
        pipeline(FRAME).timestamp_s,
        pipeline(FRAME, timestamp_s=2.0).timestamp_s,
        pipeline(FRAME).timestamp_s,
    ]
    assert times == pytest.approx([0, 2, 2 + 1 / 30])


def test_each_face_is_classified_from_its_own_crop(classifier: EmotionClassifier) -> None:
    frame = FRAME.copy()
    frame[:, :40] = 0
    faces = Pipeline(FakeDetector([Box(50, 10, 20, 20), Box(5, 10, 20, 20)]), classifier)(frame).faces
    assert [(face.track_id, face.emotion.label) for face in faces] == [(1, "happy"), (2, "neutral")]


@pytest.mark.parametrize("track", [True, False], ids=["tracked", "stills"])
@pytest.mark.parametrize(("min_face", "count"), [(None, 2), (12, 2), (13, 1), (21, 0)])
def test_small_faces_are_ignored(classifier: EmotionClassifier, min_face: int | None, count: int, track: bool) -> None:
    detector = FakeDetector([Box(10, 10, 20, 20), Box(50, 10, 12, 20)])
    faces = Pipeline(detector, classifier, track=track, min_face=min_face)(FRAME).faces
    assert [face.size_px for face in faces] == [20, 12][:count]


@pytest.mark.parametrize("detector", ["haar", "yunet", "none"])
@pytest.mark.parametrize("track", [True, False], ids=["tracked", "stills"])
def test_smallest_face_applies_to_every_detector(
    tiny_model: Path, yunet: Path, portrait: Image, detector: str, track: bool
) -> None:
    model = yunet if detector == "yunet" else None
    counts = [
        len(
            load_pipeline(model=tiny_model, detector=detector, detector_model=model, track=track, min_face=size)(
                portrait
            ).faces
        )
        for size in (70, 300)
    ]
    assert counts == [1, 0]


def test_margin_of_the_model_is_applied(tmp_path: Path) -> None:
    wide = EmotionClassifier.load(write_model(tmp_path / "wide.onnx", keys=metadata(crop='{"margin": 1.0}')))
    frame = np.zeros((60, 60), np.uint8)
    frame[20:40, 20:40] = 255
    face = Pipeline(FakeDetector([Box(20, 20, 20, 20)]), wide)(frame).faces[0]
    assert face.emotion.label == "neutral"  # only a ninth of the crop is bright


def test_faces_are_reported_between_detections(classifier: EmotionClassifier) -> None:
    detector = FakeDetector([Box(10, 10, 20, 20)])
    pipeline = Pipeline(detector, classifier, detect_every=3)
    assert [len(pipeline(FRAME).faces) for _ in range(7)] == [1] * 7
    assert detector.calls == 3


def test_without_tracking_each_face_has_its_own_id_and_is_not_smoothed(classifier: EmotionClassifier) -> None:
    pipeline = Pipeline(FakeDetector([Box(10, 10, 20, 20)]), classifier, track=False)
    bright, dark = pipeline(FRAME).faces[0], pipeline(np.zeros_like(FRAME)).faces[0]
    assert (bright.track_id, dark.track_id) == (1, 2)
    assert dark.emotion == dark.raw
    assert dark.emotion.label == "neutral"


class _StillDetector(FakeDetector):
    """Detector that returns a box at another position for a picture than for a frame."""

    def detect_still(self, image: Image) -> list[Box]:
        return [Box(40, 10, 20, 20)]


@pytest.mark.parametrize("track", [True, False], ids=["video", "pictures"])
def test_only_pictures_are_searched_as_stills(classifier: EmotionClassifier, track: bool) -> None:
    pipeline = Pipeline(_StillDetector([Box(10, 10, 20, 20)]), classifier, track=track)
    boxes = [face.box for _ in range(2) for face in pipeline(FRAME).faces]
    assert boxes == 2 * [Box(10, 10, 20, 20) if track else Box(40, 10, 20, 20)]


@pytest.mark.parametrize("track", [True, False], ids=["tracked", "untracked"])
def test_label_below_the_threshold_is_unknown_and_keeps_its_probabilities(
    classifier: EmotionClassifier, track: bool
) -> None:
    detector = FakeDetector([Box(10, 10, 20, 20)])
    known = Pipeline(detector, classifier, track=track)(FRAME).faces[0]
    unknown = Pipeline(detector, classifier, track=track, unknown_below=1.0)(FRAME).faces[0]
    assert known.emotion.label == "happy"
    assert unknown.emotion.label == "unknown"
    assert unknown.emotion.confidence == known.emotion.confidence
    assert unknown.emotion.probabilities == known.emotion.probabilities
    assert unknown.raw == known.raw


def test_reset_restarts_the_track_ids(classifier: EmotionClassifier) -> None:
    pipeline = Pipeline(FakeDetector([Box(10, 10, 20, 20)]), classifier)
    pipeline(FRAME)
    pipeline.reset()
    result = pipeline(FRAME)
    assert (result.faces[0].track_id, result.index) == (1, 0)


def test_reset_loads_no_cascade(
    classifier: EmotionClassifier, portrait: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads, original = list[str](), cv2.CascadeClassifier

    class CountingCascade:
        def __init__(self) -> None:
            self._cascade = original()

        def load(self, path: str) -> bool:
            loads.append(Path(path).stem)
            return self._cascade.load(path)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._cascade, name)

    monkeypatch.setattr(cv2, "CascadeClassifier", CountingCascade)
    pipeline = Pipeline(HaarDetector(), classifier)
    before = pipeline(portrait).faces
    assert sorted(loads) == [
        "haarcascade_frontalface_alt2",
        "haarcascade_frontalface_default",
        "haarcascade_profileface",
    ]
    pipeline.reset()
    assert pipeline(portrait).faces == before
    assert len(loads) == 3


@pytest.mark.parametrize(
    "image",
    [
        *(np.zeros((4, 4, 3), dtype) for dtype in (np.float32, np.int64)),
        *(np.zeros(shape, np.uint8) for shape in ((4, 4, 1), (4, 4, 4), (0, 4), (4,))),
        None,
        "text",
    ],
    ids=["float", "int64", "one-channel", "four-channels", "empty", "one-dimension", "none", "text"],
)
def test_invalid_images_are_rejected(classifier: EmotionClassifier, image: Any) -> None:
    with pytest.raises(UsageError, match="invalid frame"):
        Pipeline(FakeDetector([]), classifier)(image)
    with pytest.raises(UsageError, match="invalid image"):
        annotate(image, Result((), 0.0))
    haar = HaarDetector()
    for detect in (haar.detect, haar.detect_still, WholeFrameDetector().detect):
        with pytest.raises(UsageError, match="invalid image"):
            detect(image)


def test_frames_are_not_modified(classifier: EmotionClassifier, portrait: Image) -> None:
    before = portrait.copy()
    Pipeline(FakeDetector([Box(-5, -5, 300, 300)]), classifier)(portrait)
    assert (before == portrait).all()


@pytest.mark.parametrize(
    "options", [{"detect_every": 0}, {"detect_every": 2, "track": False}], ids=["zero", "no-tracking"]
)
def test_options_out_of_range_are_rejected(options: dict[str, Any], tiny_model: Path) -> None:
    with pytest.raises(UsageError, match="detect_every"):
        load_pipeline(model=tiny_model, **options)


def test_bundled_model_recognises_a_smile(portrait: Image) -> None:
    faces = load_pipeline()(portrait).faces
    assert [face.emotion.label for face in faces] == ["happy"]
