"""Opening of a source by its path, number, address or URL."""

from __future__ import annotations

import glob
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from edgeinfer.errors import SourceError, SourceNotFoundError, UsageError, shown_path
from edgeinfer.model.card import asset_path
from edgeinfer.plugins import plugin
from edgeinfer.sources.base import CSI, MODES, Capture, Mode, Source
from edgeinfer.sources.connection import open_within
from edgeinfer.sources.live import LiveSource
from edgeinfer.sources.order import natural_key
from edgeinfer.sources.paced import PacedSource
from edgeinfer.sources.picture_size import HEADER_BYTES, PICTURE_SUFFIXES, has_picture_suffix, picture_format
from edgeinfer.sources.pictures import PictureSource
from edgeinfer.sources.retry import Patience
from edgeinfer.sources.video import open_camera, open_file, open_numbered_camera, open_stream
from edgeinfer.sources.video_suffix import batch_command, has_video_suffix
from edgeinfer.units import counted, other_files
from edgeinfer.url import hide_addresses, scheme, without_credentials

STDIN = "-"
STREAMS = frozenset({"http", "https", "rtsp", "rtsps", "rtmp", "udp"})
"""URL schemes that plugins cannot replace."""


def open_source(
    source: str | int | Path, *, mode: Mode = "auto", capture: Capture | None = None, patience: Patience | None = None
) -> Source:
    """Open a video, picture, camera, stream or pipe.

    Args:
        source: One of: path of a video or picture file; folder of pictures, or glob of pictures with `*`, `?`,
            `[...]` and `**`, in natural order; camera number; `/dev/videoN` or a
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
        if text != STDIN:
            _warn_of_ignored(capture, opened.name)
    else:
        name = f"/dev/video{text}" if text.isdecimal() and sys.platform == "linux" else without_credentials(text)
        try:
            opened = open_within(patience.open_s, reopen, name)
        except SourceError:
            if mode == "file" or not patience.allows(1, opened=False):
                raise
            return LiveSource(None, name=name, reopen=reopen, patience=patience)
    _check_mode(opened, mode)
    if mode == "live" or (mode == "auto" and opened.live):
        return LiveSource(opened, reopen=reopen if opened.live else None, patience=patience, paced=not opened.live)
    return opened


def source_or_demo(source: str | int | Path | None) -> str:
    """Return a source as text; the path of the demo clip for None, and for "demo" if no file has this name."""
    if source is None or (source == "demo" and not os.path.lexists(source)):
        return str(asset_path("demo.mp4"))
    return str(source)


def open_playback(
    source: str | int | Path, *, capture: Capture | None = None, patience: Patience | None = None
) -> Source:
    """Open a source for watching: as `open_source` does, but a video file plays in real time, with every frame.

    Args:
        source: See `open_source`.
        capture: See `open_source`.
        patience: See `open_source`.

    Raises:
        SourceNotFoundError: See `open_source`, also for the other errors.
    """
    opened = open_source(source, capture=capture, patience=patience)
    is_video_file = opened.continuous and not opened.live and str(source) != STDIN
    return PacedSource(opened) if is_video_file else opened


def _warn_of_ignored(capture: Capture, name: str) -> None:
    given = {"size": capture.size_wh, "fps": capture.fps, "pixels": capture.pixels}
    if ignored := [f"`{option}`" for option, value in given.items() if value is not None]:
        has = "has" if len(ignored) == 1 else "have"
        warnings.warn(f"{' and '.join(ignored)} {has} no effect on {shown_path(name)}, only on cameras", stacklevel=3)


def _check_mode(source: Source, mode: Mode) -> None:
    if mode == "live" and not source.continuous:
        raise UsageError(f"{shown_path(source.name)} consists of pictures, which have no timestamps; omit `mode`")


def _reopener(text: str, capture: Capture) -> Callable[[], Source] | None:
    """Return a function that opens the camera or stream, or None for files and pipes."""
    if text.isdecimal():
        return lambda: open_numbered_camera(text, capture)
    if text.startswith(("/dev/video", "/dev/v4l/")):
        return lambda: open_camera(Path(text), capture)
    if text.startswith(CSI):
        from edgeinfer.sources.picamera import open_picamera  # noqa: PLC0415 - only for CSI cameras

        return lambda: open_picamera(text, capture)
    prefix = scheme(text)
    if prefix and prefix not in STREAMS and (factory := plugin("sources", prefix)):
        return lambda: _open_plugin(factory, text, capture)
    if prefix and text[len(prefix) :].startswith("://"):
        return lambda: open_stream(text, capture)
    return None


def _open_plugin(factory: Callable[[str, Capture], Source], address: str, capture: Capture) -> Source:
    """Open a plugin's source; its error messages contain no credentials from the address."""
    try:
        return factory(address, capture)
    except Exception as error:
        error.args = tuple(hide_addresses(arg, [address]) if isinstance(arg, str) else arg for arg in error.args)
        raise


def open_pictures(paths: Sequence[str], *, mode: Mode = "auto", capture: Capture | None = None) -> Source:
    """Open several picture files as one source.

    Args:
        paths: Picture files. Paths in alphabetical order, as from a shell glob, are sorted naturally: 1, 2,
            10. Any other order is kept.
        mode: See `open_source`; pictures have no "live" mode.
        capture: Orientation and size limit of the pictures.

    Raises:
        UsageError: One of the paths is not a picture, or the mode is "live".
        SourceNotFoundError: One of the files does not exist.
    """
    for path in paths:
        if os.path.isfile(path) and (has_picture_suffix(path) or _has_picture_content(path)):  # noqa: PTH113
            continue
        if os.path.lexists(path) or _reopener(path, Capture()) is not None or path == STDIN:
            raise UsageError(
                f"several sources are possible only if all of them are pictures, and {shown_path(path)} is not one; "
                "process one source at a time, a folder or quoted glob of pictures, or many recordings with: "
                "edgeinfer batch SOURCE... --out DIR"
            )
        raise SourceNotFoundError(f"no picture at {shown_path(path)}")
    ordered = sorted(paths, key=natural_key) if list(paths) == sorted(paths) else list(paths)
    source = PictureSource(ordered, name=f"{paths[0]} and {len(paths) - 1} more", capture=capture)
    _check_mode(source, mode)
    return source


def _open_local(text: str, capture: Capture) -> Source:
    if text == STDIN:
        from edgeinfer.sources.pipe import open_stdin  # noqa: PLC0415 - only for stdin

        return open_stdin(capture)
    path = text if os.path.lexists(text) else os.path.expanduser(text)  # noqa: PTH111 - "~nosuch" stays unchanged
    if os.path.isdir(path):  # noqa: PTH112 - false for a path that is too long
        return _open_matches(_folder_files(path), text, capture)
    if os.path.isfile(path):  # noqa: PTH113
        return _open_file(path, capture)
    if os.path.exists(path):  # noqa: PTH110
        raise SourceError(f"{shown_path(text)} is neither a file nor a folder")
    if glob.has_magic(path):
        return _open_matches(_glob_files(path), text, capture)
    raise SourceNotFoundError(
        f"no source at {shown_path(without_credentials(text)) or 'an empty name'}: expected a video, a picture, a "
        "folder, a camera number or a stream URL"
    )


def _open_file(path: str, capture: Capture) -> Source:
    if os.path.getsize(path) == 0:  # noqa: PTH202
        raise SourceError(f"{shown_path(path)} is empty: expected a video or a picture")
    if has_picture_suffix(path) or _has_picture_content(path):
        return PictureSource([path], name=path, capture=capture)
    return open_file(Path(path), capture)


def _has_picture_content(path: str) -> bool:
    """Return True if a file contains one picture, regardless of its name; False for a sequence of JPEG pictures."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a path as given
            if picture_format(data := file.read(HEADER_BYTES)) is None:
                return False
            data += file.read(_EXAMINED_BYTES)
    except OSError as error:
        raise SourceError(f"{shown_path(path)} cannot be read: {error.strerror}") from error
    return b"\xff\xd9\xff\xd8\xff" not in data


_EXAMINED_BYTES = 4_000_000


def _folder_files(folder: str) -> list[str]:
    """Return the files directly inside a folder, without hidden ones, in natural order."""
    try:
        with os.scandir(folder) as entries:
            found = [entry.name for entry in entries if not entry.name.startswith(".") and not entry.is_dir()]
    except OSError as error:
        raise SourceError(f"{shown_path(folder)} cannot be read: {error.strerror}") from error
    return [os.path.join(folder, name) for name in sorted(found, key=natural_key)]  # noqa: PTH118


def _glob_files(pattern: str) -> list[str]:
    """Return the files that match a pattern, in natural order; "**" matches any number of folders.

    A folder that is reached repeatedly, through a symbolic link to a parent, counts once.
    """
    first: dict[str, str] = {}
    found = []
    for path in sorted(glob.glob(pattern, recursive=True), key=natural_key):  # noqa: PTH207 - Path.glob rejects absolute patterns
        folder = os.path.dirname(path)  # noqa: PTH120
        if first.setdefault(os.path.realpath(folder), folder) == folder and not os.path.isdir(path):  # noqa: PTH112
            found.append(path)
    return found


def _open_matches(files: Sequence[str], text: str, capture: Capture) -> Source:
    """Open the pictures among the files of a folder or glob."""
    pictures = [path for path in files if has_picture_suffix(path)]
    others = [path for path in files if not has_picture_suffix(path)]
    if pictures:
        return PictureSource(pictures, name=text, capture=capture, others=others)
    shown = shown_path(without_credentials(text))
    if videos := sum(map(has_video_suffix, others)):
        raise SourceNotFoundError(
            f"no pictures at {shown}, but {counted(videos, 'video')}; process one of them, or all with: "
            f"{batch_command(text)}"
        )
    advice = f"; to include its subfolders use: {batch_command(text)}" if _has_subfolder(text) else ""
    raise SourceNotFoundError(
        f"no pictures at {shown}: expected files ending in {', '.join(sorted(PICTURE_SUFFIXES))}"
        f"{other_files(len(others))}{advice}"
    )


def _has_subfolder(path: str) -> bool:
    try:
        with os.scandir(os.path.expanduser(path)) as entries:  # noqa: PTH111
            return any(entry.is_dir() and not entry.name.startswith(".") for entry in entries)
    except (OSError, ValueError):
        return False
