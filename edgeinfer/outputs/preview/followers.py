"""Clients that receive every frame, each with a bounded queue."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from edgeinfer.results import Frame, Result

MAX_LAG_FRAMES = 32
"""Number of frames by which a client may lag behind; beyond it the client continues at the newest frame."""


class Follower:
    """Queue of one client: filled by the run, emptied by the client's thread.

    Attributes:
        closed: Set at the end of the run.
    """

    def __init__(self, changed: threading.Condition, closed: threading.Event) -> None:
        """Initialize an empty queue.

        Args:
            changed: Condition that guards the queue, notified after each change.
            closed: Event that ends the waiting.
        """
        self._changed, self.closed = changed, closed
        self._frames: deque[dict[str, Any]] = deque()
        self._has_new_state = False

    def add(self, frame: dict[str, Any]) -> None:
        """Append a frame; drop the older ones if there are too many. The caller holds the condition."""
        if len(self._frames) >= MAX_LAG_FRAMES:
            self._frames.clear()
        self._frames.append(frame)

    def add_state(self) -> None:
        """Record that the state of the source has changed. The caller holds the condition."""
        self._has_new_state = True

    def take(self, timeout_s: float) -> tuple[list[dict[str, Any]], bool]:
        """Wait for a change; return the new frames, and True if the state of the source has changed.

        Args:
            timeout_s: Maximum time to wait, in seconds.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._frames or self._has_new_state or self.closed.is_set(), max(0.0, timeout_s)
            )
            frames, has_new_state = list(self._frames), self._has_new_state
            self._frames.clear()
            self._has_new_state = False
        return frames, has_new_state


def frame_object(frame: Frame, result: Result) -> dict[str, Any]:
    """Return the JSONL object of a frame with "size", the width and height to which its boxes refer, in pixels."""
    size_wh = frame.full_size_wh or (frame.image.shape[1], frame.image.shape[0])
    return {**result.to_dict(frame), "size": list(size_wh)}
