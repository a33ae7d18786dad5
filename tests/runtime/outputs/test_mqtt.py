"""What a real Mosquitto is told, while it is there, away, halted, and back."""

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
from edgeinfer.outputs.mqtt_link import MOST_WAITING, BrokerAddress
from edgeinfer.outputs.summary import RunHeader
from edgeinfer.results import SourceState, State
from tools.broker import Broker, Ear, Heard
from tools.fakes import FakeDetector, FakeSource
from tools.patience import PATIENCE, until
from tools.programs import running

DARK, LIGHT = np.full((60, 80, 3), 0, np.uint8), np.full((60, 80, 3), 250, np.uint8)
HEADER = RunHeader("door", None, ("neutral", "happy"), "tiny", "", {"edgeinfer": "1.2"})
BASE = "home/door"


@pytest.fixture
def broker() -> Iterator[Broker]:
    pytest.importorskip("paho.mqtt.client")
    with Broker() as broker:
        yield broker


@pytest.fixture
def listen() -> Iterator[Callable[..., Ear]]:
    ears: list[Ear] = []

    def begin(port: int, *credentials: str) -> Ear:
        ears.append(Ear(port, BASE, *credentials))
        return ears[-1]

    yield begin
    for ear in ears:
        ear.close()


@pytest.fixture
def ear(broker: Broker, listen: Callable[..., Ear]) -> Ear:
    return listen(broker.port)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Open, connections are tried again at once; closed, nobody tries."""
    gate = threading.Event()

    def pause_s(_failures: int) -> float:
        gate.wait(120 * PATIENCE)
        return 0.05

    monkeypatch.setattr("edgeinfer.outputs.mqtt_link.backoff_s", pause_s)
    return gate


def url(broker: Broker, credentials: str = "") -> str:
    return f"mqtt://{credentials}127.0.0.1:{broker.port}/{BASE}"


def begun(sink: MqttSink) -> MqttSink:
    sink.start(HEADER, lambda: None)  # type: ignore[arg-type, return-value]
    return sink


def face(number: int, label: str, side: int = 10) -> Face:
    emotion = Emotion(label, 0.9, {label: 0.9, "other": 0.1})
    return Face(number, Box(0, 0, side, side), emotion, emotion)


def show(sink: MqttSink, at_s: float, *faces: Face) -> None:
    sink.write(None, Result(faces, at_s))  # type: ignore[arg-type]


def visit(sink: MqttSink, *numbers: int) -> None:
    """Somebody comes whose label is a number, and then the next one."""
    for number in numbers:
        show(sink, float(number), face(number, str(number)))


def labels(ear: Ear) -> list[str]:
    """Of the events in order, each told once: who loses a connection may say the last one again."""
    return list(dict.fromkeys(event["label"] for event in ear.all("events")))


def test_events_of_a_run_arrive_in_their_order(broker: Broker, ear: Ear, classifier: EmotionClassifier) -> None:
    pipeline = Pipeline(FakeDetector([Box(10, 10, 20, 20)]), classifier)
    run(FakeSource([DARK] * 30 + [LIGHT] * 30), pipeline, [MqttSink(url(broker))])
    until(lambda: ear.says("offline"))
    told = ear.all("events")
    assert [event["type"] for event in told] == ["appeared", "changed", "left"]
    assert (told[1]["previous"], told[1]["label"], told[1]["source"]) == ("neutral", "happy", "fake")
    state = ear.all("state")[-1]
    assert (state["source"], state["faces"], state["expression"], state["confidence"]) == ("fake", 0, "none", None)


def test_state_and_faces_are_told_as_they_change(
    broker: Broker, ear: Ear, listen: Callable[..., Ear], monkeypatch: pytest.MonkeyPatch
) -> None:
    with begun(MqttSink(url(broker))) as sink:
        until(lambda: ear.last("state"))
        show(sink, 1.0, face(1, "happy"))
        until(lambda: ear.all("state")[-1]["faces"] == 1)
        monkeypatch.setattr("edgeinfer.outputs.mqtt.EVERY_S", float("inf"))
        show(sink, 1.5, face(1, "neutral"), face(2, "sad", 30))
        until(lambda: len(ear.all("events")) == 2)
        before = ear.all("state")[-1]["expression"], len(ear.all("tracks/1"))
        monkeypatch.setattr("edgeinfer.outputs.mqtt.EVERY_S", 0.0)  # nobody calls the sink any more
        until(lambda: ear.all("state")[-1]["faces"] == 2 and ear.all("tracks/2") and len(ear.all("tracks/1")) == 2)
        state = ear.all("state")[-1]
        assert (state["source_state"], state["expression"], state["confidence"]) == ("live", "sad", 0.9)
        assert state["fps"] > 0
        retained = listen(broker.port)
        until(lambda: retained.last("state") and retained.says("online"))
        monkeypatch.setattr("edgeinfer.outputs.mqtt.EVERY_S", float("inf"))
    until(lambda: ear.says("offline"))
    assert ear.all("state")[-1]["faces"] == 0
    assert before == ("happy", 1)
    assert ear.all("tracks/1")[1] == {
        "track_id": 1, "label": "neutral", "confidence": 0.9, "probabilities": {"neutral": 0.9, "other": 0.1},
        "present_s": 0.5, "timestamp_s": 1.5,
    }  # fmt: skip
    assert {heard.topic.removeprefix(BASE) for heard in retained.heard if heard.retained} == {"/availability", "/state"}


def test_who_is_not_seen_any_more_is_not_there(broker: Broker, ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeinfer.outputs.mqtt.EVERY_S", 0.0)
    with begun(MqttSink(url(broker))) as sink:
        states: tuple[State, ...] = ("stalled", "connecting", "live")
        show(sink, 1.0, face(1, "happy"))
        until(lambda: ear.last("state") and ear.all("state")[-1]["faces"] == 1)
        for state in states:
            sink.source_state(SourceState(state, 2.0, ""))
            until(lambda state=state: ear.all("state")[-1]["source_state"] == state)  # type: ignore[misc]
            assert ear.all("state")[-1]["faces"] == 0


def test_a_killed_run_is_offline(broker: Broker, ear: Ear, listen: Callable[..., Ear]) -> None:
    command = [sys.executable, "-m", "edgeinfer", "run", "-", "--pixels", "gray", "--size", "32x24", "--quiet"]
    setting = {**os.environ, "EDGEINFER_MQTT": url(broker)}
    with running(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=setting) as process:
        assert process.stdin is not None
        process.stdin.write("\0" * 32 * 24)
        process.stdin.flush()
        until(lambda: ear.says("online") and ear.last("state"), 60)
        process.kill()
    until(lambda: ear.says("offline"))
    late = listen(broker.port)
    until(lambda: late.last("availability"))
    assert late.last("availability") == Heard(f"{BASE}/availability", "offline", True)


def test_an_older_connection_that_lingers_does_not_call_us_offline(
    broker: Broker, ear: Ear, listen: Callable[..., Ear]
) -> None:
    script = "import sys, edgeinfer.outputs.mqtt as m; m.MqttSink(sys.argv[1])._link.start(); print(sys.stdin.read())"
    with running([sys.executable, "-c", script, url(broker)], stdin=subprocess.PIPE) as older:
        until(lambda: ear.says("online"), 60)
        older.send_signal(signal.SIGSTOP)
        with begun(MqttSink(url(broker))) as sink:
            until(lambda: ear.last("state"))
            older.kill()
            older.wait()
            visit(sink, 1)
            until(lambda: ear.all("events"))
            late = listen(broker.port)
            until(lambda: late.last("availability"))
            assert late.says("online")


def test_two_runs_with_one_topic_are_noticed(
    broker: Broker, gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    gate.set()
    with begun(MqttSink(url(broker))), begun(MqttSink(url(broker))):
        until(lambda: "another run has the same topic" in caplog.text)


def test_nothing_is_lost_while_the_broker_is_away(
    broker: Broker, ear: Ear, listen: Callable[..., Ear], gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    with begun(MqttSink(url(broker))) as sink:
        visit(sink, 0)
        until(lambda: labels(ear) == ["0"] and ear.last("state"))
        broker.halt()
        visit(sink, 1)
        until(lambda: sink._link._flying)
        broker.kill()
        until(lambda: "was lost" in caplog.text)
        visit(sink, *range(2, 10))
        broker.start()
        until(lambda: ear.subscribed == 2)
        ear.heard.clear()
        gate.set()
        until(lambda: ear.says("online") and len(labels(ear)) == 10)  # "0" has left
        visit(sink, 10)
        until(lambda: "10" in labels(ear))
        late = listen(broker.port)
        until(lambda: late.last("state"))
        assert late.all("state")[-1]["expression"] in ("9", "10")
    until(lambda: ear.says("offline"))
    arrived = [event["label"] for event in ear.all("events") if event["type"] == "appeared"]
    assert list(dict.fromkeys(arrived)) == [str(number) for number in range(1, 11)]
    assert [record.levelname for record in caplog.records if "broker" in record.message] == ["WARNING"] * 2
    assert ear.all("tracks/5") == []


def test_it_comes_back_by_itself(
    broker: Broker, ear: Ear, listen: Callable[..., Ear], caplog: pytest.LogCaptureFixture
) -> None:
    with begun(MqttSink(url(broker))):
        until(lambda: ear.says("online"))
        for _ in range(2):
            broker.kill()
            broker.start()
            late = listen(broker.port)
            until(lambda late=late: late.says("online") and late.last("state"), 60)  # type: ignore[misc]
    assert (caplog.text.count("was lost"), caplog.text.count("is there")) == (2, 2)


def test_a_halted_broker_holds_nobody(broker: Broker, ear: Ear, caplog: pytest.LogCaptureFixture) -> None:
    with begun(MqttSink(url(broker))) as sink:
        until(lambda: ear.last("state"))
        broker.halt()
        work = threading.Thread(target=visit, args=(sink, *range(300)), daemon=True)
        work.start()
        work.join(30 * PATIENCE)
        assert not work.is_alive()
        broker.halt(go_on=True)
        until(lambda: "299" in labels(ear))
    until(lambda: ear.says("offline"))
    arrived = [int(event["label"]) for event in ear.all("events") if event["type"] == "appeared"]
    assert arrived == sorted(arrived)
    assert len(ear.all("events")) + sink._link.dropped == 600
    assert MOST_WAITING <= len(ear.all("events")) <= MOST_WAITING + 5
    assert caplog.text.count("was dropped") == 1


def test_a_broker_that_is_halted_at_the_end_gets_three_seconds(
    broker: Broker, ear: Ear, listen: Callable[..., Ear], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr("edgeinfer.outputs.mqtt_link.CLOSING_S", 0.2)
    with begun(MqttSink(url(broker))) as sink:
        until(lambda: ear.last("state"))
        broker.halt()
        visit(sink, 1)
    assert "2 events were not delivered in time" in caplog.text
    until(lambda: not sink._link._thread.is_alive())
    broker.halt(go_on=True)
    until(lambda: ear.says("offline"))


def test_a_wrong_password_is_said_once(
    listen: Callable[..., Ear], gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    gate.set()
    with Broker({"ann": "s3cr:t@/"}) as broker:
        ear = listen(broker.port, "ann", "s3cr:t@/")
        with begun(MqttSink(url(broker, "ann:wr0ng@"))) as wrong:
            visit(wrong, 1)
            until(lambda: "refuses the connection (Not authorized), check name and password" in caplog.text)
            refusals = threading.Event()
            wrong._link._client.on_connect_fail = wrong._link._client.on_disconnect = lambda *_: refusals.set()
            assert refusals.wait(30 * PATIENCE)
        with begun(MqttSink(url(broker, "ann:s3cr%3At%40%2F@"))):
            until(lambda: ear.says("online"))
    assert caplog.text.count("refuses") == 1
    assert "2 events were not delivered" in caplog.text
    assert not any(secret in caplog.text for secret in ("wr0ng", "s3cr", "ann"))


def test_nobody_there_is_said_once_and_tried_for_ever(
    classifier: EmotionClassifier, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("paho.mqtt.client")
    failures: list[int] = []

    def pause_s(number: int) -> float:
        failures.append(number)
        return 0.01

    monkeypatch.setattr("edgeinfer.outputs.mqtt_link.backoff_s", pause_s)
    with begun(MqttSink("mqtt://me:secret@127.0.0.1:9/x")):
        until(lambda: failures[:3] == [1, 2, 3])
    assert caplog.text.count("cannot be reached (Connection refused)") == 1
    assert "secret" not in caplog.text
    caplog.clear()
    pipeline = Pipeline(FakeDetector([Box(10, 10, 20, 20)]), classifier)
    run(FakeSource([DARK] * 30 + [LIGHT] * 30), pipeline, [MqttSink("mqtt://127.0.0.1:9")])
    assert caplog.text.count("cannot be reached (Connection refused)") == 1
    assert "3 events were not delivered in time" in caplog.text


def test_home_assistant_finds_a_device(broker: Broker, ear: Ear) -> None:
    topic = f"homeassistant/device/{BrokerAddress.parse(url(broker)).id}/config"
    with begun(MqttSink(url(broker), home_assistant=True)):
        until(lambda: [heard.topic for heard in ear.heard].count(topic) == 1)
        ear.client.publish("homeassistant/status", "offline", qos=1)
        ear.client.publish("homeassistant/status", "online", qos=1)
        until(lambda: [heard.topic for heard in ear.heard].count(topic) == 2)
    first, second = (json.loads(heard.text) for heard in ear.heard if heard.topic == topic)
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
