"""An output of your own, found by its suffix: subtitles of the perceived expressions, which any player shows.

Needs: edgeinfer, and pip install ./examples/custom_sink
Run:   edgeinfer run clip.mp4 --out clip.srt
       mpv clip.mp4     (or VLC: both take the subtitles of the same name)
"""

from collections.abc import Callable
from pathlib import Path
from typing import Self

import edgeinfer

SHORTEST_S, LONGEST_S = 0.5, 5.0
"""A text stays long enough to be read, and a killed run loses no more than the longest."""


class SubtitleSink:
    """Writes SubRip: the labels of the faces in view, from left to right."""

    def __init__(self, target: str) -> None:
        """Create the file.

        Raises:
            OutputError: it cannot be written.
        """
        self._target, self._count = target, 0
        self._text, self._since_s, self._now_s = "", 0.0, 0.0
        try:
            # Without a buffer each text goes out whole and at once; a killed run leaves subtitles that play.
            self._file = Path(target).open("wb", buffering=0)  # noqa: SIM115 - closed by __exit__
        except OSError as error:
            raise edgeinfer.OutputError(f"cannot write {target}: {error.strerror}; choose another place") from error

    def start(self, header: edgeinfer.RunHeader, summary: Callable[[], edgeinfer.RunSummary]) -> None:
        """Subtitles have no header."""

    def write(self, frame: edgeinfer.Frame, result: edgeinfer.Result) -> None:
        """Begin another text where the labels have changed."""
        self._now_s = frame.timestamp_s
        text = " | ".join(face.emotion.label for face in sorted(result.faces, key=lambda face: face.box.x))
        lasted_s = self._now_s - self._since_s
        readable = lasted_s >= SHORTEST_S or not self._text
        if (text != self._text and readable) or lasted_s >= LONGEST_S:
            self._finish()
            self._text, self._since_s = text, self._now_s

    def _finish(self) -> None:
        """Write the text that ends now."""
        text, self._text = self._text, ""
        if not text or self._now_s <= self._since_s:
            return
        self._count += 1
        times = f"{_clock(self._since_s)} --> {_clock(self._now_s)}"
        try:
            self._file.write(f"{self._count}\n{times}\nperceived: {text}\n\n".encode())
        except OSError as error:
            raise edgeinfer.OutputError(f"cannot write {self._target}: {error.strerror}; make room") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Write the last text, and close the file."""
        try:
            self._finish()
        finally:
            self._file.close()


def _clock(seconds: float) -> str:
    """Hours, minutes, seconds and milliseconds, as SubRip writes them."""
    minutes, rest_ms = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest_ms // 1000:02},{rest_ms % 1000:03}"
