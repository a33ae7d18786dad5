"""Events sent by HTTP POST from a background thread, so that a slow receiver never delays the run."""

from __future__ import annotations

import base64
import json
import logging
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Self
from urllib.parse import unquote, urlsplit

from edgeinfer.errors import UsageError
from edgeinfer.outputs.background import BackgroundQueue
from edgeinfer.outputs.events import Event, event_payload
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Frame, Result
from edgeinfer.url import without_credentials

QUEUE_CAPACITY = 200
"""Maximum number of queued events; beyond it the oldest is dropped."""
ATTEMPTS = 3
"""Attempts per event; only one once the sink is closing."""
REQUEST_TIMEOUT_S = 5.0
"""Timeout of one request, in seconds."""
CLOSE_TIMEOUT_S = 3.0
"""Time for sending the remaining events when the sink is closed, in seconds."""
_log = logging.getLogger(__name__)


class WebhookSink(AbstractContextManager["WebhookSink"]):
    """Sink that posts each event as a JSON object; see `event_payload`.

    Attributes:
        sent: number of events that were answered with a status of 200 to 299.
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
        self._url, self._headers = _split_credentials(url)
        self._display_url, self._pause_s = without_credentials(url), pause_s
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
            self._queue.put(json.dumps(event_payload(event, self._source), ensure_ascii=False).encode())

    def write(self, frame: Frame, result: Result) -> None:
        """Ignore the frame; only events are sent."""

    def __exit__(self, *_: object) -> None:
        """Send the remaining events, waiting at most `CLOSE_TIMEOUT_S`."""
        if unsent := self._queue.close(CLOSE_TIMEOUT_S):
            _log.warning("%s: %d events were not delivered in time", self._display_url, unsent)

    def _deliver(self, body: bytes) -> None:
        if not any(self._post(body, attempt) for attempt in range(ATTEMPTS)):
            self._drop("no attempt succeeded")

    def _post(self, body: bytes, attempt: int) -> bool:
        """Send a request and return True if it succeeded; pause before each attempt but the first."""
        if attempt and self._queue.closing.wait(self._pause_s * 2 ** (attempt - 1)):
            return False
        request = urllib.request.Request(self._url, body, self._headers, method="POST")  # noqa: S310 - checked
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S):  # noqa: S310 - checked
                self.sent += 1
                return True
        except (OSError, ValueError) as error:  # urllib's errors are OSErrors; a malformed response is a ValueError
            _log.info("%s: %s", self._display_url, type(error).__name__)
            return False

    def _drop(self, reason: str) -> None:
        self.dropped += 1
        if self.dropped == 1:
            _log.warning("%s: event dropped: %s; further drops are not logged", self._display_url, reason)


def _split_credentials(url: str) -> tuple[str, dict[str, str]]:
    """Return the URL without credentials, and the request headers with them."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise UsageError(f"invalid webhook URL {without_credentials(url)}: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"invalid webhook URL {without_credentials(url)}: expected http://HOST/PATH or https://HOST/PATH"
        )
    headers = {"Content-Type": "application/json", "User-Agent": "edgeinfer"}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return parts._replace(netloc=f"{host}{port}", fragment="").geturl(), headers


def check_url(url: str) -> None:
    """Validate the URL of a webhook.

    Raises:
        UsageError: The URL is not a valid http or https URL.
    """
    _split_credentials(url)
