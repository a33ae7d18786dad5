"""Tests of the Home Assistant automations: their topics, entities and templates with the messages of a run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from edgeinfer import Box, Emotion, Event, Face, Frame, Result, RunHeader, SourceState
from edgeinfer.outputs.events import event_payload
from edgeinfer.outputs.mqtt import MqttSink, device_discovery
from edgeinfer.outputs.mqtt_link import BrokerAddress

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
jinja2 = pytest.importorskip("jinja2", reason="Jinja2 is not installed")
pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")
ADDRESS = BrokerAddress.parse("mqtt://homeassistant.local/edgeinfer/kitchen")
HEADER = RunHeader("0", None, ("neutral", "happy"), "tiny", "", {})


@pytest.fixture(scope="module")
def automations(examples: Path) -> dict[str, Any]:
    """Return the automations by id."""
    found = yaml.safe_load((examples / "home_assistant.yaml").read_text(encoding="utf-8"))
    return {automation["id"].removeprefix("edgeinfer_"): automation for automation in found}


def render(template: str, **values: Any) -> str:
    return str(jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(template).render(**values))


def fires(trigger: dict[str, Any], payload: str) -> bool:
    """Evaluate an MQTT trigger as Home Assistant does."""
    value = payload
    if "value_template" in trigger:
        value = render(trigger["value_template"], value_json=json.loads(payload))
    return value == str(trigger["payload"])


def event(kind: Any, label: str, confidence: float) -> dict[str, Any]:
    return event_payload(Event(kind, 1, 2.0, label, confidence, None, 1.0), "0")


@pytest.mark.parametrize(
    ("kind", "label", "confidence", "expected"),
    [
        ("appeared", "happy", 0.9, True), ("changed", "happy", 0.9, True), ("changed", "happy", 0.5, False),
        ("changed", "sad", 0.9, False), ("left", "happy", 0.9, False),
    ],
)  # fmt: skip
def test_light_is_turned_on_by_a_smile(
    automations: dict[str, Any], kind: str, label: str, confidence: float, expected: bool
) -> None:
    automation = automations["light_on_smile"]
    (trigger,), (condition,) = automation["triggers"], automation["conditions"]
    payload = event(kind, label, confidence)
    accepted = render(condition["value_template"], trigger={"payload_json": payload})
    assert trigger["topic"] == f"{ADDRESS.base}/events"
    assert (fires(trigger, json.dumps(payload)) and accepted == "True") is expected


def test_entities_exist(automations: dict[str, Any]) -> None:
    device = device_discovery(ADDRESS, HEADER)
    names = {
        f"{entity['p']}.{re.sub('[^a-z0-9]+', '_', (device['dev']['name'] + ' ' + entity['name']).lower())}"
        for entity in device["cmps"].values()
    }
    (trigger,) = automations["light_off_when_empty"]["triggers"]
    assert trigger["entity_id"] in names


def test_lost_source_is_reported(automations: dict[str, Any]) -> None:
    automation = automations["source_lost"]
    state_trigger, offline_trigger = automation["triggers"]
    sink, states = MqttSink("mqtt://127.0.0.1/edgeinfer/kitchen"), {}
    sink._header = HEADER
    emotion = Emotion("happy", 0.9, {"happy": 0.9})
    for name in ("live", "lost"):
        sink.source_state(SourceState(name, 1.0, ""))
        sink.write(Frame(None, 0, 0.0), Result((Face(1, Box(0, 0, 9, 9), emotion, emotion),), 0.0))  # type: ignore[arg-type]
        states[name] = sink._current_state()
    assert state_trigger["topic"] == f"{ADDRESS.base}/state"
    assert [fires(state_trigger, json.dumps(states[name])) for name in ("live", "lost")] == [False, True]
    assert offline_trigger == {"trigger": "mqtt", "topic": f"{ADDRESS.base}/availability", "payload": "offline"}
    message = automation["actions"][0]["data"]["message"]
    lost = {"payload_json": states["lost"], "payload": json.dumps(states["lost"])}
    assert render(message, trigger=lost) == "Kitchen camera: lost"
    template = jinja2.Environment().from_string(message)
    assert template.render(trigger={"payload": "offline"}) == "Kitchen camera: offline"
