"""Live source: a reader thread keeps only the newest frame and reopens the source after a loss."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

import cv2

from edgeinfer.errors import SourceError, SourceLostError
from edgeinfer.results import Frame, SourceState, State
from edgeinfer.sources.base import Source
from edgeinfer.sources.clock import Clock, SystemClock
from edgeinfer.sources.connection import Connection
from edgeinfer.sources.retry import Patience
from edgeinfer.system import interrupts
from edgeinfer.system.hardware import release_free_memory
from edgeinfer.units import backoff_s

CLOSING_S = 1.0
"""Maximum time in seconds that closing waits for a pending read. A camera delivers a frame well within this time."""
MAX_STUCK_READS = 3
"""Number of concurrently hanging reads at which no further connection is opened."""
_log = logging.getLogger(__name__)

StateListener = Callable[[SourceState], None]


class LiveSource(AbstractContextManager["LiveSource"]):
    """The newest frame of an underlying source; frames that are not consumed in time are dropped and counted.

    One thread per connection opens, reads and closes the underlying source, because releasing a capture during a read
    crashes. A read that hangs is abandoned: it blocks neither this source nor process exit, and any frames that it
    still delivers are discarded.

    Attributes:
        name: Name of the underlying source.
        live: True.
        continuous: True if frames follow each other in time.
        fps: Nominal frames per second of the underlying source, or None if unknown.
        frame_count: Number of frames of the underlying source, or None if unknown.
        dropped: Number of frames read but not yielded.
        skipped: Number of frames that could not be decoded.
        reconnects: Number of times that frames resumed after a loss.
        patience: Timeouts and retry limit.
        paced: True if each frame is held back until its presentation time.
        listener: Callback of the application, or None. It receives every change of state in the thread that
            iterates over the frames, before the listeners added with `add_state_listener`.
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
        clock: Clock | None = None,
        backoff: Callable[[int], float] | None = None,
    ) -> None:
        """Take ownership of a source. Reading starts with the iteration.

        Args:
            source: Underlying source, closed by this one; None if it could not be opened yet.
            name: Name to use if `source` is None.
            reopen: Function that opens the underlying source again; None disables retries and timeouts.
            patience: Timeouts and retry limit; ignored without `reopen`.
            paced: Hold each frame back until its presentation time, counted from the first frame, as a video player
                does. For files, which could be read faster than real time.
            clock: Clock for timeouts and pacing.
            backoff: Function from the number of consecutive failures to the pause in seconds before the next try.
        """
        self.name = source.name if source else name
        self.continuous = source.continuous if source else True
        self.fps, self.frame_count = (source.fps, source.frame_count) if source else (None, None)
        self.dropped = self.skipped = self.reconnects = 0
        self.listener: StateListener | None = None
        self.patience = patience or Patience()
        self.paced = paced
        self._listeners: list[StateListener] = []
        self._reopen = reopen
        self._clock, self._backoff = clock or SystemClock(), backoff or backoff_s
        self._condition = threading.Condition()
        self._newest: Frame | None = None
        self._closing = False
        self._initial_source = source
        self._connection = None if source is None else Connection(self, lambda: source, name=self.name)
        self._stuck: list[Connection] = []
        self._frames_read, self._failures, self._delivered = 0, int(source is None), False
        self._first_s: float | None = None
        self._playback_start_s: float | None = None
        self._recovering = False

    @property
    def waits_for_source(self) -> bool:
        """True if the retry limit allows the underlying source to be unavailable at start-up."""
        return self.patience.allows(1, opened=False)

    def add_state_listener(self, listener: StateListener) -> None:
        """Register a callback that receives every later change of state.

        Args:
            listener: Called in the thread that iterates over the frames. `listener`, the application's own callback,
                stays in place.
        """
        self._listeners.append(listener)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the newest frame each time; block while there is none.

        `index` counts the frames read, so a gap equals the number of dropped frames. `captured_s` gives a frame's age.
        Timestamps and indices continue across reconnects.

        Raises:
            SourceError: Opening or reading the underlying source failed and the last retry failed too; raised after
                the last frame was yielded.
            SourceLostError: The source had yielded frames and could not be reopened.
        """
        if self._initial_source is None:
            self._publish("lost", f"{self.name} cannot be opened yet")
        while (connection := self._connect()) is not None:
            state: State = "connecting"
            while (frame := self._next_frame(connection, state)) is not None:
                if state == "connecting":
                    state = "live"
                    self._publish(state, f"receiving frames from {self.name}")
                yield frame
            if not self._retries_after(connection):
                return

    def _connect(self) -> Connection | None:
        """Start reading, after the backoff if an earlier attempt failed; return None if this source was closed."""
        if self._failures:
            pause_s = self._backoff(self._failures)
            with self._condition:
                self._wait_for(lambda: self._closing, pause_s)
            if self._closing:
                return None
        self._publish("connecting", f"opening {self.name}")
        if self._connection is None or self._connection.started:
            self._connection = Connection(self, self._open_again, name=self.name)
        self._connection.start()
        return self._connection

    def _open_again(self) -> Source:
        if self._reopen is None or sum(not stuck.closed for stuck in self._stuck) >= MAX_STUCK_READS:
            raise SourceError(f"{self.name} is not reopened while {MAX_STUCK_READS} earlier reads hang")
        return self._reopen()

    def _next_frame(self, connection: Connection, state: State) -> Frame | None:
        """Return the next frame, or None if the connection ended or timed out."""
        timeout_s = None
        if self._reopen is not None:
            timeout_s = self.patience.open_s if state == "connecting" else self.patience.stall_s
        with self._condition:
            in_time = self._wait_for(lambda: self._newest is not None or connection.closed, timeout_s)
            frame, self._newest = self._newest, None
            if not in_time:
                connection.abandoned = True
                connection.error = SourceLostError(f"{self.name} delivered no frame for {timeout_s:g} s")
            if frame is not None:
                self.reconnects += self._delivered and self._failures > 0
                self._delivered, self._failures = True, 0
            return frame

    def _wait_for(self, predicate: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait until the predicate holds; return False on a timeout.

        The caller holds the lock, which is released while interruptions are checked.
        """
        if not interrupts.are_checked():
            return self._clock.wait_for(self._condition, predicate, timeout_s)
        deadline_s = math.inf if timeout_s is None else self._clock.now_s() + timeout_s
        while (left_s := deadline_s - self._clock.now_s()) > 0:
            if self._clock.wait_for(self._condition, predicate, min(interrupts.CHECK_S, left_s)):
                return True
            self._condition.release()
            try:
                interrupts.check()
            finally:
                self._condition.acquire()
        return predicate()

    def _retries_after(self, connection: Connection) -> bool:
        """Handle the end of a connection and return True if the source is to be reopened.

        Raises:
            SourceError: The connection failed and no retry is left.
        """
        if connection.error is None:
            return False
        if self._reopen is None or not isinstance(connection.error, (OSError, cv2.error)):
            raise connection.error
        self._publish("stalled" if connection.abandoned else "lost", str(connection.error))
        if connection.abandoned:
            self._stuck = [stuck for stuck in (*self._stuck, connection) if not stuck.closed]
        self._failures += 1
        release_free_memory()
        if self.patience.allows(self._failures, opened=self._delivered):
            return True
        if not self._delivered:
            raise connection.error
        raise SourceLostError(
            f"{self.name} was lost after {self._frames_read} frames and could not be reopened; check its cable or "
            "network, or increase `retries`"
        ) from connection.error

    def _publish(self, state: State, detail: str) -> None:
        now_s = 0.0 if self._first_s is None else self._clock.now_s() - self._first_s
        failed = state in ("stalled", "lost")
        # The recovery is logged at the level of the loss, so that a log of warnings shows both.
        level = logging.WARNING if failed or (state == "live" and self._recovering) else logging.INFO
        _log.log(level, "%s: %s", state, detail)
        self._recovering = failed or (self._recovering and state != "live")
        change = SourceState(state, now_s, detail)
        for listener in (self.listener, *self._listeners):
            if listener is not None:
                listener(change)

    def receive(self, connection: Connection, frame: Frame) -> bool:
        """Make a frame the newest one, at its presentation time if paced; return False to stop reading."""
        with self._condition:
            if self.paced:
                frame = self._hold_back(frame)
            if self._closing or connection.abandoned:
                return False
            self.dropped += self._newest is not None
            self._newest = self._renumber(frame)
            self._condition.notify_all()
            return True

    def _hold_back(self, frame: Frame) -> Frame:
        """Wait until a frame's presentation time and set its capture time; the caller holds the lock."""
        now_s = self._clock.now_s()
        if self._playback_start_s is None:
            self._playback_start_s = now_s - frame.timestamp_s
        left_s = self._playback_start_s + frame.timestamp_s - now_s
        if left_s > 0:
            self._clock.wait_for(self._condition, lambda: self._closing, left_s)
        return replace(frame, captured_s=self._clock.now_s())

    def _renumber(self, frame: Frame) -> Frame:
        """Return a frame with an index and timestamp that continue across connections."""
        index, self._frames_read = self._frames_read, self._frames_read + 1
        captured_s = self._clock.now_s() if frame.captured_s is None else frame.captured_s
        self._first_s = captured_s if self._first_s is None else self._first_s
        timestamp_s = frame.timestamp_s if self._reopen is None else captured_s - self._first_s
        return replace(frame, index=index, timestamp_s=timestamp_s)

    def connection_closed(self, connection: Connection, skipped: int) -> None:
        """Record the end of a connection and wake the consumer."""
        with self._condition:
            connection.closed = True
            self.skipped += skipped
            self._condition.notify_all()

    def __exit__(self, *_: object) -> None:
        """Stop reading and wait up to `CLOSING_S` for a pending read."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        if self._connection is not None and self._connection.started:
            self._connection.join(CLOSING_S)
        elif self._initial_source is not None:
            self._initial_source.__exit__(None, None, None)
