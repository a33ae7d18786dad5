"""Events, state and expressions published to a real Mosquitto broker."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import numpy as np
import pytest

from edgeinfer import Box, EmotionClassifier, Pipeline, run
from edgeinfer.outputs.mqtt import MqttSink
from edgeinfer.outputs.mqtt_link import BrokerAddress, MqttLink
from edgeinfer.results import SourceState, State
from tools.broker import Broker, Subscriber
from tools.fakes import FakeDetector, FakeSource
from tools.mqtt_driver import BASE, drive, make_face, make_url, write
from tools.patience import PATIENCE, until

DARK, LIGHT = np.full((60, 80, 3), 0, np.uint8), np.full((60, 80, 3), 250, np.uint8)


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


def test_nothing_is_published_after_offline(broker: Broker, subscriber: Subscriber) -> None:
    """Close the link while the connection's thread publishes values."""
    ticking, closing = threading.Event(), threading.Event()

    def tick(_first: bool) -> None:
        ticking.set()
        closing.wait(60 * PATIENCE)
        link.publish(f"{BASE}/state", json.dumps({"final": link._closing.is_set()}))

    link = MqttLink(BrokerAddress.parse(make_url(broker)), on_tick=tick)
    link.start()
    until(ticking.is_set)
    closer = threading.Thread(target=link.close)
    closer.start()
    until(link._closing.is_set)
    closing.set()
    closer.join()
    subscriber.client.publish("end", qos=1)
    until(lambda: subscriber.count("end"))
    assert [message.text for message in subscriber.messages[-2:]] == ["offline", ""]
    assert len(subscriber.payloads("state")) >= 2


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
