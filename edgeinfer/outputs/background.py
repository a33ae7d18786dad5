"""A bounded queue whose items a background thread delivers, so that the run never waits for a slow receiver."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from edgeinfer.system import interrupts

Item = TypeVar("Item")


class BackgroundQueue(Generic[Item]):
    """Bounded queue with one consumer thread; when it is full, the oldest item is dropped.

    Attributes:
        closing: set once `close` has been called; the remaining items are still delivered.
        error: first exception that `deliver` raised, or None; the items after it are still delivered.
    """

    def __init__(
        self,
        deliver: Callable[[Item], None],
        *,
        name: str,
        capacity: int,
        on_drop: Callable[[], None] = lambda: None,
    ) -> None:
        """Initialize the queue without starting its thread.

        Args:
            deliver: called with each item in the background thread.
            name: name of the thread.
            capacity: maximum number of queued items.
            on_drop: called once for each dropped item, in the thread that calls `put`.
        """
        self._deliver, self._capacity, self._on_drop = deliver, capacity, on_drop
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self.closing = threading.Event()
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread that delivers items."""
        self._thread.start()

    def put(self, item: Item) -> None:
        """Append an item without blocking."""
        with self._changed:
            self._items.append(item)
            overflow = len(self._items) > self._capacity
            if overflow:
                self._items.popleft()
            self._changed.notify()
        if overflow:
            self._on_drop()

    def close(self, timeout_s: float) -> int:
        """Stop the thread after the remaining items and return the number still queued at the timeout.

        Args:
            timeout_s: maximum time to wait, in seconds; shorter after an interruption.
        """
        with self._changed:
            self.closing.set()
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(interrupts.closing_limit_s(timeout_s))
        return len(self._items)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self.closing.is_set())
                if not self._items:
                    return
                item = self._items.popleft()
            try:
                self._deliver(item)
            except Exception as error:  # an error in one item must not end the thread
                self.error = self.error or error
