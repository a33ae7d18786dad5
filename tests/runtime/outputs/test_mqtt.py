"""Messages published to a real Mosquitto broker that is running, killed, paused or restarted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from edgeinfer import Box, Emotion, EmotionClassifier, Face, Pipeline, Result, run
from edgeinfer.outputs.mqtt import MqttSink
from edgeinfer.outputs.mqtt_link import QUEUE_CAPACITY, BrokerAddress
from edgeinfer.outputs.summary import RunHeader
from edgeinfer.results import SourceState, State
from tools.broker import Broker, Message, Subscriber
from tools.fakes import FakeDetector, FakeSource
from tools.patience import PATIENCE, until
from tools.programs import running
from tools.sink_driver import SinkDriver

DARK, LIGHT = np.full((60, 80, 3), 0, np.uint8), np.full((60, 80, 3), 250, np.uint8)
HEADER = RunHeader("door", None, ("neutral", "happy"), "tiny", "", {"edgeinfer": "1.2"})
BASE = "home/door"


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
    """While cleared, links do not reconnect; once set, they reconnect almost at once."""
    allowed = threading.Event()

    def backoff_s(_failures: int) -> float:
        allowed.wait(120 * PATIENCE)
        return 0.05

    monkeypatch.setattr("edgeinfer.outputs.mqtt_link.backoff_s", backoff_s)
    return allowed


def make_url(broker: Broker, credentials: str = "") -> str:
    return f"mqtt://{credentials}127.0.0.1:{broker.port}/{BASE}"


def drive(url: str, **options: bool) -> SinkDriver:
    return SinkDriver(MqttSink(url, **options), HEADER)


def make_face(track_id: int, label: str, side: int = 10) -> Face:
    emotion = Emotion(label, 0.9, {label: 0.9, "other": 0.1})
    return Face(track_id, Box(0, 0, side, side), emotion, emotion)


def write(driver: SinkDriver, timestamp_s: float, *faces: Face) -> None:
    driver.write(Result(faces, timestamp_s))


def write_visits(driver: SinkDriver, *numbers: int) -> None:
    """Write one frame per number, with one face whose track id, label and time are that number."""
    for number in numbers:
        write(driver, float(number), make_face(number, str(number)))


def event_labels(subscriber: Subscriber) -> list[str]:
    """Return the labels of all events in order, without duplicates, which QoS 1 permits."""
    return list(dict.fromkeys(event["label"] for event in subscriber.payloads("events")))


def test_events_of_a_run_arrive_in_order(broker: Broker, subscriber: Subscriber, classifier: EmotionClassifier) -> None:
    pipeline = Pipeline(FakeDetector([Box(10, 10, 20, 20)]), classifier)
    run(FakeSource([DARK] * 30 + [LIGHT] * 30), pipeline, [MqttSink(make_url(broker))])
    until(lambda: subscriber.availability_is("offline"))
    events = subscriber.payloads("events")
    assert [event["type"] for event in events] == ["appeared", "changed", "left"]
    assert (events[1]["previous"], events[1]["label"], events[1]["source"]) == ("neutral", "happy", "fake")
    state = subscriber.payloads("state")[-1]
    assert (state["source"], state["faces"], state["expression"], state["confidence"]) == ("fake", 0, "none", None)


def test_changes_of_state_and_faces_are_published(
    broker: Broker, subscriber: Subscriber, subscribe: Callable[..., Subscriber], monkeypatch: pytest.MonkeyPatch
) -> None:
    with drive(make_url(broker)) as driver:
        until(lambda: subscriber.last("state"))
        write(driver, 1.0, make_face(1, "happy"))
        until(lambda: subscriber.payloads("state")[-1]["faces"] == 1)
        monkeypatch.setattr("edgeinfer.outputs.mqtt.MIN_INTERVAL_S", float("inf"))
        write(driver, 1.5, make_face(1, "neutral"), make_face(2, "sad", 30))
        until(lambda: len(subscriber.payloads("events")) == 2)
        before = subscriber.payloads("state")[-1]["expression"], len(subscriber.payloads("tracks/1"))
        monkeypatch.setattr("edgeinfer.outputs.mqtt.MIN_INTERVAL_S", 0.0)  # without another call of the sink
        until(
            lambda: (
                subscriber.payloads("state")[-1]["faces"] == 2
                and subscriber.payloads("tracks/2")
                and len(subscriber.payloads("tracks/1")) == 2
            )
        )
        state = subscriber.payloads("state")[-1]
        assert (state["source_state"], state["expression"], state["confidence"]) == ("live", "sad", 0.9)
        assert state["fps"] > 0
        retained = subscribe(broker.port)
        until(lambda: retained.last("state") and retained.availability_is("online"))
        monkeypatch.setattr("edgeinfer.outputs.mqtt.MIN_INTERVAL_S", float("inf"))
    until(lambda: subscriber.availability_is("offline"))
    assert subscriber.payloads("state")[-1]["faces"] == 0
    assert before == ("happy", 1)
    assert subscriber.payloads("tracks/1")[1] == {
        "track_id": 1, "label": "neutral", "confidence": 0.9, "probabilities": {"neutral": 0.9, "other": 0.1},
        "present_s": 0.5, "timestamp_s": 1.5,
    }  # fmt: skip
    assert {message.topic.removeprefix(BASE) for message in retained.messages if message.retained} == {
        "/availability",
        "/state",
    }


def test_source_that_is_not_live_has_no_faces(
    broker: Broker, subscriber: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeinfer.outputs.mqtt.MIN_INTERVAL_S", 0.0)
    with drive(make_url(broker)) as driver:
        states: tuple[State, ...] = ("stalled", "connecting", "live")
        write(driver, 1.0, make_face(1, "happy"))
        until(lambda: subscriber.last("state") and subscriber.payloads("state")[-1]["faces"] == 1)
        for state in states:
            driver.sink.source_state(SourceState(state, 2.0, ""))
            until(lambda state=state: subscriber.payloads("state")[-1]["source_state"] == state)  # type: ignore[misc]
            assert subscriber.payloads("state")[-1]["faces"] == 0


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


def test_stale_connection_of_an_earlier_run_does_not_set_offline(
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


def test_close_gives_a_paused_broker_a_limited_time(
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


def test_home_assistant_discovery_is_published_and_repeated(broker: Broker, subscriber: Subscriber) -> None:
    topic = f"homeassistant/device/{BrokerAddress.parse(make_url(broker)).client_id}/config"
    with drive(make_url(broker), home_assistant=True):
        until(lambda: subscriber.count(topic) == 1)
        subscriber.client.publish("homeassistant/status", "offline", qos=1)
        subscriber.client.publish("homeassistant/status", "online", qos=1)
        until(lambda: subscriber.count(topic) == 2)
    first, second = (json.loads(message.text) for message in subscriber.messages if message.topic == topic)
    assert first == second
    assert first["dev"]["ids"] == [topic.split("/")[2]]
    assert (first["dev"]["name"], first["dev"]["mdl"]) == ("home door", "tiny")
    assert first["o"] == {"name": "edgeinfer", "sw": "1.2"}
    assert (first["avty_t"], first["state_topic"]) == (f"{BASE}/availability", f"{BASE}/state")
    entities = first["cmps"]
    assert len({entity["unique_id"] for entity in entities.values()}) == 7
    assert entities["expression"]["options"] == ["neutral", "happy", "unknown", "none"]
    assert entities["source"]["options"] == ["connecting", "live", "stalled", "lost"]
    assert entities["occupancy"]["device_class"] == "occupancy"
    assert entities["confidence"]["unit_of_measurement"] == "%"
    assert entities["event"]["event_types"] == ["appeared", "changed", "left"]
    assert entities["event"]["state_topic"] == f"{BASE}/events"
    assert {key for key, entity in entities.items() if entity.get("entity_category")} == {"fps", "source"}
