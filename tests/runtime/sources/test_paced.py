"""Playback of a video in real time without dropped frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.results import Frame
from edgeinfer.sources.factory import open_playback
from edgeinfer.sources.paced import MAX_PAUSE_S, PacedSource
from tools.fakes import FakeSource

PICTURE = np.zeros((2, 2, 3), np.uint8)


class TimedSource(FakeSource):
    """Source of frames with given timestamps, of which it skipped one more with each."""

    def __init__(self, times_s: Sequence[float]) -> None:
        super().__init__([PICTURE] * len(times_s))
        self._times_s = times_s

    def __iter__(self):  # type: ignore[no-untyped-def]
        for index, time_s in enumerate(self._times_s):
            self.skipped = index + 1
            yield Frame(PICTURE, index, time_s)


def play(times_s: Sequence[float], processing_s: Sequence[float]) -> list[float]:
    """Return the time at which each frame is yielded, if processing the frames takes the given times."""
    now_s = 100.0

    def sleep(duration_s: float) -> None:
        nonlocal now_s
        now_s += duration_s

    yielded: list[float] = []
    source = TimedSource(times_s)
    with PacedSource(source, clock=lambda: now_s, sleep=sleep) as paced:
        for frame, took_s in zip(paced, processing_s, strict=True):
            assert frame.timestamp_s == times_s[len(yielded)]
            yielded.append(round(now_s - 100, 3))
            now_s += took_s
        assert paced.skipped == len(times_s)
    assert source.closed
    return yielded


@pytest.mark.parametrize(
    ("times_s", "processing_s", "expected"),
    [
        pytest.param([0, 0.5, 0.6, 2], [0.1] * 4, [0, 0.5, 0.6, 2], id="fast-consumer"),
        pytest.param([7, 7.5, 8], [0] * 3, [0, 0.5, 1], id="late-first-timestamp"),
        pytest.param([0, 0.5, 1, 1.5], [0.7, 0, 0, 0], [0, 0.7, 1, 1.5], id="short-delay-is-caught-up"),
        pytest.param([0, 0.5, 1, 1.5], [9, 0, 0, 0], [0, 9, 9.5, 10], id="long-delay-is-not"),
        pytest.param([0, 1, 2, 3], [1.5] * 4, [0, 1.5, 3, 4.5], id="slow-consumer-receives-every-frame"),
        pytest.param([0, 5000, 5001], [0] * 3, [0, MAX_PAUSE_S, MAX_PAUSE_S + 1], id="gap"),
    ],
)
def test_frames_are_yielded_when_they_are_due(
    times_s: list[float], processing_s: list[float], expected: list[float]
) -> None:
    assert play(times_s, processing_s) == expected


def test_only_video_files_are_paced(clip: Path, face_picture: Path) -> None:
    with open_playback(clip) as video, open_playback(face_picture) as pictures:
        assert isinstance(video, PacedSource)
        assert not isinstance(pictures, PacedSource)
        assert (video.live, video.continuous, video.frame_count, video.name) == (False, True, 25, str(clip))
