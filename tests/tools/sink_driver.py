"""Driver that feeds results to one sink step by step, in the order of `edgeinfer.run`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Self

import numpy as np

from edgeinfer import EventDetector
from edgeinfer.outputs.base import EventListener, Sink
from edgeinfer.outputs.events import HOLD_S
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Frame, Result

HEADER = RunHeader("fake", None, ("neutral", "happy"), "tiny", "", {"edgeinfer": "1.2"})


class SinkDriver:
    """Context manager that enters and starts a sink and sends the closing events before exiting it.

    Attributes:
        sink: the sink.
    """

    def __init__(self, sink: Sink, header: RunHeader = HEADER) -> None:
        self.sink: Any = sink
        self._header, self._events, self._stack = header, EventDetector(hold_s=HOLD_S), ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self.sink)
        self.sink.start(self._header, lambda: RunSummary(0, 0, {}, 0.0, {}))
        return self

    def write(self, result: Result, frame: Frame | None = None) -> None:
        """Send the events of a result, then the result itself."""
        frame = frame or Frame(np.zeros((2, 2, 3), np.uint8), 0, result.timestamp_s)
        if (events := self._events.update(result)) and isinstance(self.sink, EventListener):
            self.sink.handle_events(events, frame, result)
        self.sink.write(frame, result)

    def __exit__(self, *_: object) -> None:
        with self._stack:
            if (events := self._events.close()) and isinstance(self.sink, EventListener):
                self.sink.handle_events(events, None, None)
