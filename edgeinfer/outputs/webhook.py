"""Events sent to another program over HTTP, from a thread of its own, so that nobody there slows the run."""

from __future__ import annotations

import base64
import json
import logging
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from urllib.parse import unquote, urlsplit

from edgeinfer.errors import UsageError
from edgeinfer.outputs.background import BackgroundQueue
from edgeinfer.outputs.events import HOLD_S, Event, EventDetector, message
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Frame, Result
from edgeinfer.url import without_credentials

MOST_WAITING = 200
"""Events that wait to be sent; of more, the oldest are dropped."""
TRIES, TIMEOUT_S, CLOSING_S = 3, 5.0, 3.0
"""How often an event is sent, how long an answer may take, and how long closing waits for what is unsent."""
_log = logging.getLogger(__name__)


class WebhookSink(AbstractContextManager["WebhookSink"]):
    """Posts each event as a JSON object: appeared, changed, left.

    Attributes:
        sent: events that were taken with an answer of 200 to 299.
        dropped: events that nobody took, or that had to make room.
    """

    def __init__(self, url: str, *, pause_s: float = 1.0) -> None:
        """Connect to nobody yet.

        Args:
            url: http or https; a user name and password in it are sent as basic authentication.
            pause_s: before the second try, doubled before the third.

        Raises:
            UsageError: it is no such URL.
        """
        self._address, self._headers = _request_to(url)
        self._name, self._pause_s = without_credentials(url), pause_s
        self._events = EventDetector(hold_s=HOLD_S)
        self._source, self.sent, self.dropped = "", 0, 0
        self._outbox: BackgroundQueue[bytes] = BackgroundQueue(
            self._deliver, name="sends events", most=MOST_WAITING, dropped=lambda: self._drop("too many wait")
        )

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Begin to send."""
        self._source = header.source
        self._outbox.start()

    def write(self, frame: Frame, result: Result) -> None:
        """Queue what happened up to this frame."""
        for event in self._events.update(result):
            self._put(event)

    def _put(self, event: Event) -> None:
        self._outbox.put(json.dumps(message(event, self._source), ensure_ascii=False).encode())

    def _deliver(self, body: bytes) -> None:
        if not any(self._post(body, attempt) for attempt in range(TRIES)):
            self._drop("nobody took it")

    def _post(self, body: bytes, attempt: int) -> bool:
        """One try, after a pause unless it is the first; closing gives each event a single one."""
        if attempt and self._outbox.closing.wait(self._pause_s * 2 ** (attempt - 1)):
            return False
        request = urllib.request.Request(self._address, body, self._headers, method="POST")  # noqa: S310 - checked
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310 - checked
                self.sent += 1
                return True
        except (OSError, ValueError) as error:  # urllib's own errors are OSErrors; ValueError from a broken answer
            _log.info("%s: %s", self._name, type(error).__name__)
            return False

    def _drop(self, reason: str) -> None:
        self.dropped += 1
        if self.dropped == 1:
            _log.warning("%s: an event was dropped, since %s; further ones are counted", self._name, reason)

    def __exit__(self, *_: object) -> None:
        """Everyone leaves; what is unsent gets a little time."""
        for event in self._events.close():
            self._put(event)
        if unsent := self._outbox.close(CLOSING_S):
            _log.warning("%s: %d events were not delivered in time", self._name, unsent)


def _request_to(url: str) -> tuple[str, dict[str, str]]:
    """The address without credentials, and the headers with them."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise UsageError(f"{without_credentials(url)} is no address: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{without_credentials(url)} is no http or https address; events are posted to one")
    headers = {"Content-Type": "application/json", "User-Agent": "edgeinfer"}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return parts._replace(netloc=f"{host}{port}", fragment="").geturl(), headers


def check_url(url: str) -> None:
    """Refuse what no event could be sent to.

    Raises:
        UsageError: it is no http or https URL.
    """
    _request_to(url)
