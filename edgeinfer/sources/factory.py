"""Opening of a source by its path, number, address or URL."""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from pathlib import Path

from edgeinfer.errors import SourceError, SourceNotFoundError, UsageError
from edgeinfer.plugins import plugin
from edgeinfer.sources.base import MODES, Capture, Mode, Source
from edgeinfer.sources.connection import open_within
from edgeinfer.sources.live import LiveSource
from edgeinfer.sources.picamera import PREFIX as CSI
from edgeinfer.sources.picamera import open_picamera
from edgeinfer.sources.pictures import PICTURE_SUFFIXES, PictureSource
from edgeinfer.sources.pipe import open_stdin
from edgeinfer.sources.retry import Patience
from edgeinfer.sources.video import open_camera, open_file, open_stream
from edgeinfer.url import scheme, without_credentials

STDIN = "-"
STREAMS = frozenset({"http", "https", "rtsp", "rtsps", "rtmp", "udp"})
"""URL schemes that plugins cannot replace."""


def open_source(
    source: str | int | Path, *, mode: Mode = "auto", capture: Capture | None = None, patience: Patience | None = None
) -> Source:
    """Open a video, picture, camera, stream or pipe.

    Args:
        source: One of: path of a video or picture file; folder or glob of pictures; camera number; `/dev/videoN` or a
            link to it below `/dev/v4l/by-id`; `csi:` or `csi:N` for a camera on a Raspberry Pi's CSI connector; URL
            of a stream; "-" for MJPEG or raw frames on stdin; an address with the scheme of a plugin (see
            `edgeinfer.plugins`).
        mode: "file" yields every frame in order; "live" yields the newest frame and drops the others, and plays a
            file in real time; "auto" is "live" for cameras and endless streams, otherwise "file".
        capture: Size and frame rate requested from a camera, and the orientation of the frames.
        patience: Timeouts and retry limit of a source in live mode.

    Returns:
        A source, to be used in a `with` statement. If a live source cannot be opened yet and `patience` allows
        retries, it is returned nevertheless and opened during the iteration.

    Raises:
        SourceNotFoundError: The source does not exist.
        SourceError: The source exists but cannot be opened.
        CapabilityError: A CSI camera was requested and picamera2 is not installed.
        UsageError: The mode is unknown, or it is "live" and the source consists of pictures, which have no timestamps.

    Examples:
        >>> import edgeinfer
        >>> from edgeinfer.model.card import asset_path
        >>> with edgeinfer.open_source(asset_path("demo.mp4")) as source:
        ...     frame = next(iter(source))
        >>> frame.index, frame.timestamp_s, frame.image.ndim, frame.image.dtype
        (0, 0.0, 3, dtype('uint8'))
    """
    if mode not in MODES:
        raise UsageError(f"invalid `mode` {mode!r}: expected one of {', '.join(MODES)}")
    text, capture, patience = str(source), capture or Capture(), patience or Patience()
    reopen = _reopener(text, capture)
    if reopen is None:
        opened = _open_local(text, capture)
    else:
        name = f"/dev/video{text}" if text.isdecimal() else without_credentials(text)
        try:
            opened = open_within(patience.open_s, reopen, name)
        except SourceError:
            if mode == "file" or not patience.allows(1, opened=False):
                raise
            return LiveSource(None, name=name, reopen=reopen, patience=patience)
    if mode == "live" and not opened.continuous:
        raise UsageError(f"{opened.name} consists of pictures, which have no timestamps; omit `mode`")
    if mode == "live" or (mode == "auto" and opened.live):
        return LiveSource(opened, reopen=reopen if opened.live else None, patience=patience, paced=not opened.live)
    return opened


def _reopener(text: str, capture: Capture) -> Callable[[], Source] | None:
    """Return a function that opens the camera or stream, or None for files and pipes."""
    if text.isdecimal():
        return lambda: open_camera(Path(f"/dev/video{text}"), capture)
    if text.startswith(("/dev/video", "/dev/v4l/")):
        return lambda: open_camera(Path(text), capture)
    if text.startswith(CSI):
        return lambda: open_picamera(text, capture)
    prefix = scheme(text)
    if prefix and prefix not in STREAMS and (factory := plugin("sources", prefix)):
        return lambda: factory(text, capture)
    if prefix and text[len(prefix) :].startswith("://"):
        return lambda: open_stream(text, capture)
    return None


def _open_local(text: str, capture: Capture) -> Source:
    if text == STDIN:
        return open_stdin(capture)
    path = Path(text).expanduser()
    if path.is_dir():
        return _open_pictures(sorted(path.iterdir()), text, capture)
    if path.is_file():
        return _open_file(path, capture)
    if glob.has_magic(text):
        paths = sorted(glob.glob(str(path)))  # noqa: PTH207 - Path.glob rejects absolute patterns
        return _open_pictures([Path(match) for match in paths], text, capture)
    if path.exists():
        raise SourceError(f"{text} is neither a file nor a folder")
    raise SourceNotFoundError(
        f"no source at {text}: expected a video, a picture, a folder, a camera number or a stream URL"
    )


def _open_file(path: Path, capture: Capture) -> Source:
    if path.stat().st_size == 0:
        raise SourceError(f"{path} is empty: expected a video or a picture")
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return PictureSource([path], name=str(path), capture=capture)
    return open_file(path, capture)


def _open_pictures(paths: Sequence[Path], name: str, capture: Capture) -> Source:
    pictures = [path for path in paths if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()]
    if not pictures:
        raise SourceNotFoundError(
            f"no pictures at {name}: expected files ending in {', '.join(sorted(PICTURE_SUFFIXES))}"
        )
    return PictureSource(pictures, name=name, capture=capture)
