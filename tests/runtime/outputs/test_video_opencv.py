"""Annotated video through OpenCV, without PyAV: each frame is shown at its time in the source."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer import CapabilityError, Frame, OutputError, Result, RunHeader, RunSummary, VideoSink, open_source
from edgeinfer.outputs import constant_rate, video
from tools.matroska import matroska

STEADY = [40 * number for number in range(12)]
CASES = {
    "steady": (STEADY, 25, 0.48),
    "gap": ([*STEADY, *(20_000 + time_ms for time_ms in STEADY)], 25, 20.48),
    "variable": ([0, 40, 80, 500, 540, 1000, 3000, 3040], 25, 3.08),
    "no-rate": (STEADY, None, 0.48),
    "rate-90000": (STEADY, 90_000, 0.48),
    "slower-than-stated": ([200 * number for number in range(12)], 30, 2.2333),
    "first-timestamp-5-s": ([5000 + time_ms for time_ms in STEADY], 25, 5.48),
    "one-frame": ([0], 25, 0.04),
}


@pytest.fixture(autouse=True)
def _no_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    video._log_once.cache_clear()


def write_video(path: Path, frames: list[Frame], fps: float | None) -> None:
    with VideoSink(str(path)) as sink:
        sink.start(RunHeader("x", fps, (), "", "", {}), lambda: RunSummary(0, 0, {}, 0.0, {}))
        for frame in frames:
            sink.write(frame, Result((), frame.timestamp_s))


def read_video(path: Path) -> tuple[float, list[int]]:
    """Return the frame rate and the brightness of each frame, divided by 10."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    rate, greys = capture.get(cv2.CAP_PROP_FPS), []
    while (read := capture.read())[0]:
        greys.append(round(float(np.mean(read[1])) / 10))
    return rate, greys


@pytest.mark.parametrize(("times_ms", "fps", "duration_s"), CASES.values(), ids=CASES)
def test_each_frame_is_shown_at_its_time(
    tmp_path: Path, times_ms: list[int], fps: float | None, duration_s: float
) -> None:
    (tmp_path / "x.mkv").write_bytes(matroska(times_ms, fps=fps))
    with open_source(tmp_path / "x.mkv") as source:
        frames = list(source)
        write_video(tmp_path / "v.mp4", frames, source.fps)
    rate, greys = read_video(tmp_path / "v.mp4")
    assert len(greys) / rate == pytest.approx(duration_s, abs=1.01 / rate)
    for number, frame in enumerate(frames):
        shown = {greys[min(len(greys) - 1, max(0, round(frame.timestamp_s * rate) + near))] for near in (-1, 0, 1)}
        assert number % 26 in shown


def grey_frames(times_s: list[float], *, live: bool = False) -> list[Frame]:
    return [
        Frame(np.full((48, 64, 3), 10 * (n % 26), np.uint8), n, time_s, 0.0 if live else None)
        for n, time_s in enumerate(times_s)
    ]


def test_slow_camera_keeps_its_timing(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", grey_frames([n / 5 for n in range(20)], live=True), 30)
    rate, greys = read_video(tmp_path / "v.mp4")
    assert rate == 10
    assert len(greys) / rate == pytest.approx(4, abs=0.2)


def test_gap_beyond_the_limit_is_shortened_and_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(constant_rate, "MAX_GAP_S", 2.0)
    with caplog.at_level(logging.WARNING):
        write_video(tmp_path / "v.mp4", grey_frames([0, 0.1, 10_000.0, 10_000.1]), 10)
    assert len(read_video(tmp_path / "v.mp4")[1]) == 24
    assert "v.mp4: gaps in the source were shortened by 9998 s" in caplog.text


def test_interruption_ends_the_repetition_of_a_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeinfer.system.interrupts.is_interrupted", lambda: True)
    write_video(tmp_path / "v.mp4", grey_frames([0, 0.1, 200.0, 200.1]), 10)
    assert len(read_video(tmp_path / "v.mp4")[1]) == 4


def test_very_small_frame_is_written(tmp_path: Path) -> None:
    frames = [Frame(np.full((1, 1, 3), 90, np.uint8), n, n / 25) for n in range(3)]
    write_video(tmp_path / "v.mp4", frames, 25)
    assert len(read_video(tmp_path / "v.mp4")[1]) == 3


def test_missing_folder_for_the_link_is_an_output_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(OutputError, match="cannot write the video"):
        write_video(tmp_path / "a%d.mp4", grey_frames([0, 0.1]), 25)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_incomplete_video_is_an_output_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    path = tmp_path / f"v{suffix}"
    create = cv2.VideoWriter

    class LosingWriter:
        """Writer whose file loses its end, as on a full disk."""

        def __init__(self, *arguments: object) -> None:
            self._writer = create(*arguments)

        def isOpened(self) -> bool:  # noqa: N802 - a name of OpenCV
            return self._writer.isOpened()

        def write(self, picture: object) -> None:
            self._writer.write(picture)  # type: ignore[call-overload]

        def release(self) -> None:
            self._writer.release()
            os.truncate(path, path.stat().st_size // 2)

        fourcc = create.fourcc

    monkeypatch.setattr(cv2, "VideoWriter", LosingWriter)
    with pytest.raises(OutputError, match="incomplete"):
        write_video(path, grey_frames([n / 25 for n in range(30)]), 25)


def test_missing_encoder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2.VideoWriter, "isOpened", lambda _: False)
    with pytest.raises(OutputError, match="MPEG-4"):
        write_video(tmp_path / "x.mp4", grey_frames([0, 0.1]), 10)
    with pytest.raises(CapabilityError, match=r"edgeinfer\[video\]"):
        write_video(tmp_path / "x.mkv", grey_frames([0, 0.1]), 10)


def test_matroska_is_written_and_one_line_names_the_extra(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("x.mkv", "y.mkv"):
        write_video(tmp_path / name, grey_frames([n / 10 for n in range(12)]), 10)
        assert read_video(tmp_path / name) == (10, list(range(12)))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "browsers do not play" in caplog.text
    assert "pip install 'edgeinfer[video]'" in caplog.text


def test_webm_needs_the_extra(tmp_path: Path) -> None:
    with pytest.raises(CapabilityError, match=r"WebM needs PyAV; .*edgeinfer\[video\]"):
        VideoSink(str(tmp_path / "x.webm"))
    assert list(tmp_path.iterdir()) == []


def test_pyav_without_the_encoder_is_replaced_by_opencv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class WithoutCodecs:
        @staticmethod
        def Codec(name: str, mode: str) -> object:  # noqa: N802 - a name of PyAV
            raise ValueError(name, mode)

    monkeypatch.setitem(sys.modules, "av", WithoutCodecs)
    write_video(tmp_path / "x.mp4", grey_frames([0, 0.1]), 10)
    assert len(read_video(tmp_path / "x.mp4")[1]) == 2
    assert "H.264 needs libx264" in caplog.text
    with pytest.raises(CapabilityError, match="libvpx-vp9"):
        VideoSink(str(tmp_path / "x.webm"))
