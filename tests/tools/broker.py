"""A Mosquitto on the loopback network that can be killed, halted and started again, and somebody who listens to it."""

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
from tools.programs import needed


class Broker:
    """Started with the context, and gone after it; it keeps nothing over a start.

    Attributes:
        port: that it listens at on 127.0.0.1, the same after each start.
    """

    def __init__(self, users: Mapping[str, str] | None = None) -> None:
        """Find a free port.

        Args:
            users: name to password of whom it serves; None for everybody.
        """
        self._program, self._users = needed("mosquitto"), users
        self._maker = needed("mosquitto_passwd") if users else ""
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            [self._program, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._answers)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "mosquitto ended at its start"
        with socket.socket() as knock:
            return knock.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        """End it as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def halt(self, *, go_on: bool = False) -> None:
        """Let it answer nothing, connections left open, or let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT if go_on else signal.SIGSTOP)

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        self._config = Path(self._folder.name) / "mosquitto.conf"
        # As root it would become another user, who cannot read this folder.
        lines = [f"listener {self.port} 127.0.0.1", f"user {getpass.getuser()}", "persistence false"]
        for number, (name, password) in enumerate((self._users or {}).items()):
            create = [] if number else ["-c"]
            subprocess.run([self._maker, "-b", *create, f"{self._folder.name}/users", name, password], check=True)
        lines.append(f"password_file {self._folder.name}/users" if self._users else "allow_anonymous true")
        self._config.write_text("\n".join(lines) + "\n")
        self.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.kill()
        self._folder.cleanup()


class Heard(NamedTuple):
    """One message."""

    topic: str
    text: str
    retained: bool


class Ear:
    """Hears everything at a broker on this machine; the test is skipped where paho-mqtt is not installed.

    Attributes:
        heard: so far.
        subscribed: how often, which is once for each life of the broker.
    """

    def __init__(self, port: int, base: str, *credentials: str) -> None:
        """Wait until nothing is missed.

        Args:
            port: of the broker.
            base: topic above those that are asked for.
            credentials: name and password.
        """
        paho = pytest.importorskip("paho.mqtt.client")
        self._base = base
        self.heard: list[Heard] = []
        self.subscribed = 0
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        if credentials:
            self.client.username_pw_set(*credentials)
        self.client.on_connect = lambda *_: self.client.subscribe("#", qos=1)
        self.client.on_subscribe = self._on_subscribe
        self.client.on_message = lambda _client, _data, message: self.heard.append(
            Heard(message.topic, message.payload.decode(), bool(message.retain))
        )
        self.client.connect_async("127.0.0.1", port)
        self.client.loop_start()
        until(lambda: self.subscribed == 1)

    def _on_subscribe(self, *_: object) -> None:
        self.subscribed += 1

    def all(self, topic: str) -> list[Any]:
        """The JSON of everything under the base, from the first to the last."""
        return [json.loads(heard.text) for heard in list(self.heard) if heard.topic == f"{self._base}/{topic}"]

    def last(self, topic: str) -> Heard | None:
        """The last message on a topic under the base."""
        return next((heard for heard in reversed(list(self.heard)) if heard.topic == f"{self._base}/{topic}"), None)

    def says(self, availability: str) -> bool:
        """Whether this was the last word about it."""
        heard = self.last("availability")
        return heard is not None and heard.text == availability

    def close(self) -> None:
        """Hear no more."""
        self.client.disconnect()
        self.client.loop_stop()
