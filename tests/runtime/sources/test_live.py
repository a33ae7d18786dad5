"""Live sources on fake cameras that deliver frames on request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer import Box, EmotionClassifier, Pipeline, SourceLostError, UsageError, open_source, run
from edgeinfer.cli.progress import format_summary
from edgeinfer.results import SourceState
from edgeinfer.sources import factory
from edgeinfer.sources.base import Mode, ReconnectingSource, Source
from edgeinfer.sources.live import LiveSource
from edgeinfer.sources.retry import Patience
from edgeinfer.sources.video import VideoSource
from edgeinfer.system import interrupts
from tools.fakes import FakeDetector, FakeSource
from tools.live_sources import PICTURE, TIMEOUT_S, StepCamera


class CountingCondition(threading.Condition):
    """Clock that counts its waits and calls a function during each."""

    waits = 0
    on_wait: Callable[[], None] | None = None

    def wait(self, timeout: float | None = None) -> bool:
        self.waits += 1
        if self.on_wait is not None:
            self.on_wait()
        return super().wait(timeout)


def test_newest_frame_is_yielded_and_the_others_are_counted() -> None:
    camera = StepCamera()
    with LiveSource(camera) as source:
        assert isinstance(source, Source)
        frames = iter(source)
        camera.show()
        received = [next(frames)]
        camera.wait_until_read()
        for shown in (4, 1, 3):
            camera.show(shown)
            camera.wait_until_read(shown)
            received.append(next(frames))
        assert [frame.index for frame in received] == [0, 4, 5, 8]
        assert source.dropped == 5
        camera.lose()
        with pytest.raises(SourceLostError):
            next(frames)
    assert camera.closed
    assert camera.released_by == "read fake"


def test_last_frame_before_a_loss_is_yielded() -> None:
    received: list[int] = []
    with LiveSource(FakeSource([PICTURE] * 3, error=SourceLostError("gone"))) as source:
        with pytest.raises(SourceLostError, match="gone"):
            received.extend(frame.index for frame in source)
        assert received[-1] == 2
        assert len(received) + source.dropped == 3


def test_waiting_for_a_frame_does_not_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "Condition", CountingCondition)
    camera = StepCamera()
    with LiveSource(camera) as source:
        condition = source._condition
        assert isinstance(condition, CountingCondition)
        condition.on_wait = camera.show
        next(iter(source))
        assert condition.waits == 1
        camera.lose()


def test_interruptions_are_checked_while_the_iteration_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    camera, checks = StepCamera(), []

    def stop() -> None:
        checks.append(1)
        if len(checks) == 2:
            raise KeyError("stop")

    monkeypatch.setattr(interrupts, "are_checked", lambda: True)
    monkeypatch.setattr(interrupts, "check", stop)
    with LiveSource(camera) as source:
        frames = iter(source)
        camera.show()
        next(frames)
        checks.clear()
        with pytest.raises(KeyError, match="stop"):
            next(frames)
        camera.lose()


def test_closing_abandons_a_hanging_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeinfer.sources.live.CLOSING_S", 0.05)
    camera = StepCamera()
    with LiveSource(camera) as source:
        camera.show()
        next(iter(source))
        camera.wait_until_read()  # the next read blocks
    readers = [thread for thread in threading.enumerate() if thread.name == "read fake"]
    assert [thread.daemon for thread in readers] == [True]  # does not block process exit
    assert not camera.closed  # a capture must not be released during a read
    camera.lose()
    readers[0].join(TIMEOUT_S)
    assert camera.closed


def test_source_that_was_never_iterated_is_closed() -> None:
    camera = StepCamera()
    with LiveSource(camera):
        pass
    assert camera.closed


def test_listeners_are_called_in_addition_to_the_application_callback() -> None:
    received: dict[str, list[SourceState]] = {"application": [], "first": [], "second": []}
    with LiveSource(FakeSource([PICTURE])) as source:
        assert isinstance(source, ReconnectingSource)
        source.listener = received["application"].append
        source.add_state_listener(received["first"].append)
        source.add_state_listener(received["second"].append)
        list(source)
    assert [change.state for change in received["application"]] == ["connecting", "live"]
    assert received["first"] == received["second"] == received["application"]


@pytest.mark.parametrize(("retries", "waits"), [(None, False), (0, False), (1, True), ("forever", True)])
def test_source_may_be_absent_at_start_only_with_retries(retries: int | None, waits: bool) -> None:
    with LiveSource(FakeSource([]), patience=Patience(retries=retries)) as source:
        assert source.waits_for_source is waits


def test_plain_sources_do_not_reconnect() -> None:
    assert not isinstance(FakeSource([]), ReconnectingSource)


class FastFile(FakeSource):
    """Ten seconds of video that can be read without delay."""

    def __init__(self) -> None:
        super().__init__([PICTURE] * 300)
        self.live = False


def test_file_played_live_keeps_its_frame_rate_and_can_be_interrupted() -> None:
    file, started_s = FastFile(), time.monotonic()
    with LiveSource(file, paced=True) as source:
        for frame in source:
            assert frame.captured_s is not None
            assert frame.captured_s >= started_s + frame.timestamp_s
            if frame.timestamp_s > 0.2:
                break
    assert file.closed


@pytest.fixture(scope="module")
def fast_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25-frame video at 125 frames per second."""
    path = tmp_path_factory.mktemp("clip") / "fast.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 125, (64, 48))
    for number in range(25):
        writer.write(np.full((48, 64, 3), 10 * number, np.uint8))
    writer.release()
    return path


def test_slow_consumer_of_a_file_played_live_skips_frames(fast_clip: Path) -> None:
    received = []
    with open_source(fast_clip, mode="live") as source:
        for frame in source:
            received.append(frame.index)
            time.sleep(0.04)
    assert source.dropped > 0
    assert len(received) + source.dropped == 25
    assert received[-1] == 24


@pytest.mark.parametrize(
    ("mode", "live", "kind"),
    [("auto", True, LiveSource), ("file", True, VideoSource), ("live", True, LiveSource)],
)
def test_mode_selects_the_source_of_a_camera(
    monkeypatch: pytest.MonkeyPatch, mode: Mode, live: bool, kind: type[object]
) -> None:
    class FakeVideo:
        def get(self, key: int) -> float:
            return -1.0

        def release(self) -> None:
            pass

    camera = VideoSource(FakeVideo(), name="camera", live=True)  # type: ignore[arg-type]
    monkeypatch.setattr(factory, "open_numbered_camera", lambda *_: camera)
    with open_source(0, mode=mode) as source:
        assert type(source) is kind
        assert source.live is live


@pytest.mark.parametrize(("mode", "kind"), [("auto", VideoSource), ("file", VideoSource), ("live", LiveSource)])
def test_mode_selects_the_source_of_a_file(clip: Path, mode: Mode, kind: type[object]) -> None:
    with open_source(clip, mode=mode) as source:
        assert type(source) is kind


def test_live_mode_of_pictures_and_unknown_modes_are_rejected(face_picture: Path) -> None:
    with pytest.raises(UsageError, match="no timestamps"):
        open_source(face_picture, mode="live")
    with pytest.raises(UsageError, match="auto, file, live"):
        open_source(face_picture, mode="fast")  # type: ignore[arg-type]


def test_summary_of_a_live_run_contains_delay_and_drops(classifier: EmotionClassifier, fast_clip: Path) -> None:
    def pipeline() -> Pipeline:
        return Pipeline(FakeDetector([Box(10, 10, 20, 20)]), classifier)

    with open_source(fast_clip, mode="live") as source:
        live = run(source, pipeline())
    assert live.dropped is not None
    assert live.frames + live.dropped == 25
    assert live.delay_ms is not None
    assert 0 < live.delay_ms["p50"] <= live.delay_ms["p95"]
    assert "from capture to result" in format_summary(live)
    with open_source(fast_clip) as source:
        file = run(source, pipeline())
    assert (file.delay_ms, file.dropped) == (None, None)
    assert "live" not in format_summary(file)
