"""Where frames come from: a video, pictures, a camera, a stream, a pipe."""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from pathlib import Path

from edgeinfer.errors import SourceError, SourceNotFoundError, UsageError
from edgeinfer.plugins import plugin
from edgeinfer.results import Frame
from edgeinfer.sources.base import MODES, Capture, Mode, Source
from edgeinfer.sources.connection import open_within
from edgeinfer.sources.live import LiveSource
from edgeinfer.sources.picamera import PREFIX as CSI
from edgeinfer.sources.picamera import open_picamera
from edgeinfer.sources.pictures import PICTURE_SUFFIXES, PictureSource
from edgeinfer.sources.pipe import open_stdin
from edgeinfer.sources.retry import Patience
from edgeinfer.sources.video import cameras, open_camera, open_file, open_stream
from edgeinfer.url import scheme, without_credentials

__all__ = ["MODES", "Frame", "Mode", "PictureSource", "Source", "cameras", "open_source", "without_credentials"]
STDIN = "-"
STREAMS = frozenset({"http", "https", "rtsp", "rtsps", "rtmp", "udp"})
"""Schemes that nobody else may bring."""


def open_source(
    source: str | int | Path, *, mode: Mode = "auto", capture: Capture | None = None, patience: Patience | None = None
) -> Source:
    """Open whatever a user names.

    Args:
        source: a video or picture file, a folder or glob of pictures, a camera's number, `/dev/videoN` or a link to
            it below `/dev/v4l/by-id`, `csi:` or `csi:N` for a Raspberry Pi's own camera, the URL of a stream, or "-"
            for MJPEG or raw frames on stdin; or an address that another package opens, see `edgeinfer.plugins`.
        mode: "file" gives every frame in order; "live" gives the newest one and drops the others, and plays a file in
            real time; "auto" is "live" for cameras and endless streams, else "file".
        capture: size and rate asked of a camera, and how pictures are turned.
        patience: how a live source that stalls or is lost is opened again, in the modes that are live.

    Returns:
        A source to be used in a `with` statement. A live one that cannot be opened yet is given, too, where
        `patience` names retries, and opened again while it is iterated.

    Raises:
        SourceNotFoundError: nothing is there.
        SourceError: it cannot be opened.
        CapabilityError: a CSI camera without picamera2.
        UsageError: no such mode, or "live" for pictures, which have no time.
    """
    if mode not in MODES:
        raise UsageError(f"no mode is called {mode}; choose one of {', '.join(MODES)}")
    text, wanted, deadlines = str(source), capture or Capture(), patience or Patience()
    reopen = _reopener(text, wanted)
    if reopen is None:
        opened = _open_local(text, wanted)
    else:
        name = f"/dev/video{text}" if text.isdecimal() else without_credentials(text)
        try:
            opened = open_within(deadlines.open_s, reopen, name)
        except SourceError:
            if mode == "file" or not deadlines.allows(1, opened=False):
                raise
            return LiveSource(None, name=name, reopen=reopen, patience=deadlines)
    if mode == "live" and not opened.continuous:
        raise UsageError(f"{opened.name} is no video; pictures have no time to be played in, so leave out the mode")
    if mode == "live" or (mode == "auto" and opened.live):
        lasting = reopen if opened.live else None
        return LiveSource(opened, reopen=lasting, patience=deadlines, paced=not opened.live)
    return opened


def _reopener(text: str, wanted: Capture) -> Callable[[], Source] | None:
    """What opens a camera or a stream; None for what lies on disk or comes through a pipe."""
    if text.isdecimal():
        return lambda: open_camera(Path(f"/dev/video{text}"), wanted)
    if text.startswith(("/dev/video", "/dev/v4l/")):
        return lambda: open_camera(Path(text), wanted)
    if text.startswith(CSI):
        return lambda: open_picamera(text, wanted)
    named = scheme(text)
    if named and named not in STREAMS and (factory := plugin("sources", named)):
        return lambda: factory(text, wanted)
    if named and text[len(named) :].startswith("://"):
        return lambda: open_stream(text, wanted)
    return None


def _open_local(text: str, wanted: Capture) -> Source:
    if text == STDIN:
        return open_stdin(wanted)
    path = Path(text).expanduser()
    if path.is_dir():
        return _open_pictures(sorted(path.iterdir()), text, wanted)
    if path.is_file():
        return _open_file(path, wanted)
    if glob.has_magic(text):
        return _open_pictures([Path(p) for p in sorted(glob.glob(str(path)))], text, wanted)  # noqa: PTH207 - absolute patterns too
    if path.exists():
        raise SourceError(f"{text} is neither a file nor a folder")
    raise SourceNotFoundError(
        f"no source at {text}; give a video, a picture, a folder, a camera number or a stream URL"
    )


def _open_file(path: Path, wanted: Capture) -> Source:
    if path.stat().st_size == 0:
        raise SourceError(f"{path} is empty; expected a video or a picture")
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return PictureSource([path], name=str(path), wanted=wanted)
    return open_file(path, wanted)


def _open_pictures(paths: Sequence[Path], name: str, wanted: Capture) -> Source:
    pictures = [path for path in paths if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()]
    if not pictures:
        raise SourceNotFoundError(
            f"no pictures at {name}; expected files ending in {', '.join(sorted(PICTURE_SUFFIXES))}"
        )
    return PictureSource(pictures, name=name, wanted=wanted)
