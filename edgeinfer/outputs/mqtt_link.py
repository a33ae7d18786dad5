"""Connection to an MQTT broker, maintained by a background thread that reconnects after an outage."""

from __future__ import annotations

import hashlib
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from edgeinfer.errors import CapabilityError, UsageError
from edgeinfer.system import interrupts
from edgeinfer.units import backoff_s
from edgeinfer.url import AddressError, host_and_port, without_credentials

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode


PORTS = {"mqtt": 1883, "mqtts": 8883}
QUEUE_CAPACITY = 200
"""Maximum number of queued messages; beyond it the oldest is dropped."""
MAX_URL_BYTES = 2000
"""Maximum length of a broker's URL."""
TICK_S = 0.1
"""Longest time until a new message is sent, in seconds."""
KEEPALIVE_S = 30
"""MQTT keep-alive interval, in seconds; the broker publishes the last will 1.5 intervals after the last packet."""
STABLE_S = 10.0
"""Duration of a connection after which the reconnect backoff starts over, in seconds."""
CLOSE_TIMEOUT_S = 3.0
"""Time for sending the remaining messages when the link is closed, in seconds."""
# A message omits the URL: if it cannot be parsed, its password cannot be removed reliably.
_EXPECTED = (
    "expected mqtt://[name:password@]host[:port][/topic], or mqtts:// for TLS, without wildcards; in a password, write "
    "characters such as @ / ? # as %40 %2F %3F %23"
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Address of an MQTT broker, with the base topic.

    Attributes:
        display_name: URL without credentials, for log messages.
        host: host name or IP address.
        port: TCP port, 1..65535.
        tls: True if the connection is encrypted and the certificate is verified against the system's authorities.
        username: user name, or None for an anonymous connection.
        password: password, or None.
        base: base topic, the prefix of all topics of the run.
    """

    display_name: str
    host: str
    port: int
    tls: bool
    username: str | None = field(repr=False)
    password: str | None = field(repr=False)
    base: str

    @classmethod
    def parse(cls, url: str) -> BrokerAddress:
        """Parse mqtt://[name:password@]host[:port][/base/topic], or mqtts:// for TLS.

        Raises:
            UsageError: The URL or its base topic is invalid.
        """
        try:
            too_long = len(url.encode()) > MAX_URL_BYTES
            parts = urlsplit(url)
            # Unescaped characters of a password end up here.
            misplaced = "?" in url or "#" in url or "@" in parts.path or not url.isprintable() or too_long
            if misplaced or parts.scheme not in PORTS:
                raise ValueError("not an MQTT URL")
            host, port = host_and_port(parts.netloc.rpartition("@")[2], default_port=PORTS[parts.scheme])
        except AddressError as error:
            raise UsageError(f"invalid MQTT URL: {error}; {_EXPECTED}") from error
        except ValueError as error:
            raise UsageError(f"invalid MQTT URL: {_EXPECTED}") from error
        base = unquote(parts.path).strip("/") or f"edgeinfer/{socket.gethostname()}"
        if not base.isprintable() or set(base) & set("+#") or base.startswith("$") or len(base) > 500:
            raise UsageError(
                "invalid MQTT topic in the URL: expected at most 500 characters without wildcards (+ #) and control "
                "characters, not starting with $"
            )
        username, password = (None if part is None else unquote(part) for part in (parts.username, parts.password))
        return cls(without_credentials(url), host, port, parts.scheme == "mqtts", username, password, base)

    @property
    def client_id(self) -> str:
        """Identifier of the MQTT client and the device, derived from the base topic; 21 letters and digits.

        Because it is stable, a broker that still holds the connection from before a power cut closes it and publishes
        its last will before it accepts the new connection, instead of up to a minute later.
        """
        return f"edgeinfer{hashlib.sha256(self.base.encode()).hexdigest()[:12]}"


class MqttLink:
    """Connection to a broker that a background thread maintains; no method but `close` blocks.

    The retained topic `availability` under the base topic is "online" while the link is connected; the broker's last
    will sets it to "offline".

    Attributes:
        dropped: number of messages that were dropped because the queue was full.
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        on_tick: Callable[[bool], None],
        subscriptions: Mapping[str, Callable[[bytes], None]] | None = None,
    ) -> None:
        """Initialize the link without connecting.

        Args:
            address: address of the broker.
            on_tick: called in the background thread at least ten times per second while the broker accepts data, with
                True for the first call on a connection; publishes values that need no delivery guarantee.
            subscriptions: map from topic to handler, called in the background thread with the payload of each message.

        Raises:
            CapabilityError: paho-mqtt is not installed.
        """
        self._address, self._on_tick, self._subscriptions = address, on_tick, dict(subscriptions or {})
        self._client = self._new_client(address)
        self._queue: deque[_Message] = deque()
        self._in_flight: _Message | None = None
        self._in_flight_id, self.dropped = 0, 0
        self._offline_sent = False
        self._connected_s: float | None = None
        self._refusal = ""
        self._warned: set[str] = set()
        self._closing, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    def _new_client(self, address: BrokerAddress) -> Client:
        try:
            from edgeinfer.outputs.mqtt_client import BoundedClient  # noqa: PLC0415 - optional dependency
        except ImportError as error:
            raise CapabilityError("MQTT needs paho-mqtt; install it with: pip install 'edgeinfer[mqtt]'") from error
        client = BoundedClient(address.client_id)
        client.connect_async(address.host, address.port, KEEPALIVE_S)
        client.will_set(f"{address.base}/availability", "offline", qos=1, retain=True)
        if address.username is not None:
            client.username_pw_set(address.username, address.password)
        if address.tls:
            client.tls_set_context()
        client.on_connect, client.on_publish = self._on_connect, self._on_publish
        for topic, handler in self._subscriptions.items():
            client.message_callback_add(topic, _payload_callback(handler))
        return client

    def start(self) -> None:
        """Start the background thread, which connects."""
        self._thread.start()

    def publish(self, topic: str, payload: str, *, retain: bool = False) -> None:
        """Publish a message at most once (QoS 0); to be called from `on_tick` only."""
        self._client.publish(topic, payload, retain=retain)

    def enqueue(self, topic: str, payload: str) -> None:
        """Queue a message for publication at least once (QoS 1), in order, as soon as the broker is connected."""
        self._queue.append(_Message(topic, payload))
        while len(self._queue) > QUEUE_CAPACITY:
            self._queue.popleft()
            self.dropped += 1
            if self.dropped == 1:
                _log.warning("%s: event dropped: the queue is full; further drops are not logged", self._display_name)

    def close(self) -> None:
        """Publish the queued messages and "offline", then disconnect; give up after `CLOSE_TIMEOUT_S`."""
        if self._thread.ident is None:
            return
        self._closing.set()
        self._thread.join(interrupts.closing_limit_s(CLOSE_TIMEOUT_S))
        self._stopped.set()
        remaining = [*self._queue, *([self._in_flight] if self._in_flight else [])]
        if undelivered := sum(not message.retain for message in remaining):
            _log.warning("%s: %d events were not delivered in time", self._display_name, undelivered)

    @property
    def _display_name(self) -> str:
        return self._address.display_name

    def _run(self) -> None:
        """Connect repeatedly until the link is closed and all is published; once closing, connect only once more."""
        failures = 0
        while not self._stopped.is_set():
            last_attempt = self._closing.is_set()
            problem = self._serve_connection()
            if problem is None or self._stopped.is_set():
                break
            connected_s = self._connected_s
            unstable = connected_s is not None and time.monotonic() - connected_s < STABLE_S
            if unstable and failures:
                problem += " again after a short time, possibly because another run has the same topic"
            self._warn_once(problem)
            if last_attempt:
                break
            failures = failures + 1 if unstable or connected_s is None else 1
            self._closing.wait(backoff_s(failures))
        if (open_socket := self._client.socket()) is not None:
            open_socket.close()
        # paho closes its socket pair only when the client is destroyed; the cycle client -> callback -> link -> client
        # would delay that until a garbage collection.
        del self._client

    def _warn_once(self, problem: str) -> None:
        """Log a problem, but only the first refusal and the first outage since the last connection."""
        kind = "refused" if self._refusal else "unreachable"
        if kind not in self._warned:
            self._warned.add(kind)
            _log.warning("%s: %s; retrying until the run ends", self._display_name, problem)

    def _serve_connection(self) -> str | None:
        """Connect and publish until the connection ends; return the problem, or None if all was published."""
        self._connected_s, self._refusal = None, ""
        try:
            self._client.reconnect()
        except OSError as error:
            return f"the broker cannot be reached ({error.strerror or error})"
        while self._receive() and not self._stopped.is_set():
            if self._publish_pending():
                self._client.disconnect()
                return None
        if self._refusal:
            return f"the broker refused the connection ({self._refusal}); check the user name and password"
        return "the broker does not respond" if self._connected_s is None else "the connection to the broker was lost"

    def _receive(self) -> bool:
        """Exchange packets with the broker for up to `TICK_S`; return False if the connection has ended."""
        try:
            return self._client.loop(TICK_S) == 0
        except Exception as error:  # paho raises various errors for malformed packets
            _log.info("%s: malformed packet (%s)", self._display_name, type(error).__name__)
            return False

    def _publish_pending(self) -> bool:
        """Publish what the connection accepts without buffering; return True if the link is closing and done.

        Only one QoS 1 message is in flight at a time, so that a retransmission cannot change the order
        (MQTT 3.1.1, 4.6).
        """
        client = self._client
        if not client.is_connected() or client.socket() is None or client.want_write():
            return False
        first = self._connected_s is None
        if first:
            self._announce()
        closing = self._closing.is_set()  # read before `on_tick`, so that its final values precede "offline"
        if not self._offline_sent:
            self._on_tick(first)
        if self._in_flight is None and self._queue:
            self._send(self._queue.popleft())
        elif self._in_flight is None and closing and not self._offline_sent:
            self._offline_sent = True
            self._send(_Message(f"{self._address.base}/availability", "offline", retain=True))
        return self._offline_sent and self._in_flight is None

    def _send(self, message: _Message) -> None:
        """Publish a message with QoS 1."""
        self._in_flight = message
        self._in_flight_id = self._client.publish(message.topic, message.payload, qos=1, retain=message.retain).mid

    def _announce(self) -> None:
        """Publish "online" and subscribe to topics on a new connection."""
        self._connected_s, self._offline_sent = time.monotonic(), False
        # The end of an outage is logged at the same level as its start, so that both appear in the same log.
        level = logging.WARNING if self._warned else logging.INFO
        _log.log(level, "%s: connected to the broker, %d events queued", self._display_name, len(self._queue))
        self._warned.clear()
        self.publish(f"{self._address.base}/availability", "online", retain=True)
        for topic in self._subscriptions:
            self._client.subscribe(topic)

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        self._refusal = str(reason) if reason.is_failure else ""

    def _on_publish(self, _client: Client, _data: Any, message_id: int, _reason: Any, _properties: Any) -> None:
        if self._in_flight is not None and message_id == self._in_flight_id:
            self._in_flight = None


class _Message(NamedTuple):
    """Queued message.

    Attributes:
        topic: full topic.
        payload: text of the message.
        retain: True if the broker keeps it for later subscribers.
    """

    topic: str
    payload: str
    retain: bool = False


def _payload_callback(handler: Callable[[bytes], None]) -> Callable[[Client, Any, MQTTMessage], None]:
    """Return a callback for paho that calls the handler with the message's payload."""
    return lambda _client, _data, message: handler(bytes(message.payload))
