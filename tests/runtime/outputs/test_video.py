from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer import (
    Box,
    Emotion,
    EmotionClassifier,
    Face,
    HaarDetector,
    OutputError,
    Pipeline,
    Result,
    UsageError,
    VideoSink,
    annotate,
    run,
)
from edgeinfer.outputs.base import Sink
from edgeinfer.outputs.draw import MOSAIC, FaceBlur
from edgeinfer.results import Image
from tools.fakes import FakeDetector, FakeSource

FRAMES = [np.full((60, 80, 3), grey, np.uint8) for grey in (0, 0, 250)]


@pytest.fixture
def pipeline(classifier: EmotionClassifier) -> Pipeline:
    return Pipeline(FakeDetector([Box(10, 10, 20, 20), Box(50, 30, 20, 20)]), classifier)


def write(pipeline: Pipeline, *sinks: Sink) -> None:
    run(FakeSource(FRAMES), pipeline, sinks)


def test_video_can_be_played_and_carries_the_boxes(tmp_path: Path, pipeline: Pipeline) -> None:
    path = tmp_path / "x.mp4"
    write(pipeline, VideoSink(str(path)))
    capture = cv2.VideoCapture(str(path))
    frames = [capture.read()[1] for _ in range(3)]
    assert not capture.read()[0]
    assert frames[0].shape == (60, 80, 3)
    assert frames[0][10:30, 10].mean() > 60  # the box on a black frame


def test_pictures_of_another_size_are_fitted_into_the_video(tmp_path: Path, pipeline: Pipeline) -> None:
    images = [np.full(shape, 200, np.uint8) for shape in ((60, 80, 3), (200, 50, 3), (30, 90, 3))]
    run(FakeSource(images), pipeline, [VideoSink(str(tmp_path / "x.mp4"))])
    capture = cv2.VideoCapture(str(tmp_path / "x.mp4"))
    assert [capture.read()[1].shape for _ in range(3)] == [(60, 80, 3)] * 3


def test_a_video_must_be_mp4(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.mp4"):
        VideoSink(str(tmp_path / "x.avi"))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="folder"):
        VideoSink(str(tmp_path / "none" / "x.mp4"))


def test_an_older_video_is_kept_on_request(tmp_path: Path, pipeline: Pipeline) -> None:
    path = tmp_path / "x.mp4"
    for _ in range(3):
        write(pipeline, VideoSink(str(path), append=True))
    assert {file.name for file in tmp_path.iterdir()} == {"x.mp4", "x-1.mp4", "x-2.mp4"}
    assert all(cv2.VideoCapture(str(file)).get(cv2.CAP_PROP_FRAME_COUNT) == 3 for file in tmp_path.iterdir())


def test_an_older_video_is_replaced_otherwise(tmp_path: Path, pipeline: Pipeline) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(b"old")
    write(pipeline, VideoSink(str(path)))
    assert [file.name for file in tmp_path.iterdir()] == ["x.mp4"]
    assert cv2.VideoCapture(str(path)).isOpened()


def test_annotate_leaves_the_picture_and_marks_the_copy(pipeline: Pipeline) -> None:
    result = pipeline(FRAMES[0])
    marked = annotate(FRAMES[0], result)
    assert FRAMES[0].max() == 0
    assert marked.max() > 100
    assert annotate(FRAMES[0][:, :, 0], result).shape == (60, 80, 3)


def test_annotate_stays_inside_for_a_box_at_the_corner(classifier: EmotionClassifier) -> None:
    result = Pipeline(FakeDetector([Box(70, 0, 40, 80)]), classifier)(FRAMES[0])
    assert annotate(FRAMES[0], result).shape == (60, 80, 3)


def test_faces_are_made_unrecognizable_in_a_copy_and_for_a_second_after(portrait: Image) -> None:
    box = Box(60, 40, 130, 130)
    shown = Emotion("happy", 1.0, {"happy": 1.0})
    blur, before = FaceBlur(), portrait.copy()
    covered = blur(portrait, Result((Face(1, box, shown, shown),), 0.0))
    inner = (slice(40, 170), slice(60, 190))
    tiles = np.unique(covered[inner].reshape(-1, 3), axis=0)
    assert len(tiles) <= MOSAIC**2
    assert (portrait == before).all()
    assert (covered[:3, -3:] == portrait[:3, -3:]).all()
    assert (blur(portrait, Result((), 0.9)) == covered).all()
    assert (blur(portrait, Result((), 1.1)) == portrait).all()


def test_a_video_with_blurred_faces_shows_none(tmp_path: Path, portrait: Image, classifier: EmotionClassifier) -> None:
    path = tmp_path / "x.mp4"
    pipeline = Pipeline(HaarDetector(), classifier)
    run(FakeSource([portrait] * 3), pipeline, [VideoSink(str(path), blur=True)])
    picture = cv2.VideoCapture(str(path)).read()[1]
    assert HaarDetector().detect(portrait)
    assert not HaarDetector().detect(np.asarray(picture, dtype=np.uint8))
