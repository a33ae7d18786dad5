from __future__ import annotations

import re
import shutil
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer import SourceError, SourceLostError, SourceNotFoundError, open_source
from edgeinfer.sources.base import Capture, Source
from edgeinfer.sources.video import VideoSource
from edgeinfer.url import without_credentials


def test_a_video_gives_every_frame_with_its_time(clip: Path) -> None:
    with open_source(clip) as source:
        assert isinstance(source, Source)
        assert (source.live, source.continuous, source.frame_count) == (False, True, 25)
        assert source.fps == pytest.approx(25)
        frames = list(source)
    assert [f.index for f in frames] == list(range(25))
    assert [f.timestamp_s for f in frames] == pytest.approx([n / 25 for n in range(25)], abs=1e-3)
    assert {f.image.shape for f in frames} == {(240, 320, 3)}


def test_a_picture_is_one_frame(face_picture: Path) -> None:
    with open_source(str(face_picture)) as source:
        frames = list(source)
    assert [(f.index, f.timestamp_s, f.image.shape) for f in frames] == [(0, 0.0, (256, 256, 3))]
    assert not source.continuous


@pytest.fixture
def album(tmp_path: Path, face_picture: Path) -> Path:
    for name in ("b.jpg", "a.JPG", "c.jpeg"):
        shutil.copy(face_picture, tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_a_folder_gives_its_pictures_in_order(album: Path) -> None:
    with open_source(album) as source:
        assert source.frame_count == 3
        assert len(list(source)) == 3


def test_a_glob_gives_what_it_matches(album: Path) -> None:
    with open_source(str(album / "*.jp*")) as source:
        assert source.frame_count == 2


def test_a_broken_picture_among_good_ones_is_left_out_and_named(album: Path) -> None:
    (album / "d.png").write_bytes(b"not a picture")
    with open_source(album) as source, pytest.warns(UserWarning, match=r"d\.png is not a readable picture"):
        assert [f.index for f in source] == [0, 1, 2]


def test_a_grey_picture_becomes_bgr(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((5, 6), 7, np.uint8))
    with open_source(tmp_path / "grey.png") as source:
        assert next(iter(source)).image.shape == (5, 6, 3)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.mp4", b""),
        ("empty.jpg", b""),
        ("text.mp4", b"hello, this is not a video\n" * 50),
        ("text.png", b"hello"),
        ("random.mp4", np.random.default_rng(3).bytes(20_000)),
        ("random.jpg", np.random.default_rng(4).bytes(20_000)),
        ("no_suffix", np.random.default_rng(5).bytes(20_000)),
    ],
)
def test_files_that_are_no_source(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceError, match=path.name), open_source(path) as source:
        list(source)


@pytest.mark.parametrize("kept", [100, 1000, 20_000], ids=["header", "start", "quarter"])
def test_a_truncated_video_is_refused_or_read_as_far_as_it_goes(tmp_path: Path, clip: Path, kept: int) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(clip.read_bytes()[:kept])
    with pytest.raises(SourceError, match=r"cut\.mp4"), open_source(path) as source:
        list(source)


def test_a_video_with_a_missing_middle_says_that_it_ended_early(clip: Path) -> None:
    class Short:
        def __init__(self) -> None:
            self.left = 3

        def get(self, key: int) -> float:
            return {cv2.CAP_PROP_FPS: 25.0, cv2.CAP_PROP_FRAME_COUNT: 25.0}.get(key, 0.0)

        def read(self) -> tuple[bool, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
            self.left -= 1
            return self.left >= 0, np.zeros((4, 4, 3), np.uint8)

    source = VideoSource(Short(), name="short.mp4", live=False)  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="ended after 3 of 25 frames"):
        assert [f.timestamp_s for f in source] == pytest.approx([0, 1 / 25, 2 / 25])


def test_a_live_source_that_ends_is_lost() -> None:
    class Camera:
        def __init__(self, frames: int) -> None:
            self.left = frames

        def get(self, key: int) -> float:
            return -1.0

        def read(self) -> tuple[bool, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
            self.left -= 1
            return self.left >= 0, np.zeros((4, 4, 3), np.uint8)

    with pytest.raises(SourceLostError, match="lost after 2 frames"):
        list(VideoSource(Camera(2), name="cam", live=True))  # type: ignore[arg-type]
    with pytest.raises(SourceError, match="gave no frame") as error:
        list(VideoSource(Camera(0), name="cam", live=True))  # type: ignore[arg-type]
    assert error.value.exit_code == 4


@pytest.mark.parametrize("source", ["nowhere.mp4", "nowhere/*.jpg", 987, "987", "/dev/video987"])
def test_nothing_there(source: str | int) -> None:
    with pytest.raises(SourceNotFoundError):
        open_source(source)


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="no pictures"):
        open_source(tmp_path)


def test_a_stream_that_is_not_there_hides_its_password() -> None:
    with pytest.raises(SourceError, match=r"rtsp://127\.0\.0\.1:1/door") as error:
        open_source("rtsp://me:secret@127.0.0.1:1/door?key=secret")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://u:p@host:554/a", "rtsp://host:554/a"),
        ("http://host/a?token=x#y", "http://host/a"),
        ("rtsp://a@b:c@host/", "rtsp://host/"),
        ("rtsp://me:pa/ss@host:554/door", "rtsp://host:554/door"),
        ("http://host:80/@door/x", "http://host:80/@door/x"),
        ("http://[::1/a", "http://[::1/a"),
        ("csi:1", "csi:1"),
    ],
)
def test_credentials_are_taken_out(url: str, shown: str) -> None:
    assert without_credentials(url) == shown


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A video with holes of noise, and its own count of frames."""
    path = tmp_path / "damaged.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    rng = np.random.default_rng(0)
    for _ in range(40):
        writer.write(rng.integers(0, 255, (48, 64, 3), np.uint8))
    writer.release()
    data = bytearray(path.read_bytes())
    marks = [at for at in range(len(data)) if data[at : at + 3] == b"\xff\xd8\xff"]
    for number in (5, 6, 20):
        data[marks[number] : marks[number + 1] - 16] = bytes(marks[number + 1] - 16 - marks[number])
    path.write_bytes(data)
    return path


def test_damaged_frames_are_left_out_and_counted(damaged: Path) -> None:
    with open_source(damaged) as source, pytest.warns(UserWarning, match="3 damaged frames"):
        frames = list(source)
    assert [frame.index for frame in frames] == [n for n in range(40) if n not in (5, 6, 20)]
    assert [frame.timestamp_s for frame in frames] == pytest.approx([frame.index / 25 for frame in frames], abs=1e-3)
    assert source.skipped == 3


@pytest.mark.parametrize(("rotate", "shape"), [("auto", (48, 64, 3)), ("90", (64, 48, 3)), ("180", (48, 64, 3))])
def test_a_video_is_turned(damaged: Path, rotate: Any, shape: tuple[int, ...]) -> None:
    with open_source(damaged, capture=Capture(rotate=rotate)) as source:
        assert next(iter(source)).image.shape == shape


def test_a_picture_is_turned_as_it_says_or_as_told(tmp_path: Path) -> None:
    picture = bytes(cv2.imencode(".jpg", np.zeros((20, 40, 3), np.uint8))[1])
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # orientation 6: a quarter clockwise
    exif = b"Exif\0\0" + tiff
    path = tmp_path / "turned.jpg"
    path.write_bytes(picture[:2] + b"\xff\xe1" + (2 + len(exif)).to_bytes(2, "big") + exif + picture[2:])
    shapes = []
    for rotate in ("auto", "0", "180"):
        with open_source(path, capture=Capture(rotate=rotate)) as source:
            shapes.append(next(iter(source)).image.shape[:2])
    assert shapes == [(40, 20), (20, 40), (20, 40)]


def test_a_video_is_turned_as_its_file_says(tmp_path: Path, clip: Path) -> None:
    data = bytearray(clip.read_bytes())
    matrix = data.index(b"tkhd") + 44  # ISO/IEC 14496-12, 8.3.2: behind the times, the layer and the volume
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 240 << 16, 0, 1 << 30)
    path = tmp_path / "upright.mp4"
    path.write_bytes(data)
    shapes = []
    for rotate in ("auto", "0", "90"):
        with open_source(path, capture=Capture(rotate=rotate)) as source:
            shapes.append(next(iter(source)).image.shape)
    assert shapes == [(320, 240, 3), (240, 320, 3), (320, 240, 3)]


def test_times_of_a_variable_rate_are_the_files_own(tmp_path: Path) -> None:
    """A Matroska file whose second half plays at a third of the rate: its simple blocks hold their own times."""
    path = tmp_path / "variable.mkv"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for number in range(10):
        writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
    writer.release()
    data = bytearray(path.read_bytes())
    wanted = [n * 40 if n < 5 else 200 + (n - 5) * 120 for n in range(10)]
    for number, at in enumerate(m.start() for m in re.finditer(rb"\x81..\x80\xff\xd8\xff", data, re.DOTALL)):
        data[at + 1 : at + 3] = struct.pack(">h", wanted[number])
    path.write_bytes(data)
    with open_source(path) as source:
        times = [frame.timestamp_s for frame in source]
    assert times == pytest.approx([ms / 1000 for ms in wanted], abs=2e-3)
