from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer import SourceError, UsageError
from edgeinfer.sources.base import Capture
from edgeinfer.sources.pipe import PipeSource, jpeg_end

GREYS = (40, 120, 200)


def jpeg(grey: int, size_wh: tuple[int, int] = (48, 32)) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((size_wh[1], size_wh[0], 3), grey, np.uint8))[1])


def with_thumbnail(picture: bytes) -> bytes:
    """A whole JPEG inside of an application segment, as cameras write it."""
    inner = jpeg(9, (16, 16))
    return picture[:2] + b"\xff\xe1" + (2 + len(inner)).to_bytes(2, "big") + inner + picture[2:]


class Dripping(io.RawIOBase):
    """Gives a few bytes at a time, as pipes may."""

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
    ids=["bare", "multipart", "fill"],
)
def test_every_picture_of_mjpeg_is_found_however_it_arrives(step: int, between: bytes) -> None:
    data = between.join([b"", *map(jpeg, GREYS)])
    source = PipeSource(Dripping(data, step), Capture(fps=10))  # type: ignore[arg-type]
    frames = list(source)
    assert [round(float(frame.image.mean())) for frame in frames] == list(GREYS)
    assert [frame.timestamp_s for frame in frames] == pytest.approx([0, 0.1, 0.2])
    assert {frame.image.shape for frame in frames} == {(32, 48, 3)}
    assert source.skipped == 0


def test_a_thumbnail_is_no_picture_of_its_own() -> None:
    picture = with_thumbnail(jpeg(120))
    assert jpeg_end(picture + b"rest", 0) == len(picture)
    assert greys(PipeSource(io.BytesIO(picture * 2), Capture())) == [120, 120]


def test_damaged_pictures_are_left_out_and_counted() -> None:
    broken = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xd9"
    source = PipeSource(io.BytesIO(jpeg(40) + broken + jpeg(200)), Capture(fps=10))
    with pytest.warns(UserWarning, match="1 damaged frame"):
        frames = list(source)
    assert [frame.index for frame in frames] == [0, 2]
    assert [frame.timestamp_s for frame in frames] == pytest.approx([0, 0.2])


@pytest.mark.parametrize("data", [b"", b"hello " * 1000, b"\xff\xd8\xff\xe0"], ids=["nothing", "text", "a-beginning"])
def test_what_holds_no_picture_is_an_error(data: bytes) -> None:
    with pytest.raises(SourceError, match="gave no picture"):
        list(PipeSource(io.BytesIO(data), Capture()))


def test_a_picture_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeinfer.sources.pipe.LARGEST_JPEG", 100_000)
    scan = jpeg(40)[:-2] + bytes(300_000)
    with pytest.raises(SourceError, match="does not end"):
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
def test_raw_frames_are_cut_by_their_size(pixels: str, data: Any, tolerance: int) -> None:
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
    ("wanted", "words"),
    [
        (Capture(pixels="bgr24"), "need their size"),
        (Capture(pixels="nv12", size_wh=(6, 4)), "no pixels are called nv12"),
        (Capture(pixels="yuv420p", size_wh=(5, 4)), "even sides"),
    ],
    ids=["size", "layout", "odd"],
)
def test_raw_frames_must_be_described(wanted: Capture, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        PipeSource(io.BytesIO(), wanted)


def test_the_command_reads_a_pipe(tmp_path: Path) -> None:
    out = tmp_path / "x.jsonl"
    command = [sys.executable, "-m", "edgeinfer", "run", "-", "--detector", "none", "--quiet", "--out", str(out)]
    subprocess.run(command, input=b"".join(map(jpeg, GREYS)), check=True, timeout=60)
    assert len(out.read_text().splitlines()) == 5


def test_damaged_bytes_are_told_in_our_words_alone() -> None:
    cut = bytearray(jpeg(120, (64, 64)) * 3)
    second = len(cut) // 3
    cut[second + 200 : second * 2 - 2] = bytes(second - 202)
    command = [sys.executable, "-m", "edgeinfer", "run", "-", "--detector", "none", "--quiet"]
    done = subprocess.run(command, input=bytes(cut), check=True, timeout=60, stderr=subprocess.PIPE)
    assert all(line.startswith(b"edgeinfer: ") for line in done.stderr.splitlines())
