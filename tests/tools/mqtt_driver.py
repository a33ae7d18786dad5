"""Helpers that drive an MQTT sink step by step and read the events that it publishes."""

from __future__ import annotations

from edgeinfer import Box, Emotion, Face, Result
from edgeinfer.outputs.mqtt import MqttSink
from edgeinfer.outputs.summary import RunHeader
from tools.broker import Broker, Subscriber
from tools.sink_driver import SinkDriver

HEADER = RunHeader("door", None, ("neutral", "happy"), "tiny", "", {"edgeinfer": "1.2"})
BASE = "home/door"


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
