"""Custom sink selected by file suffix: subtitles with the perceived expressions, for any video player.

Needs: edgeinfer, and pip install ./examples/custom_sink
Run:   edgeinfer run clip.mp4 --out clip.srt
       mpv clip.mp4     (or VLC: both load subtitles with the same name)
"""

from collections.abc import Callable
from pathlib import Path
from typing import Self

import edgeinfer

MIN_DURATION_S, MAX_DURATION_S = 0.5, 5.0
"""Minimum and maximum duration of a subtitle, in seconds; a killed run loses at most one subtitle."""


class SubtitleSink:
    """Sink for SubRip subtitles: the labels of the faces in view, from left to right."""

    def __init__(self, target: str) -> None:
        self._target, self._count = target, 0
        self._text, self._start_s, self._now_s = "", 0.0, 0.0

    def __enter__(self) -> Self:
        """Create the file.

        Raises:
            OutputError: The file cannot be written.
        """
        try:
            # Unbuffered: each subtitle is written completely and immediately, so that a killed run leaves a valid file.
            self._file = Path(self._target).open("wb", buffering=0)
        except OSError as error:
            raise edgeinfer.OutputError(
                f"cannot write {self._target}: {error.strerror}; choose another file"
            ) from error
        return self

    def start(self, header: edgeinfer.RunHeader, summary: Callable[[], edgeinfer.RunSummary]) -> None:
        """Do nothing: subtitles have no header."""

    def write(self, frame: edgeinfer.Frame, result: edgeinfer.Result) -> None:
        """Start a new subtitle when the labels have changed."""
        self._now_s = frame.timestamp_s
        text = " | ".join(face.emotion.label for face in sorted(result.faces, key=lambda face: face.box.x))
        duration_s = self._now_s - self._start_s
        readable = duration_s >= MIN_DURATION_S or not self._text
        if (text != self._text and readable) or duration_s >= MAX_DURATION_S:
            self._write_subtitle()
            self._text, self._start_s = text, self._now_s

    def _write_subtitle(self) -> None:
        """Write the current subtitle, which ends now."""
        text, self._text = self._text, ""
        if not text or self._now_s <= self._start_s:
            return
        self._count += 1
        times = f"{_format_time(self._start_s)} --> {_format_time(self._now_s)}"
        try:
            self._file.write(f"{self._count}\n{times}\nperceived: {text}\n\n".encode())
        except OSError as error:
            raise edgeinfer.OutputError(f"cannot write {self._target}: {error.strerror}; free some space") from error

    def __exit__(self, *_: object) -> None:
        """Write the last subtitle and close the file."""
        try:
            self._write_subtitle()
        finally:
            self._file.close()


def _format_time(seconds: float) -> str:
    """Format a time in SubRip's notation, HH:MM:SS,mmm."""
    minutes, ms = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{ms // 1000:02},{ms % 1000:03}"
