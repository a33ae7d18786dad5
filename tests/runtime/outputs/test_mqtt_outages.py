"""MQTT outages: a killed run, and a broker that is killed, paused, restarted or unreachable, or refuses clients."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest

from edgeinfer import Box, EmotionClassifier, Pipeline, run
from edgeinfer.outputs.mqtt import MqttSink
from edgeinfer.outputs.mqtt_link import QUEUE_CAPACITY
from tools.broker import Broker, Message, Subscriber
from tools.fakes import FakeDetector, FakeSource
from tools.mqtt_driver import BASE, drive, event_labels, make_url, write_visits
from tools.patience import PATIENCE, until
from tools.programs import running

pytestmark = pytest.mark.slow

DARK, LIGHT = np.full((60, 80, 3), 0, np.uint8), np.full((60, 80, 3), 250, np.uint8)


def test_killed_run_becomes_offline(
    broker: Broker, subscriber: Subscriber, subscribe: Callable[..., Subscriber]
) -> None:
    command = [sys.executable, "-m", "edgeinfer", "run", "-", "--pixels", "gray", "--size", "32x24", "--quiet"]
    environment = {**os.environ, "EDGEINFER_MQTT": make_url(broker)}
    with running(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment) as process:
        assert process.stdin is not None
        process.stdin.write("\0" * 32 * 24)
        process.stdin.flush()
        until(lambda: subscriber.availability_is("online") and subscriber.last("state"), 60)
        process.kill()
    until(lambda: subscriber.availability_is("offline"))
    late = subscribe(broker.port)
    until(lambda: late.last("availability"))
    assert late.last("availability") == Message(f"{BASE}/availability", "offline", True)


def test_stale_connection_from_an_earlier_run_does_not_publish_offline(
    broker: Broker, subscriber: Subscriber, subscribe: Callable[..., Subscriber]
) -> None:
    script = "import sys, edgeinfer.outputs.mqtt as m; m.MqttSink(sys.argv[1])._link.start(); print(sys.stdin.read())"
    with running([sys.executable, "-c", script, make_url(broker)], stdin=subprocess.PIPE) as older:
        until(lambda: subscriber.availability_is("online"), 60)
        older.send_signal(signal.SIGSTOP)
        with drive(make_url(broker)) as driver:
            until(lambda: subscriber.last("state"))
            older.kill()
            older.wait()
            write_visits(driver, 1)
            until(lambda: subscriber.payloads("events"))
            late = subscribe(broker.port)
            until(lambda: late.last("availability"))
            assert late.availability_is("online")


def test_two_runs_with_the_same_topic_are_logged(
    broker: Broker, reconnect_allowed: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    reconnect_allowed.set()
    with drive(make_url(broker)), drive(make_url(broker)):
        until(lambda: "another run has the same topic" in caplog.text)


def test_no_event_is_lost_during_an_outage(
    broker: Broker,
    subscriber: Subscriber,
    subscribe: Callable[..., Subscriber],
    reconnect_allowed: threading.Event,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with drive(make_url(broker)) as driver:
        write_visits(driver, 0)
        until(lambda: event_labels(subscriber) == ["0"] and subscriber.last("state"))
        broker.pause()
        write_visits(driver, 1)
        until(lambda: driver.sink._link._in_flight)
        broker.kill()
        until(lambda: "was lost" in caplog.text)
        write_visits(driver, *range(2, 10))
        broker.start()
        until(lambda: subscriber.subscriptions == 2)
        subscriber.messages.clear()
        reconnect_allowed.set()
        until(
            lambda: subscriber.availability_is("online") and len(event_labels(subscriber)) == 10
        )  # the first is "0", which left
        write_visits(driver, 10)
        until(lambda: "10" in event_labels(subscriber))
        late = subscribe(broker.port)
        until(lambda: late.last("state"))
        assert late.payloads("state")[-1]["expression"] in ("9", "10")
    until(lambda: subscriber.availability_is("offline"))
    arrived = [event["label"] for event in subscriber.payloads("events") if event["type"] == "appeared"]
    assert list(dict.fromkeys(arrived)) == [str(number) for number in range(1, 11)]
    assert [record.levelname for record in caplog.records if "broker" in record.message] == ["WARNING"] * 2
    assert subscriber.payloads("tracks/5") == []


def test_link_reconnects_after_each_outage(
    broker: Broker, subscriber: Subscriber, subscribe: Callable[..., Subscriber], caplog: pytest.LogCaptureFixture
) -> None:
    with drive(make_url(broker)):
        until(lambda: subscriber.availability_is("online"))
        for _ in range(2):
            broker.kill()
            broker.start()
            late = subscribe(broker.port)
            until(lambda late=late: late.availability_is("online") and late.last("state"), 60)  # type: ignore[misc]
    assert (caplog.text.count("was lost"), caplog.text.count("connected to the broker")) == (2, 2)


def test_paused_broker_does_not_block_the_run(
    broker: Broker, subscriber: Subscriber, caplog: pytest.LogCaptureFixture
) -> None:
    with drive(make_url(broker)) as driver:
        until(lambda: subscriber.last("state"))
        broker.pause()
        writer = threading.Thread(target=write_visits, args=(driver, *range(300)), daemon=True)
        writer.start()
        writer.join(30 * PATIENCE)
        assert not writer.is_alive()
        broker.resume()
        until(lambda: "299" in event_labels(subscriber))
    until(lambda: subscriber.availability_is("offline"))
    arrived = [int(event["label"]) for event in subscriber.payloads("events") if event["type"] == "appeared"]
    assert arrived == sorted(arrived)
    assert len(subscriber.payloads("events")) + driver.sink._link.dropped == 600
    assert QUEUE_CAPACITY <= len(subscriber.payloads("events")) <= QUEUE_CAPACITY + 5
    assert caplog.text.count("event dropped") == 1


def test_close_waits_a_limited_time_for_a_paused_broker(
    broker: Broker, subscriber: Subscriber, subscribe: Callable[..., Subscriber], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr("edgeinfer.outputs.mqtt_link.CLOSE_TIMEOUT_S", 0.2)
    with drive(make_url(broker)) as driver:
        until(lambda: subscriber.last("state"))
        broker.pause()
        write_visits(driver, 1)
    assert "2 events were not delivered in time" in caplog.text
    until(lambda: not driver.sink._link._thread.is_alive())
    broker.resume()
    until(lambda: subscriber.availability_is("offline"))


def test_wrong_password_is_logged_once(
    subscribe: Callable[..., Subscriber], reconnect_allowed: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    reconnect_allowed.set()
    with Broker({"ann": "s3cr:t@/"}) as broker:
        subscriber = subscribe(broker.port, "ann", "s3cr:t@/")
        with drive(make_url(broker, "ann:wr0ng@")) as wrong:
            write_visits(wrong, 1)
            until(lambda: "refused the connection (Not authorized); check the user name and password" in caplog.text)
            refusals = threading.Event()
            client = wrong.sink._link._client
            client.on_connect_fail = client.on_disconnect = lambda *_: refusals.set()
            assert refusals.wait(30 * PATIENCE)
        with drive(make_url(broker, "ann:s3cr%3At%40%2F@")):
            until(lambda: subscriber.availability_is("online"))
    assert caplog.text.count("the broker refused") == 1
    assert "2 events were not delivered" in caplog.text
    assert not any(secret in caplog.text for secret in ("wr0ng", "s3cr", "ann"))


def test_unreachable_broker_is_logged_once_and_retried(
    classifier: EmotionClassifier, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("paho.mqtt.client")
    failures: list[int] = []

    def backoff_s(count: int) -> float:
        failures.append(count)
        return 0.01

    monkeypatch.setattr("edgeinfer.outputs.mqtt_link.backoff_s", backoff_s)
    with drive("mqtt://me:secret@127.0.0.1:9/x"):
        until(lambda: failures[:3] == [1, 2, 3])
    assert caplog.text.count("cannot be reached (Connection refused)") == 1
    assert "secret" not in caplog.text
    caplog.clear()
    pipeline = Pipeline(FakeDetector([Box(10, 10, 20, 20)]), classifier)
    run(FakeSource([DARK] * 30 + [LIGHT] * 30), pipeline, [MqttSink("mqtt://127.0.0.1:9")])
    assert caplog.text.count("cannot be reached (Connection refused)") == 1
    assert "3 events were not delivered in time" in caplog.text
