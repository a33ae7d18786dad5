"""Annotated video, drawing of results, and face blur."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer import (
    Box,
    CapabilityError,
    Emotion,
    EmotionClassifier,
    Face,
    HaarDetector,
    JsonlSink,
    OutputError,
    Pipeline,
    Result,
    UsageError,
    VideoSink,
    annotate,
    run,
)
from edgeinfer.outputs.base import Sink
from edgeinfer.outputs.draw import MOSAIC_TILES, FaceBlur
from edgeinfer.outputs.window import WindowSink
from edgeinfer.results import Frame, Image
from tools.fakes import FakeDetector, FakeSource

FRAMES = [np.full((60, 80, 3), grey, np.uint8) for grey in (0, 0, 250)]


@pytest.fixture
def pipeline(classifier: EmotionClassifier) -> Pipeline:
    return Pipeline(FakeDetector([Box(10, 10, 20, 20), Box(50, 30, 20, 20)]), classifier)


def write(pipeline: Pipeline, *sinks: Sink) -> None:
    run(FakeSource(FRAMES), pipeline, sinks)


def test_video_is_playable_and_shows_the_boxes(tmp_path: Path, pipeline: Pipeline) -> None:
    path = tmp_path / "x.mp4"
    write(pipeline, VideoSink(str(path)))
    capture = cv2.VideoCapture(str(path))
    frames = [capture.read()[1] for _ in range(3)]
    assert not capture.read()[0]
    assert frames[0].shape == (60, 80, 3)
    assert frames[0][10:30, 10].mean() > 60  # the box on a black frame


def test_frames_of_another_size_are_fitted_into_the_video(tmp_path: Path, pipeline: Pipeline) -> None:
    images = [np.full(shape, 200, np.uint8) for shape in ((60, 80, 3), (200, 50, 3), (30, 90, 3))]
    run(FakeSource(images), pipeline, [VideoSink(str(tmp_path / "x.mp4"))])
    capture = cv2.VideoCapture(str(tmp_path / "x.mp4"))
    assert [capture.read()[1].shape for _ in range(3)] == [(60, 80, 3)] * 3


def test_suffix_must_be_that_of_a_video(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.mp4, \.mkv or \.webm"):
        VideoSink(str(tmp_path / "x.avi"))


def test_missing_folder_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="folder"):
        VideoSink(str(tmp_path / "none" / "x.mp4"))


def test_append_keeps_an_existing_video(tmp_path: Path, pipeline: Pipeline) -> None:
    path = tmp_path / "x.mp4"
    for _ in range(3):
        write(pipeline, VideoSink(str(path), append=True))
    assert {file.name for file in tmp_path.iterdir()} == {"x.mp4", "x-1.mp4", "x-2.mp4"}
    assert all(cv2.VideoCapture(str(file)).get(cv2.CAP_PROP_FRAME_COUNT) == 3 for file in tmp_path.iterdir())


def test_existing_video_is_replaced(tmp_path: Path, pipeline: Pipeline) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(b"old")
    write(pipeline, VideoSink(str(path)))
    assert [file.name for file in tmp_path.iterdir()] == ["x.mp4"]
    assert cv2.VideoCapture(str(path)).isOpened()


def test_annotate_draws_on_a_copy(pipeline: Pipeline) -> None:
    result = pipeline(FRAMES[0])
    annotated = annotate(FRAMES[0], result)
    assert FRAMES[0].max() == 0
    assert annotated.max() > 100
    assert annotate(FRAMES[0][:, :, 0], result).shape == (60, 80, 3)


def test_annotate_accepts_a_box_across_the_corner(classifier: EmotionClassifier) -> None:
    result = Pipeline(FakeDetector([Box(70, 0, 40, 80)]), classifier)(FRAMES[0])
    assert annotate(FRAMES[0], result).shape == (60, 80, 3)


def test_blur_covers_faces_in_a_copy_for_another_second(portrait: Image) -> None:
    box = Box(60, 40, 130, 130)
    emotion = Emotion("happy", 1.0, {"happy": 1.0})
    blur, before = FaceBlur(), portrait.copy()
    covered = blur(Frame(portrait, 0, 0.0), Result((Face(1, box, emotion, emotion),), 0.0))
    inner = (slice(40, 170), slice(60, 190))
    tiles = np.unique(covered[inner].reshape(-1, 3), axis=0)
    assert len(tiles) <= MOSAIC_TILES**2
    assert (portrait == before).all()
    assert (covered[:3, -3:] == portrait[:3, -3:]).all()
    assert (blur(Frame(portrait, 1, 0.9), Result((), 0.9)) == covered).all()
    assert (blur(Frame(portrait, 2, 1.1), Result((), 1.1)) == portrait).all()


def test_blur_of_a_picture_is_independent_of_the_previous_picture(portrait: Image) -> None:
    emotion = Emotion("happy", 1.0, {"happy": 1.0})
    blur, faces = FaceBlur(), (Face(1, Box(60, 40, 130, 130), emotion, emotion),)
    first, second = (Frame(portrait, number, number / 30, picture=f"{number}.jpg") for number in range(2))
    assert (blur(first, Result(faces, 0.0)) != portrait).any()
    assert (blur(second, Result((), 1 / 30)) == portrait).all()


def test_no_face_is_detected_in_a_blurred_video(tmp_path: Path, portrait: Image, classifier: EmotionClassifier) -> None:
    path = tmp_path / "x.mp4"
    pipeline = Pipeline(HaarDetector(), classifier)
    run(FakeSource([portrait] * 3), pipeline, [VideoSink(str(path), blur=True)])
    picture = cv2.VideoCapture(str(path)).read()[1]
    assert HaarDetector().detect(portrait)
    assert not HaarDetector().detect(np.asarray(picture, dtype=np.uint8))


def test_existing_video_is_kept_if_the_source_has_no_frame(tmp_path: Path, pipeline: Pipeline) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(b"old")
    run(FakeSource([]), pipeline, [VideoSink(str(path))])
    assert path.read_bytes() == b"old"


def test_window_shows_frames_until_q_is_pressed(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    keys = iter([-1, ord("q")])
    for name in ("namedWindow", "setWindowTitle", "imshow", "destroyWindow"):
        monkeypatch.setattr(cv2, name, lambda *_, name=name: calls.append(name))
    monkeypatch.setattr(cv2, "waitKey", lambda _: next(keys))
    window = WindowSink()
    assert calls == [], "the constructor opens no window"
    assert run(FakeSource(FRAMES), pipeline, [window]).frames == 1
    assert calls == ["namedWindow", "setWindowTitle", "imshow", "imshow", "destroyWindow"]


def test_window_without_gui_support_is_a_capability_error(
    tmp_path: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise cv2.error("no GUI")

    monkeypatch.setattr(cv2, "namedWindow", fail)
    with pytest.raises(CapabilityError, match="cannot open a window"):
        write(pipeline, JsonlSink(str(tmp_path / "x.jsonl")), WindowSink())
    assert list(tmp_path.iterdir()) == []
