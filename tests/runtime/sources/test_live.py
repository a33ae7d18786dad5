"""Live sources on fake ones, whose pace the tests set: no camera, no clock that must be met."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgeinfer import Box, EmotionClassifier, Pipeline, SourceLostError, UsageError, open_source, run
from edgeinfer.cli.progress import format_summary
from edgeinfer.results import Frame
from edgeinfer.sources import factory as sources
from edgeinfer.sources.base import Source
from edgeinfer.sources.live import LiveSource
from edgeinfer.sources.video import VideoSource
from tools.fakes import FakeDetector, FakeSource

PICTURE = np.full((60, 80, 3), 250, np.uint8)
PATIENCE_S = 30
"""How long a test waits for another thread before it fails."""


class Camera(FakeSource):
    """Gives a frame for every `show`, and waits in between."""

    def __init__(self) -> None:
        super().__init__([])
        self.live, self.frame_count = True, None
        self._ticks, self._waiting = threading.Semaphore(0), threading.Semaphore(0)
        self._lost = False
        self.released_by = ""

    def show(self, frames: int = 1) -> None:
        self._ticks.release(frames)

    def settle(self, frames: int = 1) -> None:
        """Wait until the reader has come back for the next frame so many times."""
        for _ in range(frames):
            assert self._waiting.acquire(timeout=PATIENCE_S)

    def lose(self) -> None:
        self._lost = True
        self._ticks.release()

    def __iter__(self) -> Iterator[Frame]:
        for index in itertools.count():
            self._ticks.acquire()
            if self._lost:
                raise SourceLostError("the camera was lost")
            yield Frame(PICTURE, index, index / 30, time.monotonic())
            self._waiting.release()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.released_by = threading.current_thread().name


class CountingCondition(threading.Condition):
    """Counts how often somebody goes to sleep on it."""

    waits = 0

    def wait(self, timeout: float | None = None) -> bool:
        self.waits += 1
        return super().wait(timeout)


def test_the_newest_frame_is_given_and_the_others_are_counted() -> None:
    camera = Camera()
    with LiveSource(camera) as source:
        assert isinstance(source, Source)
        frames = iter(source)
        camera.show()
        given = [next(frames)]
        camera.settle()
        for shown in (4, 1, 3):
            camera.show(shown)
            camera.settle(shown)
            given.append(next(frames))
        assert [frame.index for frame in given] == [0, 4, 5, 8]
        assert source.dropped == 5
        camera.lose()
        with pytest.raises(SourceLostError):
            next(frames)
    assert camera.closed
    assert camera.released_by == "read fake"


def test_what_was_read_before_the_loss_is_still_given() -> None:
    given: list[int] = []
    with LiveSource(FakeSource([PICTURE] * 3, error=SourceLostError("gone"))) as source:
        with pytest.raises(SourceLostError, match="gone"):
            given.extend(frame.index for frame in source)
        assert given[-1] == 2
        assert len(given) + source.dropped == 3


def test_waiting_is_sleeping_not_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "Condition", CountingCondition)
    camera = Camera()
    with LiveSource(camera) as source:
        condition = source._condition
        assert isinstance(condition, CountingCondition)
        threading.Timer(0.3, camera.show).start()
        next(iter(source))
        assert condition.waits == 1
        camera.lose()


def test_closing_leaves_a_stuck_read_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeinfer.sources.live.CLOSING_S", 0.05)
    camera = Camera()
    with LiveSource(camera) as source:
        camera.show()
        next(iter(source))
        camera.settle()  # the next read waits for a frame that does not come
    readers = [thread for thread in threading.enumerate() if thread.name == "read fake"]
    assert [thread.daemon for thread in readers] == [True]  # so the program may end
    assert not camera.closed  # a capture must not be released during a read
    camera.lose()
    readers[0].join(PATIENCE_S)
    assert camera.closed


def test_a_source_that_nobody_read_is_closed_too() -> None:
    camera = Camera()
    with LiveSource(camera):
        pass
    assert camera.closed


class FastFile(FakeSource):
    """Ten seconds of video that are read in no time."""

    def __init__(self) -> None:
        super().__init__([PICTURE] * 300)
        self.live = False


def test_a_file_played_live_keeps_its_pace_and_can_be_broken_off() -> None:
    file, started_s = FastFile(), time.monotonic()
    with LiveSource(file, paced=True) as source:
        for frame in source:
            assert frame.captured_s is not None
            assert frame.captured_s >= started_s + frame.timestamp_s
            if frame.timestamp_s > 0.2:
                break
    assert file.closed


def test_a_slow_reader_of_a_file_played_live_skips_frames(clip: Path) -> None:
    given = []
    with open_source(clip, mode="live") as source:
        for frame in source:
            given.append(frame.index)
            time.sleep(0.2)
    assert source.dropped > 0
    assert len(given) + source.dropped == 25
    assert given[-1] == 24


@pytest.mark.parametrize(
    ("mode", "live", "kind"),
    [("auto", True, LiveSource), ("file", True, VideoSource), ("live", True, LiveSource)],
)
def test_which_mode_a_camera_gets(
    monkeypatch: pytest.MonkeyPatch, mode: sources.Mode, live: bool, kind: type[object]
) -> None:
    class Capture:
        def get(self, key: int) -> float:
            return -1.0

        def release(self) -> None:
            pass

    camera = VideoSource(Capture(), name="camera", live=True)  # type: ignore[arg-type]
    monkeypatch.setattr(sources, "open_camera", lambda *_: camera)
    with open_source(0, mode=mode) as source:
        assert type(source) is kind
        assert source.live is live


@pytest.mark.parametrize(("mode", "kind"), [("auto", VideoSource), ("file", VideoSource), ("live", LiveSource)])
def test_which_mode_a_file_gets(clip: Path, mode: sources.Mode, kind: type[object]) -> None:
    with open_source(clip, mode=mode) as source:
        assert type(source) is kind


def test_pictures_are_not_played(face_picture: Path) -> None:
    with pytest.raises(UsageError, match="no time"):
        open_source(face_picture, mode="live")
    with pytest.raises(UsageError, match="auto, file, live"):
        open_source(face_picture, mode="fast")  # type: ignore[arg-type]


def test_a_live_run_tells_its_delay_and_its_drops(classifier: EmotionClassifier, clip: Path) -> None:
    def pipeline() -> Pipeline:
        return Pipeline(FakeDetector([Box(10, 10, 20, 20)]), classifier)

    with open_source(clip, mode="live") as source:
        live = run(source, pipeline())
    assert live.dropped is not None
    assert live.frames + live.dropped == 25
    assert live.delay_ms is not None
    assert 0 < live.delay_ms["p50"] <= live.delay_ms["p95"]
    assert "from capture to result" in format_summary(live)
    with open_source(clip) as source:
        file = run(source, pipeline())
    assert (file.delay_ms, file.dropped) == (None, None)
    assert "live" not in format_summary(file)
