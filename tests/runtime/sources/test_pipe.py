from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer import SourceError, UsageError
from edgeinfer.sources.base import Capture
from edgeinfer.sources.mjpeg import JpegSplitter
from edgeinfer.sources.pipe import PipeSource
from tools.cli import edgeinfer

GREYS = (40, 120, 200)


def jpeg(grey: int, size_wh: tuple[int, int] = (48, 32)) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((size_wh[1], size_wh[0], 3), grey, np.uint8))[1])


def with_thumbnail(picture: bytes) -> bytes:
    """Return the JPEG with another complete JPEG in an application segment, as cameras write it."""
    inner = jpeg(9, (16, 16))
    return picture[:2] + b"\xff\xe1" + (2 + len(inner)).to_bytes(2, "big") + inner + picture[2:]


class SlowPipe(io.RawIOBase):
    """Pipe that returns at most `step` bytes per read."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data, self._step = io.BytesIO(data), step

    def read(self, _size: int = -1) -> bytes:
        return self._data.read(self._step)


def greys(source: PipeSource) -> list[int]:
    return [round(float(frame.image.mean())) for frame in source]


@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize(
    "between",
    [b"", b"\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n", b"\xff\xff\x00"],
    ids=["no-separator", "multipart", "fill-bytes"],
)
def test_mjpeg_is_split_into_pictures_for_any_read_size(step: int, between: bytes) -> None:
    data = between.join([b"", *map(jpeg, GREYS)])
    source = PipeSource(SlowPipe(data, step), Capture(fps=10))  # type: ignore[arg-type]
    frames = list(source)
    assert [round(float(frame.image.mean())) for frame in frames] == list(GREYS)
    assert [frame.timestamp_s for frame in frames] == pytest.approx([0, 0.1, 0.2])
    assert {frame.image.shape for frame in frames} == {(32, 48, 3)}
    assert source.skipped == 0


def test_thumbnail_does_not_end_its_picture() -> None:
    picture = with_thumbnail(jpeg(120))
    splitter = JpegSplitter()
    assert [found.data for found in splitter.feed(picture + b"rest")] == [picture]
    assert greys(PipeSource(io.BytesIO(picture * 2), Capture())) == [120, 120]


def test_damaged_pictures_are_skipped_and_counted() -> None:
    broken = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xd9"
    source = PipeSource(io.BytesIO(jpeg(40) + broken + jpeg(200)), Capture(fps=10))
    with pytest.warns(UserWarning, match="1 damaged frame"):
        frames = list(source)
    assert [frame.index for frame in frames] == [0, 2]
    assert [frame.timestamp_s for frame in frames] == pytest.approx([0, 0.2])


@pytest.mark.parametrize("data", [b"", b"hello " * 1000, b"\xff\xd8\xff\xe0"], ids=["empty", "text", "truncated"])
def test_input_without_a_picture_is_rejected(data: bytes) -> None:
    with pytest.raises(SourceError, match="contains no picture"):
        list(PipeSource(io.BytesIO(data), Capture()))


def test_endless_picture_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeinfer.sources.mjpeg.MAX_JPEG_BYTES", 100_000)
    scan = jpeg(40)[:-2] + bytes(300_000)
    with pytest.raises(SourceError, match="a picture has no end"):
        list(PipeSource(io.BytesIO(scan), Capture()))


COLOUR = np.zeros((4, 6, 3), np.uint8) + np.array([200, 90, 30], np.uint8)


@pytest.mark.parametrize(
    ("pixels", "data", "tolerance"),
    [
        ("bgr24", COLOUR, 0),
        ("rgb24", COLOUR[..., ::-1], 0),
        ("yuv420p", cv2.cvtColor(COLOUR, cv2.COLOR_BGR2YUV_I420), 3),
    ],
    ids=["bgr24", "rgb24", "yuv420p"],
)
def test_raw_frames_are_split_by_their_size(pixels: str, data: Any, tolerance: int) -> None:
    pipe = io.BytesIO(np.ascontiguousarray(data).tobytes() * 3 + b"half")
    source = PipeSource(pipe, Capture(size_wh=(6, 4), pixels=pixels))
    with pytest.warns(UserWarning, match="1 damaged"):
        frames = list(source)
    assert len(frames) == 3
    for frame in frames:
        np.testing.assert_allclose(frame.image.astype(int), COLOUR.astype(int), atol=tolerance)


def test_grey_frames_become_bgr() -> None:
    frames = list(PipeSource(io.BytesIO(bytes(range(24))), Capture(size_wh=(6, 4), pixels="gray")))
    assert frames[0].image.shape == (4, 6, 3)
    assert frames[0].image[3, 5].tolist() == [23, 23, 23]


@pytest.mark.parametrize(
    ("capture", "message"),
    [
        (Capture(pixels="bgr24"), "require `size`"),
        (Capture(pixels="nv12", size_wh=(6, 4)), "invalid `pixels` 'nv12'"),
        (Capture(pixels="yuv420p", size_wh=(5, 4)), "an even width and height"),
    ],
    ids=["no-size", "unknown-layout", "odd-width"],
)
def test_incomplete_or_invalid_raw_settings_are_rejected(capture: Capture, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        PipeSource(io.BytesIO(), capture)


def test_command_reads_from_a_pipe(tmp_path: Path) -> None:
    out = tmp_path / "x.jsonl"
    command = [sys.executable, "-m", "edgeinfer", "run", "-", "--detector", "none", "--quiet", "--out", str(out)]
    subprocess.run(command, input=b"".join(map(jpeg, GREYS)), check=True, timeout=60)
    assert len(out.read_text().splitlines()) == 5


def test_damaged_data_causes_no_messages_of_the_jpeg_library(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = bytearray(jpeg(120, (64, 64)) * 3)
    second = len(cut) // 3
    cut[second + 200 : second * 2 - 2] = bytes(second - 202)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bytes(cut))))
    done = edgeinfer("run", "-", "--detector", "none", "--quiet")
    assert done.returncode == 0
    assert all(line.startswith("edgeinfer: ") for line in done.stderr.splitlines())


class DelayedPipe(io.BytesIO):
    """Pipe that delays each read on a fake clock, the first one for longer.

    Attributes:
        now_s: Time of the clock.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.now_s, self._delays_s = 100.0, iter([7.0, 0.5, 0.5])

    def read(self, size: int | None = -1) -> bytes:
        self.now_s += next(self._delays_s, 0.0)
        return super().read(size)


def test_timestamps_count_from_the_arrival_of_the_first_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = DelayedPipe(COLOUR.tobytes() * 3)
    monkeypatch.setattr(time, "monotonic", lambda: pipe.now_s)
    frames = list(PipeSource(pipe, Capture(size_wh=(6, 4), pixels="bgr24")))
    assert [frame.timestamp_s for frame in frames] == [0.0, 0.5, 1.0]
    assert [frame.captured_s for frame in frames] == [107.0, 107.5, 108.0]
