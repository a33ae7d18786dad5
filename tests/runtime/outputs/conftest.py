from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from tools.broker import Broker, Subscriber
from tools.mqtt_driver import BASE
from tools.patience import PATIENCE


@pytest.fixture
def broker() -> Iterator[Broker]:
    pytest.importorskip("paho.mqtt.client")
    with Broker() as broker:
        yield broker


@pytest.fixture
def subscribe() -> Iterator[Callable[..., Subscriber]]:
    subscribers: list[Subscriber] = []

    def connect(port: int, *credentials: str) -> Subscriber:
        subscribers.append(Subscriber(port, BASE, *credentials))
        return subscribers[-1]

    yield connect
    for subscriber in subscribers:
        subscriber.close()


@pytest.fixture
def subscriber(broker: Broker, subscribe: Callable[..., Subscriber]) -> Subscriber:
    return subscribe(broker.port)


@pytest.fixture
def reconnect_allowed(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """While cleared, links do not reconnect; once set, they reconnect almost immediately."""
    allowed = threading.Event()

    def backoff_s(_failures: int) -> float:
        allowed.wait(120 * PATIENCE)
        return 0.05

    monkeypatch.setattr("edgeinfer.outputs.mqtt_link.backoff_s", backoff_s)
    return allowed
