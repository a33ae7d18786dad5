"""Streams of the preview: pictures, events of the page, and events of the HTTP API."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from typing import Any

from edgeinfer.outputs.preview.state import PreviewState

EVENTS_PER_S = 12.0
"""Maximum rate of the page's frame events."""
STATUS_INTERVAL_S = 1.0
"""Interval between the page's status events, in seconds."""
FIRST_REPEAT_S = 0.25
"""Time after which a picture is repeated once if no frame arrives, in seconds."""
REPEAT_INTERVAL_S = 5.0
"""Interval of further repetitions, in seconds."""
HEARTBEAT_S = 5.0
"""Interval between the API's status events, in seconds; a closed connection is detected within this time."""
BOUNDARY = "edgeinfer-picture"
_RETRY = b"retry: 1000\n\n"
"""Time after which an `EventSource` reconnects, in milliseconds."""


def jpeg_parts(state: PreviewState) -> Generator[bytes, None, None]:
    """Yield each new picture; repeat the last one if none arrives.

    Chromium shows a picture when the next one begins, and only a write detects a closed connection.
    """
    number, jpeg, timeout_s = 0, b"", REPEAT_INTERVAL_S
    while not state.closed.is_set():
        newer = state.wait_for_jpeg(after=number, timeout_s=timeout_s)
        timeout_s = FIRST_REPEAT_S if newer else REPEAT_INTERVAL_S
        number, jpeg = newer or (number, jpeg)
        if jpeg:
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            yield head.encode() + jpeg + b"\r\n"


def page_events(state: PreviewState) -> Generator[bytes, None, None]:
    """Yield the latest frames as JSONL objects, the status once per second, and the end of the run."""
    number, next_status_s = 0, 0.0
    yield _RETRY
    while not state.closed.wait(1 / EVENTS_PER_S):
        if time.monotonic() >= next_status_s:
            next_status_s = time.monotonic() + STATUS_INTERVAL_S
            yield event("status", state.page_status())
        timeout_s = max(0.0, next_status_s - time.monotonic())
        latest = state.wait_for_frame(after=number, timeout_s=timeout_s)
        if latest is not None:
            number = latest.number
            yield event("message", latest.result.to_dict(latest.frame))
    yield event("end", {"detail": state.farewell})


def api_events(state: PreviewState) -> Generator[bytes, None, None]:
    """Yield every frame, the status when the source's state changes and as a heartbeat, and the end of the run.

    A client that is too slow continues at the newest frame.
    """
    yield _RETRY
    with state.follower() as follower:
        yield event("status", state.status())
        next_status_s, closed = time.monotonic() + HEARTBEAT_S, False
        while not closed:
            closed = state.closed.is_set()  # read first, so that the frames before the end are sent
            frames, has_new_state = follower.take(next_status_s - time.monotonic())
            for frame in frames:
                yield event("frame", frame)
            if has_new_state or time.monotonic() >= next_status_s:
                next_status_s = time.monotonic() + HEARTBEAT_S
                yield event("status", state.status())
    yield event("end", {"detail": state.farewell})


def event(name: str, value: dict[str, Any]) -> bytes:
    """Return a server-sent event with JSON data."""
    return f"event: {name}\ndata: {json_text(value)}\n\n".encode(errors="replace")


def json_text(value: dict[str, Any]) -> str:
    """Return compact JSON on one line."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
