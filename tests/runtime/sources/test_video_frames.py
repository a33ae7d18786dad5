"""Shape of the frames of a video: square pixels, orientation and the size limit."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import pytest

from edgeinfer import SourceError, open_source
from edgeinfer.sources.base import Capture, Turn
from tools.matroska import grey_jpeg, matroska


def shape(path: Path, capture: Capture | None = None) -> tuple[int, ...]:
    with open_source(path, capture=capture) as source:
        return next(iter(source)).image.shape[:2]


@pytest.mark.parametrize(
    ("display_wh", "expected_wh"),
    [
        ((64, 48), (64, 48)),
        ((93, 48), (93, 48)),
        ((32, 48), (32, 48)),
        ((64, 24), (128, 48)),
        ((481, 360), (64, 48)),
        ((6400, 48), (64, 48)),
    ],
    ids=["square", "wide", "narrow", "flat", "almost-square", "absurd"],
)
def test_pixels_become_square(tmp_path: Path, display_wh: tuple[int, int], expected_wh: tuple[int, int]) -> None:
    path = tmp_path / "x.mkv"
    path.write_bytes(matroska([0, 40], display_wh=display_wh))
    assert shape(path) == (expected_wh[1], expected_wh[0])


@pytest.mark.parametrize(
    ("rotate", "expected_wh"), [("auto", (48, 128)), ("0", (128, 48)), ("90", (48, 128))], ids=["auto", "0", "90"]
)
def test_wide_pixels_of_a_rotated_video_become_square(
    tmp_path: Path, rotate: Turn, expected_wh: tuple[int, int]
) -> None:
    path = tmp_path / "x.mkv"
    path.write_bytes(matroska([0, 40], display_wh=(128, 48), roll_deg=90))
    assert shape(path, Capture(rotate=rotate)) == (expected_wh[1], expected_wh[0])


def test_video_that_declares_an_absurd_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.mkv"
    path.write_bytes(matroska([0, 40], stated_wh=(15_000, 15_000), pictures=[b"\xff\xd8\xff\xd9"] * 2))
    with pytest.raises(SourceError, match=r"15000x15000 pixels, above the limit of 100 megapixels \(`max_meg"):
        open_source(path)


def test_video_above_a_lower_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.mkv"
    path.write_bytes(matroska([0, 40], pictures=[grey_jpeg(90, (640, 480))] * 2))
    with pytest.raises(SourceError, match=r"above the limit of 0\.1 megapixels"):
        open_source(path, capture=Capture(max_megapixels=0.1))


def audio_only() -> bytes:
    """Return a WAV file of 0.1 s of silence."""
    samples = bytes(1600)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16) + struct.pack("<4sI", b"data", len(samples))
    return b"RIFF" + struct.pack("<I", 4 + len(form) + len(samples)) + b"WAVE" + form + samples


@pytest.mark.parametrize("suffix", ["wav", "mp4"])
def test_file_without_video_is_rejected_with_one_line(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(audio_only())
    with pytest.raises(SourceError, match="cannot be read as a video"):
        open_source(path)


def test_ordinary_video_causes_no_warning(clip: Path) -> None:
    with open_source(clip) as source, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(source)) == 25
