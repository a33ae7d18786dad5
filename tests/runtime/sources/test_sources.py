from __future__ import annotations

import re
import struct
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer import SourceError, SourceLostError, SourceNotFoundError, open_source
from edgeinfer.results import Frame
from edgeinfer.sources.base import Capture, Source
from edgeinfer.sources.video import VideoSource
from edgeinfer.url import without_credentials


def test_video_yields_every_frame_with_its_timestamp(clip: Path) -> None:
    with open_source(clip) as source:
        assert isinstance(source, Source)
        assert (source.live, source.continuous, source.frame_count) == (False, True, 25)
        assert source.fps == pytest.approx(25)
        frames = list(source)
    assert [f.index for f in frames] == list(range(25))
    assert [f.timestamp_s for f in frames] == pytest.approx([n / 25 for n in range(25)], abs=1e-3)
    assert {f.image.shape for f in frames} == {(240, 320, 3)}


def test_decoder_has_a_thread_for_each_usable_core(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[cv2.VideoCapture] = []
    create = cv2.VideoCapture

    def open_video(*arguments: Any) -> cv2.VideoCapture:
        opened.append(create(*arguments))
        return opened[-1]

    monkeypatch.setattr(cv2, "VideoCapture", open_video)
    monkeypatch.setattr("edgeinfer.sources.video.usable_cores", lambda: 3)
    with open_source(clip):
        assert [video.get(cv2.CAP_PROP_N_THREADS) for video in opened] == [3]


def test_picture_yields_one_frame(face_picture: Path) -> None:
    with open_source(str(face_picture)) as source:
        frames = list(source)
    assert [(f.index, f.timestamp_s, f.image.shape) for f in frames] == [(0, 0.0, (256, 256, 3))]
    assert not source.continuous


def test_grey_picture_is_converted_to_bgr(tmp_path: Path) -> None:
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
def test_files_that_are_not_sources_are_rejected(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceError, match=path.name), open_source(path) as source:
        list(source)


@pytest.mark.parametrize("kept", [100, 1000, 20_000], ids=["header", "start", "quarter"])
def test_truncated_video_without_frames_is_rejected(tmp_path: Path, clip: Path, kept: int) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(clip.read_bytes()[:kept])
    with pytest.raises(SourceError, match=r"cut\.mp4"), open_source(path) as source:
        list(source)


def test_video_that_ends_early_causes_a_warning(clip: Path) -> None:
    class ShortVideo:
        def __init__(self) -> None:
            self.left = 3

        def get(self, key: int) -> float:
            return {cv2.CAP_PROP_FPS: 25.0, cv2.CAP_PROP_FRAME_COUNT: 25.0}.get(key, 0.0)

        def read(self) -> tuple[bool, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
            self.left -= 1
            return self.left >= 0, np.zeros((4, 4, 3), np.uint8)

    source = VideoSource(ShortVideo(), name="short.mp4", live=False)  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="ended after 3 of 25 frames"):
        assert [f.timestamp_s for f in source] == pytest.approx([0, 1 / 25, 2 / 25])


class FakeCamera:
    """Camera that delivers frames half a second apart on a fake clock, after a start-up of seven seconds.

    Attributes:
        now_s: Time of the clock.
    """

    def __init__(self, frames: int) -> None:
        self._left, self.now_s = frames, 100.0

    def get(self, key: int) -> float:
        return -1.0

    def read(self) -> tuple[bool, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
        self.now_s += 7.0 if self.now_s == 100.0 else 0.5
        self._left -= 1
        return self._left >= 0, np.zeros((4, 4, 3), np.uint8)


def test_end_of_a_live_source_is_a_loss() -> None:
    with pytest.raises(SourceLostError, match="lost after 2 frames"):
        list(VideoSource(FakeCamera(2), name="cam", live=True))  # type: ignore[arg-type]
    with pytest.raises(SourceError, match="delivered no frame") as error:
        list(VideoSource(FakeCamera(0), name="cam", live=True))  # type: ignore[arg-type]
    assert error.value.exit_code == 4


def test_timestamps_of_a_camera_count_from_its_first_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = FakeCamera(3)
    received: list[Frame] = []
    monkeypatch.setattr(time, "monotonic", lambda: camera.now_s)
    with pytest.raises(SourceLostError):
        received.extend(VideoSource(camera, name="cam", live=True))  # type: ignore[arg-type]
    assert [frame.timestamp_s for frame in received] == [0.0, 0.5, 1.0]
    assert [frame.captured_s for frame in received] == [107.0, 107.5, 108.0]


@pytest.mark.parametrize("source", ["nowhere.mp4", "nowhere/*.jpg", 987, "987", "/dev/video987"])
def test_missing_source_is_reported(source: str | int) -> None:
    with pytest.raises(SourceNotFoundError):
        open_source(source)


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_camera_has_a_number_on_systems_without_device_nodes(
    clip: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    opened: list[tuple[int, int]] = []
    video = cv2.VideoCapture(str(clip), cv2.CAP_FFMPEG)

    def open_video(number: int, interface: int) -> cv2.VideoCapture:
        opened.append((number, interface))
        return video

    monkeypatch.setattr(cv2, "VideoCapture", open_video)
    monkeypatch.setattr("sys.platform", system)
    with open_source(1, mode="file", capture=Capture(size_wh=(640, 360))) as source:
        assert (source.name, source.live) == ("1", True)
        assert next(iter(source)).image.ndim == 3
    monkeypatch.setattr(cv2, "VideoCapture", lambda number, interface: type("", (), {"isOpened": lambda _: False})())
    with pytest.raises(SourceNotFoundError, match="no camera 7: connect it"):
        open_source(7)
    assert opened == [(1, cv2.CAP_ANY)]


def test_folder_without_pictures_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="no pictures"):
        open_source(tmp_path)


def test_message_about_an_unavailable_stream_hides_its_password() -> None:
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
        ("csi:1", "csi:1"),
    ],
)
def test_credentials_are_removed_from_urls(url: str, shown: str) -> None:
    assert without_credentials(url) == shown


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """40-frame video, three frames of which cannot be decoded."""
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


def test_damaged_frames_are_skipped_and_counted(damaged: Path) -> None:
    with open_source(damaged) as source, pytest.warns(UserWarning, match="3 damaged frames"):
        frames = list(source)
    assert [frame.index for frame in frames] == [n for n in range(40) if n not in (5, 6, 20)]
    assert [frame.timestamp_s for frame in frames] == pytest.approx([frame.index / 25 for frame in frames], abs=1e-3)
    assert source.skipped == 3


@pytest.mark.parametrize(("rotate", "shape"), [("auto", (48, 64, 3)), ("90", (64, 48, 3)), ("180", (48, 64, 3))])
def test_video_is_rotated(damaged: Path, rotate: Any, shape: tuple[int, ...]) -> None:
    with open_source(damaged, capture=Capture(rotate=rotate)) as source:
        assert next(iter(source)).image.shape == shape


def test_picture_is_rotated_by_its_exif_orientation_or_on_request(tmp_path: Path) -> None:
    picture = bytes(cv2.imencode(".jpg", np.zeros((20, 40, 3), np.uint8))[1])
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # orientation 6: 90 degrees clockwise
    exif = b"Exif\0\0" + tiff
    path = tmp_path / "turned.jpg"
    path.write_bytes(picture[:2] + b"\xff\xe1" + (2 + len(exif)).to_bytes(2, "big") + exif + picture[2:])
    shapes = []
    for rotate in ("auto", "0", "180"):
        with open_source(path, capture=Capture(rotate=rotate)) as source:
            shapes.append(next(iter(source)).image.shape[:2])
    assert shapes == [(40, 20), (20, 40), (20, 40)]


def test_video_is_rotated_by_its_display_matrix_or_on_request(tmp_path: Path, clip: Path) -> None:
    data = bytearray(clip.read_bytes())
    matrix = data.index(b"tkhd") + 44  # ISO/IEC 14496-12, 8.3.2: after the times, layer and volume
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 240 << 16, 0, 1 << 30)
    path = tmp_path / "upright.mp4"
    path.write_bytes(data)
    shapes = []
    for rotate in ("auto", "0", "90"):
        with open_source(path, capture=Capture(rotate=rotate)) as source:
            shapes.append(next(iter(source)).image.shape)
    assert shapes == [(320, 240, 3), (240, 320, 3), (320, 240, 3)]


def test_timestamps_of_a_variable_frame_rate_are_those_of_the_file(tmp_path: Path) -> None:
    """Use a Matroska file whose second half has a third of the frame rate, set in the times of its simple blocks."""
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
