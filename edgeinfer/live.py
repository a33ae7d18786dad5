"""A source in real time: a thread of its own reads it and keeps the newest frame only."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # sources.py opens what is wrapped here
    from edgeinfer.sources import Frame, Source

CLOSING_S = 1.0
"""How long closing waits for a read that is under way, in seconds. A camera gives a frame well within it."""


class LiveSource(AbstractContextManager["LiveSource"]):
    """The newest frame of another source; what nobody fetched in time is dropped and counted.

    The thread alone touches the other source and closes it, since a capture that is released during a read crashes. A
    read that is stuck for good is left behind: it holds neither this source nor the end of the program.

    Attributes:
        name: of the other source.
        live: True.
        continuous: whether frames follow each other.
        fps: frames a second where the other source tells, else None.
        frame_count: frames in all where it tells, else None.
        dropped: frames that were read and never given.
    """

    live = True

    def __init__(self, source: Source, *, paced: bool = False) -> None:
        """Take over a source; reading starts with the iteration.

        Args:
            source: closed by this one.
            paced: hold each frame back until its presentation time, counted from the first, as a player does. For a
                file, which could be read faster.
        """
        self._source, self._paced = source, paced
        self.name, self.continuous = source.name, source.continuous
        self.fps, self.frame_count = source.fps, source.frame_count
        self.dropped = 0
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._error: Exception | None = None
        self._ended = self._closing = False
        self._thread: threading.Thread | None = None

    def __iter__(self) -> Iterator[Frame]:
        """Give the newest frame each time, waiting for one where there is none.

        `index` counts what was read, so a gap is what was dropped. `captured_s` tells a frame's age.

        Raises:
            SourceError: whatever reading the other source raises, after its last frame was given.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._read, name=f"reads {self.name}", daemon=True)
            self._thread.start()
        while (frame := self._take()) is not None:
            yield frame
        if self._error is not None:
            raise self._error

    def _take(self) -> Frame | None:
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._ended)
            frame, self._newest = self._newest, None
            return frame

    def _read(self) -> None:
        try:
            with self._source as source:
                started: float | None = None
                for frame in source:
                    started = time.monotonic() - frame.timestamp_s if started is None else started
                    if not self._put(frame, started + frame.timestamp_s if self._paced else None):
                        break
        except Exception as error:  # raised again where the frames are fetched
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _put(self, frame: Frame, due_s: float | None) -> bool:
        """Make a frame the newest one, when it is due; whether reading goes on."""
        with self._changed:
            if due_s is not None:
                while not self._closing and (left_s := due_s - time.monotonic()) > 0:
                    self._changed.wait(left_s)
                frame = replace(frame, captured_s=time.monotonic())
            if self._closing:
                return False
            self.dropped += self._newest is not None
            self._newest = frame
            self._changed.notify_all()
            return True

    def __exit__(self, *_: object) -> None:
        """Stop reading; waits for a read under way, but not for long."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is None:
            self._source.__exit__(None, None, None)
        else:
            self._thread.join(CLOSING_S)
