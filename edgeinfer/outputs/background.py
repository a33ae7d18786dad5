"""Work that another thread does, so that the run never waits for it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class BackgroundQueue(Generic[Item]):
    """Hands items to a thread of its own; where too many wait, the oldest go.

    Attributes:
        closing: set while the rest is delivered at the end.
    """

    def __init__(
        self, deliver: Callable[[Item], None], *, name: str, most: int, dropped: Callable[[], None] = lambda: None
    ) -> None:
        """Start without a thread.

        Args:
            deliver: called with each item in the other thread; it raises nothing.
            name: of the thread.
            most: items that may wait.
            dropped: called for each item that had to go.
        """
        self._deliver, self._most, self._dropped = deliver, most, dropped
        self._waiting: deque[Item] = deque()
        self._changed = threading.Condition()
        self.closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def put(self, item: Item) -> None:
        """Leave an item; returns at once."""
        with self._changed:
            self._waiting.append(item)
            late = len(self._waiting) > self._most
            if late:
                self._waiting.popleft()
            self._changed.notify()
        if late:
            self._dropped()

    def close(self, within_s: float) -> int:
        """Give what waits a little time; gives the number of items that still wait then."""
        with self._changed:
            self.closing.set()
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(within_s)
        return len(self._waiting)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self.closing.is_set())
                if not self._waiting:
                    return
                item = self._waiting.popleft()
            self._deliver(item)
