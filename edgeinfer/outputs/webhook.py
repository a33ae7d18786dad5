"""Events sent by HTTP POST from a background thread, so that a slow receiver never delays the run."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Self

from edgeinfer.outputs.background import BackgroundQueue
from edgeinfer.outputs.events import Event, event_payload
from edgeinfer.outputs.http_post import PostError, PostTarget, post_json
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Frame, Result

QUEUE_CAPACITY = 200
"""Maximum number of queued events; beyond it the oldest is dropped."""
ATTEMPTS = 3
"""Attempts per event; only one once the sink is closing."""
REQUEST_TIMEOUT_S = 5.0
"""Timeout of one request from the connection to the status line, in seconds."""
CLOSE_TIMEOUT_S = 3.0
"""Time for sending the remaining events when the sink is closed, in seconds."""
_log = logging.getLogger(__name__)


class WebhookSink(AbstractContextManager["WebhookSink"]):
    """Sink that posts each event as a JSON object; see `event_payload`.

    Redirects are not followed, because they could send the event and the credentials to another host.

    Attributes:
        sent: number of events that received a response with a status of 200 to 299.
        dropped: number of events that were dropped because all attempts failed or the queue was full.
    """

    def __init__(self, url: str, *, pause_s: float = 1.0) -> None:
        """Initialize the sink without connecting.

        Args:
            url: http or https URL; a user name and password in it are sent as basic authentication.
            pause_s: pause before the second attempt in seconds, doubled before the third.

        Raises:
            UsageError: The URL is not a valid http or https URL.
        """
        self._target, self._pause_s = PostTarget.parse(url), pause_s
        self._source, self.sent, self.dropped = "", 0, 0
        self._queue: BackgroundQueue[bytes] = BackgroundQueue(
            self._deliver, name="webhook", capacity=QUEUE_CAPACITY, on_drop=lambda: self._drop("the queue is full")
        )

    def __enter__(self) -> Self:
        """Start the thread that sends events."""
        self._queue.start()
        return self

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Store the source's name for the payloads."""
        self._source = header.source

    def handle_events(self, events: Sequence[Event], frame: Frame | None, result: Result | None) -> None:
        """Queue events for sending."""
        for event in events:
            payload = json.dumps(event_payload(event, self._source), ensure_ascii=False)
            self._queue.put(payload.encode(errors="replace"))  # file names may contain undecodable bytes

    def write(self, frame: Frame, result: Result) -> None:
        """Ignore the frame; only events are sent."""

    def __exit__(self, *_: object) -> None:
        """Send the remaining events, waiting at most `CLOSE_TIMEOUT_S`, and log the number of failed ones."""
        unsent = self._queue.close(CLOSE_TIMEOUT_S)
        if unsent or self.dropped:
            late = f", {unsent} were not delivered in time" if unsent else ""
            _log.warning("%s: %d events delivered, %d dropped%s", self._display_name, self.sent, self.dropped, late)

    @property
    def _display_name(self) -> str:
        return self._target.display_name

    def _deliver(self, body: bytes) -> None:
        """Post an event, with retries; pause before each attempt but the first."""
        reason = ""
        for attempt in range(ATTEMPTS):
            if attempt and self._queue.closing.wait(self._pause_s * 2 ** (attempt - 1)):
                break
            try:
                post_json(self._target, body, timeout_s=REQUEST_TIMEOUT_S)
            except PostError as error:
                reason = str(error)
            except Exception as error:  # the thread serves the whole run and must survive any error
                reason = f"unexpected {type(error).__name__}"
            else:
                self.sent += 1
                return
            _log.info("%s: %s", self._display_name, reason)
        self._drop(reason)

    def _drop(self, reason: str) -> None:
        self.dropped += 1
        if self.dropped == 1:
            _log.warning("%s: event dropped: %s; further drops are only counted", self._display_name, reason)


def check_url(url: str) -> None:
    """Validate the URL of a webhook.

    Raises:
        UsageError: The URL is not a valid http or https URL.
    """
    PostTarget.parse(url)
