"""State and events published to an MQTT broker, for other programs; Home Assistant makes a device of them."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, get_args

from edgeinfer.outputs.events import HOLD_S, Event, EventDetector, EventKind, message
from edgeinfer.outputs.mqtt_link import BrokerAddress, MqttLink
from edgeinfer.outputs.schema import rounded
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import UNKNOWN, Face, Frame, Result, SourceState, State

NONE = "none"
"""The expression where nobody is."""
EVERY_S = 1.0
"""Least time between two messages about the state, or about the same face."""
RATE_OVER_S = 5.0
"""What frames a second are measured over."""
HA_STATUS = "homeassistant/status"


@dataclass(slots=True)
class _Track:
    face: Face
    began_s: float
    seen_s: float
    told: str | None = None
    told_s: float = -math.inf


class MqttSink(AbstractContextManager["MqttSink"]):
    """Publishes how things are, each face's expression, and events; docs/mqtt.md describes the topics."""

    def __init__(self, url: str, *, home_assistant: bool = False) -> None:
        """Connect to nobody yet.

        Args:
            url: mqtt://[name:password@]host[:1883][/base/topic], or mqtts:// for TLS; the topic is
                edgeinfer/<name of this machine> unless given.
            home_assistant: also publish what Home Assistant needs to make a device of it.

        Raises:
            UsageError: it is no such URL.
            CapabilityError: paho-mqtt is not installed.
        """
        self._address, self._home_assistant = BrokerAddress.parse(url), home_assistant
        listen = {HA_STATUS: self._hear_status} if home_assistant else {}
        self._link = MqttLink(self._address, tell=self._tell, listen=listen)
        self._events, self._header = EventDetector(hold_s=HOLD_S), RunHeader("", None, (), "", "", {})
        # What both threads use.
        self._lock = threading.Lock()
        self._source_state: State = "live"
        self._faces: tuple[Face, ...] = ()
        self._tracks: dict[int, _Track] = {}
        self._frames, self._ending = 0, False
        # What the thread of the connection has said.
        self._counts = deque([(time.monotonic(), 0)])
        self._state: dict[str, Any] | None = None
        self._state_s, self._introduced = -math.inf, False

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Begin to connect."""
        self._header = header
        self._link.start()

    def write(self, frame: Frame, result: Result) -> None:
        """Take note of one frame; another thread tells of it."""
        happened = self._events.update(result)
        with self._lock:
            for event in happened:
                if event.kind == "left":
                    self._tracks.pop(event.track_id, None)
            self._faces, self._frames = result.faces, self._frames + 1
            for face in result.faces:
                track = self._tracks.setdefault(face.track_id, _Track(face, result.timestamp_s, result.timestamp_s))
                track.face, track.seen_s = face, result.timestamp_s
        self._post(happened)

    def source_state(self, state: SourceState) -> None:
        """Take note of how a live source fares; while it gives no frames, nobody is seen."""
        with self._lock:
            self._source_state = state.state
            if state.state != "live":
                self._faces = ()

    def __exit__(self, *_: object) -> None:
        """Everyone leaves; what is unsent gets a little time."""
        with self._lock:
            self._faces, self._ending = (), True
        self._post(self._events.close())
        self._link.close()

    def _post(self, happened: Iterable[Event]) -> None:
        for event in happened:
            self._link.post(f"{self._address.base}/events", _json(message(event, self._header.source)))

    def _tell(self, fresh: bool) -> None:
        """Publish what has changed; on a fresh connection everything that is retained."""
        now_s = time.monotonic()
        if fresh:
            self._state, self._introduced = None, False
        if self._home_assistant and not self._introduced:
            device = _json(device_of(self._address, self._header))
            self._link.publish(f"homeassistant/device/{self._address.id}/config", device, retain=True)
            self._introduced = True
        state = self._state_at(now_s)
        due = self._ending or now_s - self._state_s >= EVERY_S
        if self._state is None or (due and _matters(self._state, state)):
            self._state, self._state_s = state, now_s
            self._link.publish(f"{self._address.base}/state", _json(state), retain=True)
        with self._lock:
            shown = [self._tracks[face.track_id] for face in self._faces]
            changed = [t for t in shown if t.told != t.face.emotion.label and now_s - t.told_s >= EVERY_S]
            for track in changed:
                track.told, track.told_s = track.face.emotion.label, now_s
            bodies = {track.face.track_id: _track_body(track) for track in changed}
        for number, body in bodies.items():
            self._link.publish(f"{self._address.base}/tracks/{number}", _json(body))

    def _state_at(self, now_s: float) -> dict[str, Any]:
        with self._lock:
            faces, source_state = self._faces, self._source_state
        largest = max(faces, key=lambda face: face.box.w * face.box.h, default=None)
        return {
            "source": self._header.source,
            "source_state": source_state,
            "faces": len(faces),
            "expression": largest.emotion.label if largest else NONE,
            "confidence": round(largest.emotion.confidence, 4) if largest else None,
            "fps": round(self._rate(now_s), 1),
        }

    def _rate(self, now_s: float) -> float:
        counts = self._counts
        counts.append((now_s, self._frames))
        while len(counts) > 2 and now_s - counts[1][0] >= RATE_OVER_S:
            counts.popleft()
        (since_s, before), (until_s, after) = counts[0], counts[-1]
        return (after - before) / (until_s - since_s) if until_s > since_s else 0.0

    def _hear_status(self, payload: bytes) -> None:
        """Home Assistant was started anew."""
        if payload == b"online":
            self._introduced = False


def _track_body(track: _Track) -> dict[str, Any]:
    emotion = track.face.emotion
    return {
        "track_id": track.face.track_id,
        "label": emotion.label,
        "confidence": round(emotion.confidence, 4),
        "probabilities": rounded(emotion.probabilities),
        "present_s": round(track.seen_s - track.began_s, 4),
        "timestamp_s": round(track.seen_s, 4),
    }


def _matters(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a state differs enough from another one to be told: numbers tremble."""
    if any(old[key] != new[key] for key in ("source_state", "faces", "expression")):
        return True
    surer: bool = abs((new["confidence"] or 0) - (old["confidence"] or 0)) >= 0.1
    faster: bool = abs(new["fps"] - old["fps"]) > max(0.5, 0.2 * old["fps"])
    return surer or faster


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def device_of(address: BrokerAddress, header: RunHeader) -> dict[str, Any]:
    """What Home Assistant makes a device with seven entities of, since 2024.11.

    https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload
    """
    version = header.versions.get("edgeinfer", "")
    measured, diagnostic = {"state_class": "measurement"}, {"entity_category": "diagnostic"}
    percent = "{{ (100 * value_json.confidence) | round(1) if value_json.confidence is number else None }}"
    expressions = {"device_class": "enum", "options": list(dict.fromkeys((*header.labels, UNKNOWN, NONE)))}
    states = {"device_class": "enum", "options": list(get_args(State))}
    # An event's type must be called event_type.
    event = "{{ dict(value_json, event_type=value_json.type) | to_json }}"
    kinds = {"state_topic": f"{address.base}/events", "event_types": list(get_args(EventKind))}
    entities: dict[str, tuple[str, str, str, Mapping[str, Any]]] = {
        "occupancy": (
            "binary_sensor",
            "Occupancy",
            "{{ 'ON' if value_json.faces else 'OFF' }}",
            {"device_class": "occupancy"},
        ),
        "faces": ("sensor", "Faces", "{{ value_json.faces }}", measured),
        "expression": ("sensor", "Expression", "{{ value_json.expression }}", expressions),
        "confidence": ("sensor", "Confidence", percent, measured | {"unit_of_measurement": "%"}),
        "event": ("event", "Event", event, kinds),
        "fps": ("sensor", "Frame rate", "{{ value_json.fps }}", measured | diagnostic | {"unit_of_measurement": "fps"}),
        "source": ("sensor", "Source", "{{ value_json.source_state }}", states | diagnostic),
    }
    return {
        "dev": {
            "ids": [address.id],
            "name": address.base.replace("/", " "),
            "mf": "edgeinfer",
            "mdl": header.model,
            "sw": version,
        },
        "o": {"name": "edgeinfer", "sw": version},
        "avty_t": f"{address.base}/availability",
        "state_topic": f"{address.base}/state",
        "cmps": {
            key: {"p": platform, "unique_id": f"{address.id}_{key}", "name": name, "value_template": value, **options}
            for key, (platform, name, value, options) in entities.items()
        },
    }


def check_url(url: str) -> None:
    """Refuse what nothing could be published to.

    Raises:
        UsageError: it is no mqtt or mqtts URL, or nothing can be published under its topic.
    """
    BrokerAddress.parse(url)
