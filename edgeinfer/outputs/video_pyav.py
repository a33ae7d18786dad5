"""H.264 and VP9 through PyAV, with the timestamp of each frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import cv2

from edgeinfer.errors import OutputError, shown_path
from edgeinfer.outputs.constant_rate import DEFAULT_FPS, MIN_FPS
from edgeinfer.outputs.video_base import VideoSettings, fit
from edgeinfer.outputs.video_file import VideoFile
from edgeinfer.outputs.video_formats import NO_PYAV
from edgeinfer.outputs.video_time import TICKS_PER_S, PresentationTimes
from edgeinfer.results import Image

KEYFRAME_S = 1
"""Interval between keyframes in seconds. A fragment ends before each one, and a killed process loses the last."""
LOOKAHEAD_FPS = 15.0
"""Lowest frame rate at which the encoder may hold frames back; the delay is at most 10 frames."""
MAX_FPS = 240.0
MAX_SIDE = 16_384
"""Largest width and height that libx264 accepts, in pixels; a larger frame is reduced."""
MAX_THREADS = 4
MAX_LIVE_THREADS = 2


@dataclass(frozen=True, slots=True)
class _Format:
    """Container and encoder of a suffix.

    Attributes:
        container: FFmpeg name of the container.
        codec: FFmpeg name of the encoder.
        options: Options of the container. Without `frag_discont`, an MP4 file begins at 0 whatever the first timestamp;
            without `skip_trailer`, an index of all fragments is kept in memory.
    """

    container: str
    codec: str
    options: dict[str, str]


_MP4_FLAGS = "frag_keyframe+empty_moov+default_base_moof+frag_discont+skip_trailer"
_CLUSTERS = {"cluster_time_limit": "900"}  # in milliseconds, shorter than the interval between keyframes
_FORMATS = {
    ".mp4": _Format("mp4", "libx264", {"movflags": _MP4_FLAGS, "avoid_negative_ts": "disabled"}),
    ".mkv": _Format("matroska", "libx264", _CLUSTERS),
    ".webm": _Format("webm", "libvpx-vp9", _CLUSTERS),
}
_H264_LIVE = {"preset": "ultrafast", "tune": "zerolatency"}
_H264_NO_DELAY = {"preset": "veryfast", "tune": "zerolatency"}
_H264 = {"preset": "veryfast", "bf": "0", "rc-lookahead": "5"}
_VP9 = {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "lag-in-frames": "0", "crf": "33", "b": "0"}


def missing_encoder(suffix: str) -> str | None:
    """Return what is missing for a format, with the command that installs it, or None if PyAV can encode the format.

    Args:
        suffix: One of `video_formats.SUFFIXES`.
    """
    try:
        import av  # noqa: PLC0415 - optional, and slow to import
    except ImportError:
        return NO_PYAV
    codec = _FORMATS[suffix].codec
    try:
        av.Codec(codec, "w")
    except ValueError:
        return f"{codec}, which the installed PyAV lacks; replace it with: pip install --force-reinstall av"
    return None


class PyAVEncoder:
    """Video file that is encoded by PyAV.

    The first picture determines the size, without the last row or column of an odd one: the colour planes have half the
    resolution. An MP4 file consists of fragments, a Matroska file of clusters; each begins with a keyframe, and all but
    the last one remain readable after the process was killed.
    """

    def __init__(self, settings: VideoSettings) -> None:
        """Create the file.

        Raises:
            OutputError: The file cannot be created, or the encoder does not support the size.
        """
        from av.video.frame import PictureType  # noqa: PLC0415 - optional

        fps = min(max(settings.fps or DEFAULT_FPS, MIN_FPS), MAX_FPS)
        self._path, self._keyframe = settings.path, PictureType.I
        self._size_wh = _encodable(settings.size_wh)
        self._times, self._interval = PresentationTimes(1 / fps), round(TICKS_PER_S / fps)
        self._next_keyframe, self._failed = 0, False
        with self._output_errors():
            self._file = VideoFile(settings.path)
        try:
            with self._output_errors():
                self._container, self._stream = self._open(settings, fps)
        except OutputError:
            self._file.release()
            raise

    def _open(self, settings: VideoSettings, fps: float) -> tuple[Any, Any]:
        import av  # noqa: PLC0415 - optional

        kind = _FORMATS[settings.path.suffix.lower()]
        container = av.open(
            self._file, "w", format=kind.container, container_options={**kind.options, "flush_packets": "1"}
        )
        rate = Fraction(fps).limit_denominator(1001)
        stream = container.add_stream(kind.codec, rate=rate, options=_options(kind.codec, settings))
        stream.width, stream.height = self._size_wh
        stream.pix_fmt = "yuv420p"
        codec = stream.codec_context
        stream.time_base = codec.time_base = Fraction(1, TICKS_PER_S)
        codec.thread_count = settings.threads or _threads(live=settings.live)
        # cv2.COLOR_BGR2YUV_I420 converts to the limited range of BT.601; the primaries are those of BT.709 and sRGB.
        codec.color_range, codec.colorspace, codec.color_primaries, codec.color_trc = 1, 6, 1, 1
        container.start_encoding()
        return container, stream

    def add(self, time_s: float, picture: Image) -> None:
        """Encode a picture with its timestamp.

        Raises:
            OutputError: The file cannot be written.
        """
        from av import VideoFrame  # noqa: PLC0415 - optional

        planes = cv2.cvtColor(fit(picture, self._size_wh), cv2.COLOR_BGR2YUV_I420)
        frame = VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = self._times.place(time_s), Fraction(1, TICKS_PER_S)
        if frame.pts >= self._next_keyframe:
            frame.pict_type = self._keyframe
            self._next_keyframe = frame.pts + KEYFRAME_S * TICKS_PER_S
        self._encode(frame)

    def _encode(self, frame: Any) -> None:
        """Encode a frame, or the remaining ones for None, and write the packets that are ready."""
        with self._output_errors():
            for packet in self._stream.encode(frame):
                packet.duration = self._interval  # used for the last one only
                self._container.mux(packet)

    def close(self) -> None:
        """Write the remaining frames and close the file.

        Raises:
            OutputError: The file cannot be written.
        """
        try:
            if not self._failed:
                self._encode(None)
                with self._output_errors():
                    self._container.close()
        finally:
            if self._failed:
                with suppress(Exception):  # the first error has been raised
                    self._container.close()
            with self._output_errors():
                self._file.release()

    @contextmanager
    def _output_errors(self) -> Iterator[None]:
        from av.error import FFmpegError  # noqa: PLC0415 - optional

        try:
            yield
        except (OSError, FFmpegError) as error:
            self._failed = True
            width, height = self._size_wh
            size = "" if isinstance(error, OSError) else f" with frames of {width}x{height} pixels"
            raise OutputError(f"cannot write the video {shown_path(self._path)}{size}: {error.strerror}") from error


def _encodable(size_wh: tuple[int, int]) -> tuple[int, int]:
    """Return a size with even sides that is at most one pixel smaller, or reduced to the limit of the encoder."""
    scale = min(1.0, MAX_SIDE / max(size_wh))
    width, height = (max(2, int(side * scale) & ~1) for side in size_wh)
    return width, height


def _threads(*, live: bool) -> int:
    """Return the number of encoder threads; OpenCV's own number follows the options and the cores of a live run."""
    return max(1, min(cv2.getNumThreads(), MAX_LIVE_THREADS if live else MAX_THREADS))


def _options(codec: str, settings: VideoSettings) -> dict[str, str]:
    """Return the options of the encoder.

    A live source, or one with few frames per second, must not be delayed: frames that the encoder holds back are lost
    if the process is killed.
    """
    if codec != "libx264":
        return _VP9
    if settings.live:
        return _H264_LIVE
    return _H264 if settings.fps is not None and settings.fps >= LOOKAHEAD_FPS else _H264_NO_DELAY
