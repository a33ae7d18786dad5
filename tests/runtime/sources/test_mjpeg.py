"""Splitting of MJPEG streams, including hostile ones, in linear time and bounded memory."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc

import pytest

from edgeinfer import SourceError
from edgeinfer.sources import mjpeg
from edgeinfer.sources.base import Capture
from edgeinfer.sources.mjpeg import JpegSplitter
from edgeinfer.sources.pipe import PipeSource
from tools.matroska import grey_jpeg

GOOD = grey_jpeg(90)
SCAN = GOOD.index(b"\xff\xda")


def with_size(picture: bytes, width: int, height: int) -> bytes:
    at = picture.index(b"\xff\xc0") + 5
    return picture[:at] + struct.pack(">HH", height, width) + picture[at + 4 :]


def split(data: bytes, step: int = 1 << 16) -> list[mjpeg.JpegPicture]:
    splitter = JpegSplitter()
    pictures = [found for at in range(0, len(data), step) for found in splitter.feed(data[at : at + step])]
    return [*pictures, *splitter.finish()]


@pytest.mark.parametrize("step", [1, 3, 1 << 16])
def test_pictures_are_found_with_their_sizes_for_any_read_size(step: int) -> None:
    large = grey_jpeg(20, (200, 100))
    assert [(found.data, found.size_wh) for found in split(b"--frame\r\n" + GOOD + b"\r\n" + large, step)] == [
        (GOOD, (64, 48)),
        (large, (200, 100)),
    ]


@pytest.mark.parametrize(
    ("damaged", "skipped"),
    [
        (with_size(GOOD, 32_000, 32_000), 1),
        (with_size(GOOD, 0, 48), 1),
        (GOOD[: SCAN + 30], 1),
        (b"\xff\xd8\xff\xe0\0\x01", 1),
        (b"\xff\xd8\xff\xd9", 1),
        (b"\xff\xd8\xff" * 3, 3),
    ],
    ids=["absurd-size", "no-width", "cut-in-its-scan", "segment-of-length-1", "without-header", "starts-only"],
)
def test_damaged_or_absurd_picture_is_counted_and_the_next_one_is_read(damaged: bytes, skipped: int) -> None:
    source = PipeSource(io.BytesIO(GOOD * 2 + damaged + GOOD * 3), Capture(fps=10))
    with pytest.warns(UserWarning, match=f"skipped {skipped} damaged"):
        frames = list(source)
    assert [frame.index for frame in frames] == [0, 1, *range(2 + skipped, 5 + skipped)]


def test_size_limit_is_adjustable() -> None:
    with pytest.raises(SourceError, match="contains no picture"):
        list(PipeSource(io.BytesIO(GOOD * 2), Capture(max_megapixels=0.001)))


def test_picture_without_an_end_is_discarded_and_the_next_one_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mjpeg, "MAX_JPEG_BYTES", 100_000)
    source = PipeSource(io.BytesIO(GOOD + GOOD[:-2] + bytes(150_000) + GOOD), Capture(fps=10))
    with pytest.warns(UserWarning, match="skipped 1 damaged"):
        assert [frame.index for frame in source] == [0, 2]


@pytest.mark.parametrize(
    "unit",
    [b"\xff\xe0\0\x02", b"\xff\x00", b"\xff", b"\xff\xd8\xff", b"\xff\xd8\xff\xd9", b"\xff\xd0", b"\0"],
    ids=["empty-segments", "stuffed-bytes", "fill-bytes", "starts", "empty-pictures", "restarts", "zeros"],
)
@pytest.mark.parametrize("start", [b"", GOOD[:2], GOOD[:-2]], ids=["bare", "header", "scan"])
def test_time_is_proportional_to_the_length(unit: bytes, start: bytes) -> None:
    def seconds(length: int) -> float:
        data = start + unit * (length // len(unit))
        started_s = time.process_time()
        split(data)
        return time.process_time() - started_s

    short_s = min(seconds(40_000) for _ in range(3))
    assert min(seconds(320_000) for _ in range(2)) < 8 * 5 * max(short_s, 0.002)


def test_memory_is_bounded_for_data_without_a_picture() -> None:
    splitter = JpegSplitter()
    tracemalloc.start()
    for _ in range(200):
        assert not list(splitter.feed(bytes(50_000)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500_000
