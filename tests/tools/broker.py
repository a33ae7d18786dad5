"""A Mosquitto broker on the loopback interface, and a subscriber that records its messages."""

from __future__ import annotations

import getpass
import json
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import pytest

from tools.patience import until
from tools.programs import require_program


class Broker:
    """Context manager that runs Mosquitto without persistence; it can be killed, restarted and paused.

    Attributes:
        port: TCP port on 127.0.0.1, the same after each restart.
    """

    def __init__(self, users: Mapping[str, str] | None = None) -> None:
        """Find a free port.

        Args:
            users: map from user name to password; None to allow anonymous connections.
        """
        self._program, self._users = require_program("mosquitto"), users
        self._password_program = require_program("mosquitto_passwd") if users else ""
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]

    def start(self) -> None:
        """Start the broker and wait until it accepts connections."""
        self._process = subprocess.Popen(
            [self._program, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._accepts_connections)

    def _accepts_connections(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "mosquitto exited during start-up"
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        """Kill the broker with SIGKILL, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Suspend the broker; its connections stay open, but it does not respond."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume a paused broker."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        self._config = Path(self._folder.name) / "mosquitto.conf"
        # Started as root, Mosquitto would switch to a user that cannot read this folder.
        lines = [f"listener {self.port} 127.0.0.1", f"user {getpass.getuser()}", "persistence false"]
        passwords = Path(self._folder.name) / "users"
        for name, password in (self._users or {}).items():
            create = [] if passwords.exists() else ["-c"]
            subprocess.run([self._password_program, "-b", *create, str(passwords), name, password], check=True)
        lines.append(f"password_file {passwords}" if self._users else "allow_anonymous true")
        self._config.write_text("\n".join(lines) + "\n")
        self.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.kill()
        self._folder.cleanup()


class Message(NamedTuple):
    """A received message.

    Attributes:
        topic: full topic.
        text: payload.
        retained: True if the broker had stored the message before the subscription.
    """

    topic: str
    text: str
    retained: bool


class Subscriber:
    """Client that records all messages of a broker; skips the test if paho-mqtt is not installed.

    Attributes:
        messages: messages received so far.
        subscriptions: number of completed subscriptions, one per start of the broker.
    """

    def __init__(self, port: int, base: str, *credentials: str) -> None:
        """Connect, and wait until the subscription is complete.

        Args:
            port: port of the broker on 127.0.0.1.
            base: base topic for `payloads` and `last`.
            credentials: user name and password, if required.
        """
        paho = pytest.importorskip("paho.mqtt.client")
        self._base = base
        self.messages: list[Message] = []
        self.subscriptions = 0
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        if credentials:
            self.client.username_pw_set(*credentials)
        self.client.on_connect = lambda *_: self.client.subscribe("#", qos=1)
        self.client.on_subscribe = self._on_subscribe
        self.client.on_message = lambda _client, _data, message: self.messages.append(
            Message(message.topic, message.payload.decode(), bool(message.retain))
        )
        self.client.connect_async("127.0.0.1", port)
        self.client.loop_start()
        until(lambda: self.subscriptions == 1)

    def _on_subscribe(self, *_: object) -> None:
        self.subscriptions += 1

    def payloads(self, topic: str) -> list[Any]:
        """Return the decoded JSON payloads of a topic under the base topic, in order of arrival."""
        full_topic = f"{self._base}/{topic}"
        return [json.loads(message.text) for message in list(self.messages) if message.topic == full_topic]

    def last(self, topic: str) -> Message | None:
        """Return the latest message on a topic under the base topic, None before the first."""
        full_topic = f"{self._base}/{topic}"
        return next((message for message in reversed(list(self.messages)) if message.topic == full_topic), None)

    def availability_is(self, expected: str) -> bool:
        """Return True if the latest availability message has the expected payload."""
        message = self.last("availability")
        return message is not None and message.text == expected

    def count(self, full_topic: str) -> int:
        """Return the number of messages on a full topic."""
        return sum(message.topic == full_topic for message in list(self.messages))

    def close(self) -> None:
        """Disconnect."""
        self.client.disconnect()
        self.client.loop_stop()
