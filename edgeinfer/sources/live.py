"""A source in real time: a thread of its own reads it and keeps the newest frame only; what is lost comes back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

import cv2

from edgeinfer.errors import SourceError, SourceLostError
from edgeinfer.results import Frame, SourceState, State
from edgeinfer.sources.base import Source
from edgeinfer.sources.retry import Patience
from edgeinfer.system.hardware import release_free_memory
from edgeinfer.units import backoff_s

CLOSING_S = 1.0
"""How long closing waits for a read that is under way, in seconds. A camera gives a frame well within it."""
MOST_STUCK = 3
"""Reads that may hang at once; while so many do, nothing more is opened."""
_log = logging.getLogger(__name__)


class LiveSource(AbstractContextManager["LiveSource"]):
    """The newest frame of another source; what nobody fetched in time is dropped and counted.

    Each connection is read, and opened and closed, by a thread of its own, since a capture that is released during a
    read crashes. A read that is stuck is left behind: it holds neither this source nor the end of the program, and what
    it still gives is thrown away.

    Attributes:
        name: of the other source.
        live: True.
        continuous: whether frames follow each other.
        fps: frames a second where the other source tells, else None.
        frame_count: frames in all where it tells, else None.
        dropped: frames that were read and never given.
        skipped: frames that could not be decoded.
        reconnects: how often it came back.
        paced: whether frames wait for their presentation time.
        listener: told of every change of state, in the thread that fetches the frames.
    """

    live = True

    def __init__(
        self,
        source: Source | None,
        *,
        name: str = "",
        reopen: Callable[[], Source] | None = None,
        patience: Patience | None = None,
        paced: bool = False,
    ) -> None:
        """Take over a source; reading starts with the iteration.

        Args:
            source: closed by this one; None for one that could not be opened yet.
            name: needed in its place.
            reopen: opens it again when it is lost; None gives up at once.
            patience: deadlines and tries; without `reopen` there are none.
            paced: hold each frame back until its presentation time, counted from the first, as a player does. For a
                file, which could be read faster.
        """
        self.name = source.name if source else name
        self.continuous = source.continuous if source else True
        self.fps, self.frame_count = (source.fps, source.frame_count) if source else (None, None)
        self.dropped = self.skipped = self.reconnects = 0
        self.listener: Callable[[SourceState], None] | None = None
        self.patience = patience or Patience()
        self._reopen, self.paced = reopen, paced
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._closing = False
        self._first, self._current = source, None if source is None else _Connection(self, lambda: source)
        self._stuck: list[_Connection] = []
        self._read, self._failures, self._given = 0, int(source is None), False
        self._first_s: float | None = None
        self._troubled = False

    def __iter__(self) -> Iterator[Frame]:
        """Give the newest frame each time, waiting for one where there is none.

        `index` counts what was read, so a gap is what was dropped. `captured_s` tells a frame's age. Time and index go
        on over a loss.

        Raises:
            SourceError: whatever opening or reading the other source raises, after its last frame was given and the
                last retry failed.
            SourceLostError: it had given frames, and could not be opened again.
        """
        if self._first is None:
            self._tell("lost", f"{self.name} cannot be opened yet")
        while (current := self._connect()) is not None:
            state: State = "connecting"
            while (frame := self._take(current, state)) is not None:
                if state == "connecting":
                    state = "live"
                    self._tell(state, f"{self.name} gives frames")
                yield frame
            if not self._lost(current):
                return

    def _connect(self) -> _Connection | None:
        """Start reading, after a pause where something failed before; None when this source was closed."""
        if self._failures:
            until_s = time.monotonic() + backoff_s(self._failures)
            with self._changed:
                while not self._closing and (left_s := until_s - time.monotonic()) > 0:
                    self._changed.wait(left_s)
            if self._closing:
                return None
        self._tell("connecting", f"{self.name} is opened")
        if self._current is None or self._current.begun:
            self._current = _Connection(self, self._open_again)
        self._current.begin()
        return self._current

    def _open_again(self) -> Source:
        if self._reopen is None or sum(not stuck.ended for stuck in self._stuck) >= MOST_STUCK:
            raise SourceError(f"{self.name} is not opened again while {MOST_STUCK} reads of it hang")
        return self._reopen()

    def _take(self, current: _Connection, state: State) -> Frame | None:
        """The next frame; None when the connection ended, or gave none for too long."""
        limit_s = None
        if self._reopen is not None:
            limit_s = self.patience.open_s if state == "connecting" else self.patience.stall_s
        with self._changed:
            in_time = self._changed.wait_for(lambda: self._newest is not None or current.ended, limit_s)
            frame, self._newest = self._newest, None
            if not in_time:
                current.abandoned = True
                current.error = SourceLostError(f"{self.name} gave no frame for {limit_s:g} s")
            if frame is not None:
                self.reconnects += self._given and self._failures > 0
                self._given, self._failures = True, 0
            return frame

    def _lost(self, current: _Connection) -> bool:
        """Judge the end of a connection: whether to open it again.

        Raises:
            SourceError: there was an error, and no try is left.
        """
        if current.error is None:
            return False
        if self._reopen is None or not isinstance(current.error, (OSError, cv2.error)):
            raise current.error
        self._tell("stalled" if current.abandoned else "lost", str(current.error))
        if current.abandoned:
            self._stuck = [stuck for stuck in (*self._stuck, current) if not stuck.ended]
        self._failures += 1
        release_free_memory()
        if self.patience.allows(self._failures, opened=self._given):
            return True
        if not self._given:
            raise current.error
        raise SourceLostError(
            f"{self.name} was lost after {self._read} frames and did not come back; check its cable or network, "
            "or give more retries"
        ) from current.error

    def _tell(self, state: State, detail: str) -> None:
        now_s = 0.0 if self._first_s is None else time.monotonic() - self._first_s
        bad = state in ("stalled", "lost")
        # Who read of a loss wants to read of its end.
        told = bad or (state == "live" and self._troubled)
        _log.log(logging.WARNING if told else logging.INFO, "%s: %s", state, detail)
        self._troubled = bad or (self._troubled and state != "live")
        if self.listener is not None:
            self.listener(SourceState(state, now_s, detail))

    def put(self, connection: _Connection, frame: Frame, due_s: float | None) -> bool:
        """Make a frame of a connection the newest one, when it is due; whether reading goes on."""
        with self._changed:
            if due_s is not None:
                while not self._closing and (left_s := due_s - time.monotonic()) > 0:
                    self._changed.wait(left_s)
                frame = replace(frame, captured_s=time.monotonic())
            if self._closing or connection.abandoned:
                return False
            self.dropped += self._newest is not None
            self._newest = self._numbered(frame)
            self._changed.notify_all()
            return True

    def _numbered(self, frame: Frame) -> Frame:
        """The frame on the clock and in the count of all connections."""
        index, self._read = self._read, self._read + 1
        captured_s = time.monotonic() if frame.captured_s is None else frame.captured_s
        self._first_s = captured_s if self._first_s is None else self._first_s
        at_s = frame.timestamp_s if self._reopen is None else captured_s - self._first_s
        return replace(frame, index=index, timestamp_s=at_s)

    def end(self, connection: _Connection, skipped: int) -> None:
        """A connection is closed."""
        with self._changed:
            connection.ended = True
            self.skipped += skipped
            self._changed.notify_all()

    def __exit__(self, *_: object) -> None:
        """Stop reading; waits for a read under way, but not for long."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._current is not None and self._current.begun:
            self._current.join(CLOSING_S)
        elif self._first is not None:
            self._first.__exit__(None, None, None)


class _Connection:
    """One life of a source, from its opening to its close, in a thread of its own.

    Attributes:
        begun: the thread runs, or ran.
        ended: it is closed.
        abandoned: nobody wants its frames any more.
        error: why it ended, None where it was read to its end.
    """

    def __init__(self, owner: LiveSource, opening: Callable[[], Source]) -> None:
        self._owner, self._opening = owner, opening
        self.begun = self.ended = self.abandoned = False
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=f"reads {owner.name}", daemon=True)

    def begin(self) -> None:
        self.begun = True
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait a little for a read under way."""
        self._thread.join(seconds)

    def _run(self) -> None:
        skipped = 0
        try:
            with self._opening() as source:
                started: float | None = None
                for frame in source:
                    started = time.monotonic() - frame.timestamp_s if started is None else started
                    due_s = started + frame.timestamp_s if self._owner.paced else None
                    if not self._owner.put(self, frame, due_s):
                        break
                skipped = source.skipped
        except Exception as error:  # raised again where the frames are fetched
            if not self.abandoned:
                self.error = error
        self._owner.end(self, skipped)


def within(seconds: float, opening: Callable[[], Source], name: str) -> Source:
    """Open a source in another thread, so that a driver that hangs holds nobody.

    Raises:
        SourceError: it took too long, or whatever opening raises.
    """
    done: list[Source | Exception] = []
    abandoned = threading.Event()

    def work() -> None:
        try:
            opened = opening()
        except Exception as error:  # raised again below
            done.append(error)
            return
        done.append(opened)
        if abandoned.is_set():
            opened.__exit__(None, None, None)

    thread = threading.Thread(target=work, name=f"opens {name}", daemon=True)
    thread.start()
    thread.join(seconds)
    if not done:
        abandoned.set()
        raise SourceError(f"{name} could not be opened within {seconds:g} s; check its cable or network")
    if isinstance(done[0], Exception):
        raise done[0]
    return done[0]
