"""A connection to an MQTT broker that comes back by itself, kept by a thread of its own."""

from __future__ import annotations

import hashlib
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from edgeinfer.errors import CapabilityError, UsageError
from edgeinfer.units import backoff_s
from edgeinfer.url import without_credentials

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode


PORTS = {"mqtt": 1883, "mqtts": 8883}
MOST_WAITING = 200
"""Messages that wait to be delivered; of more, the oldest are dropped."""
TICK_S, KEEPALIVE_S, STEADY_S, CLOSING_S = 0.1, 30, 10.0, 3.0
"""How soon a new message is noticed, how long a silent broker is believed to be there, how long a connection must last
for the pauses to be short again, and how long closing waits for what is unsent."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where a broker is, and under which topic to publish.

    Attributes:
        name: the URL for people, free of credentials.
        host: name or IP address.
        port: of TCP.
        tls: whether to encrypt, and to check the broker's certificate by the system's authorities.
        username: None for no credentials.
        password: None for none.
        base: topic that all others lie under.
    """

    name: str
    host: str
    port: int
    tls: bool
    username: str | None = field(repr=False)
    password: str | None = field(repr=False)
    base: str

    @classmethod
    def parse(cls, url: str) -> BrokerAddress:
        """Take mqtt://[name:password@]host[:port][/base/topic] apart, or mqtts:// for TLS.

        Raises:
            UsageError: it is no such URL, or nothing can be published under its topic.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", PORTS[parts.scheme] if parts.port is None else parts.port
            host.encode("idna")
            # What nobody escaped in a password ends up here.
            misplaced = "?" in url or "#" in url or "@" in parts.path
        except (ValueError, KeyError):
            misplaced, host, port = True, "", 0
        if misplaced or not host or not port:
            # The URL is not repeated: where it cannot be taken apart, its password cannot be left out.
            raise UsageError(
                "that is no address of an MQTT broker; write mqtt://[name:password@]host[:port][/topic], or mqtts:// "
                "for TLS, without wildcards, and characters such as @ / ? # in a password as %40 %2F %3F %23"
            )
        base = unquote(parts.path).strip("/") or f"edgeinfer/{socket.gethostname()}"
        if not base.isprintable() or set(base) & set("+#") or base.startswith("$") or len(base) > 500:
            raise UsageError(
                f"nothing can be published under {base!r:.80}; a topic has no wildcard (+ #) and no control character, "
                "does not begin with $, and is at most 500 characters long"
            )
        username, password = (None if part is None else unquote(part) for part in (parts.username, parts.password))
        return cls(without_credentials(url), host, port, parts.scheme == "mqtts", username, password, base)

    @property
    def id(self) -> str:
        """Name of the client and of the device, the same for the same base topic; 21 letters and digits.

        With the same name after a power cut, the broker ends the earlier connection, and says its last will, before it
        accepts the new one instead of a minute later.
        """
        return f"edgeinfer{hashlib.sha256(self.base.encode()).hexdigest()[:12]}"


class MqttLink:
    """Publishes under an address; whoever hands it a message never waits.

    The topic `availability` under the base says "online", retained, and "offline" by itself when the link is gone.

    Attributes:
        dropped: messages that had to make room.
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        tell: Callable[[bool], None],
        listen: Mapping[str, Callable[[bytes], None]] | None = None,
    ) -> None:
        """Connect to nobody yet.

        Args:
            address: of the broker.
            tell: called in the thread ten times a second or more, as long as the broker takes what is published; with
                True for the first time on a connection. For what is worth nothing later.
            listen: topic to what takes its messages, in the thread.

        Raises:
            CapabilityError: paho-mqtt is not installed.
        """
        self._address, self._tell, self._listen = address, tell, dict(listen or {})
        self._client = self._new_client(address)
        self._waiting: deque[tuple[str, str, bool]] = deque()
        self._flying: tuple[str, str, bool] | None = None
        self._number, self.dropped = 0, 0
        self._greeted_s: float | None = None
        self._refusal = ""
        self._warned: set[str] = set()
        self._closing, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._serve, name="talks to the broker", daemon=True)

    def _new_client(self, address: BrokerAddress) -> Client:
        try:
            from paho.mqtt.client import Client  # noqa: PLC0415 - an extra
            from paho.mqtt.enums import CallbackAPIVersion  # noqa: PLC0415
        except ImportError as error:
            raise CapabilityError("MQTT needs the package paho-mqtt; run: pip install paho-mqtt") from error
        client = Client(CallbackAPIVersion.VERSION2, address.id, reconnect_on_failure=False)
        client.connect_async(address.host, address.port, KEEPALIVE_S)
        client.will_set(f"{address.base}/availability", "offline", qos=1, retain=True)
        if address.username is not None:
            client.username_pw_set(address.username, address.password)
        if address.tls:
            client.tls_set_context()
        client.on_connect, client.on_publish = self._on_connect, self._on_publish
        for topic, hear in self._listen.items():
            client.message_callback_add(topic, _heard_by(hear))
        return client

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def publish(self, topic: str, payload: str, *, retain: bool = False) -> None:
        """Say something at most once (QoS 0); only from within `tell`."""
        self._client.publish(topic, payload, retain=retain)

    def post(self, topic: str, payload: str) -> None:
        """Say something at least once (QoS 1), in order, as soon as the broker is there."""
        self._waiting.append((topic, payload, False))
        while len(self._waiting) > MOST_WAITING:
            self._waiting.popleft()
            self.dropped += 1
            if self.dropped == 1:
                _log.warning("%s: an event was dropped, since too many wait; further ones are counted", self._name)

    def close(self) -> None:
        """Say what waits, and "offline"; gives up after a little time."""
        if self._thread.ident is None:
            return
        self._waiting.append((f"{self._address.base}/availability", "offline", True))
        self._closing.set()
        self._thread.join(CLOSING_S)
        self._over.set()
        left = [*self._waiting, *([self._flying] if self._flying else [])]
        if unsent := sum(not retained for _, _, retained in left):
            _log.warning("%s: %d events were not delivered in time", self._name, unsent)

    @property
    def _name(self) -> str:
        return self._address.name

    def _serve(self) -> None:
        """Connect, again and again, until all is said; after closing has begun only once more."""
        failures = 0
        while not self._over.is_set():
            last = self._closing.is_set()
            trouble = self._converse()
            if trouble is None or self._over.is_set():
                break
            greeted_s = self._greeted_s
            brief = greeted_s is not None and time.monotonic() - greeted_s < STEADY_S
            if brief and failures:
                trouble += " again after a short time, as when another run has the same topic"
            self._warn(trouble)
            if last:
                break
            failures = failures + 1 if brief or greeted_s is None else 1
            self._closing.wait(backoff_s(failures))
        if (left := self._client.socket()) is not None:
            left.close()

    def _warn(self, trouble: str) -> None:
        """Say it, once for each loss and each refusal."""
        kind = "refused" if self._refusal else "away"
        if kind not in self._warned:
            self._warned.add(kind)
            _log.warning("%s: the broker %s; it is tried again as long as this run lasts", self._name, trouble)

    def _converse(self) -> str | None:
        """One connection from its beginning to its end; gives what went wrong, None when all is said."""
        self._greeted_s, self._refusal = None, ""
        try:
            self._client.reconnect()
        except OSError as error:
            return f"cannot be reached ({error.strerror or error})"
        while self._client.loop(TICK_S) == 0 and not self._over.is_set():
            if self._speak():
                self._client.disconnect()
                return None
        if self._refusal:
            return f"refuses the connection ({self._refusal}), check name and password"
        return "does not answer" if self._greeted_s is None else "was lost"

    def _speak(self) -> bool:
        """Say what can be said without anything piling up; whether closing may end now.

        One message at a time is on its way with QoS 1: nothing overtakes it when it has to be sent again
        (MQTT 3.1.1, 4.6).
        """
        client = self._client
        if not client.is_connected() or client.socket() is None or client.want_write():
            return False
        fresh = self._greeted_s is None
        if fresh:
            self._greet()
        self._tell(fresh)
        if self._flying is None and self._waiting:
            self._flying = self._waiting.popleft()
            topic, payload, retain = self._flying
            self._number = client.publish(topic, payload, qos=1, retain=retain).mid
        return self._closing.is_set() and self._flying is None and not self._waiting

    def _greet(self) -> None:
        self._greeted_s = time.monotonic()
        # Who read of a loss wants to read of its end.
        level = logging.WARNING if self._warned else logging.INFO
        _log.log(level, "%s: the broker is there, %d events waited for it", self._name, len(self._waiting))
        self._warned.clear()
        self.publish(f"{self._address.base}/availability", "online", retain=True)
        for topic in self._listen:
            self._client.subscribe(topic)

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        self._refusal = str(reason) if reason.is_failure else ""

    def _on_publish(self, _client: Client, _data: Any, number: int, _reason: Any, _properties: Any) -> None:
        if self._flying is not None and number == self._number:
            self._flying = None


def _heard_by(hear: Callable[[bytes], None]) -> Callable[[Client, Any, MQTTMessage], None]:
    return lambda _client, _data, heard: hear(bytes(heard.payload))
