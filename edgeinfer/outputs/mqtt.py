"""State, expressions and events published to an MQTT broker, with device discovery for Home Assistant."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, get_args

from edgeinfer.outputs.events import Event, EventKind, event_payload
from edgeinfer.outputs.mqtt_link import BrokerAddress, MqttLink
from edgeinfer.outputs.rate import RateMeter
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.representation import rounded
from edgeinfer.results import UNKNOWN, Face, Frame, Result, SourceState, State

NO_EXPRESSION = "none"
"""Published expression when no face is in view."""
MIN_INTERVAL_S = 1.0
"""Minimum interval between messages about the state, or about the same face, in seconds."""
RATE_WINDOW_S = 5.0
"""Window of the published frame rate, in seconds."""
HA_STATUS = "homeassistant/status"
"""Topic on which Home Assistant announces its start."""


@dataclass(slots=True)
class _Track:
    """Published state of one track.

    Attributes:
        face: the face in the latest frame that shows it.
        began_s: time of the first sighting, in seconds in the time base of the frames.
        seen_s: time of the latest sighting, in seconds in the time base of the frames.
        published_label: label of the latest message, None before the first.
        published_s: time of the latest message, in seconds of `time.monotonic()`.
    """

    face: Face
    began_s: float
    seen_s: float
    published_label: str | None = None
    published_s: float = -math.inf


class MqttSink(AbstractContextManager["MqttSink"]):
    """Sink that publishes the run's state, each face's expression, and events; docs/mqtt.md describes the topics.

    The run only stores values and queues events; the connection's thread publishes them.
    """

    def __init__(self, url: str, *, home_assistant: bool = False) -> None:
        """Initialize the sink without connecting.

        Args:
            url: mqtt://[name:password@]host[:1883][/base/topic], or mqtts:// for TLS; the default topic is
                edgeinfer/<host name>.
            home_assistant: publish a discovery message, from which Home Assistant creates a device.

        Raises:
            UsageError: The URL is invalid.
            CapabilityError: paho-mqtt is not installed.
        """
        self._address, self._home_assistant = BrokerAddress.parse(url), home_assistant
        subscriptions = {HA_STATUS: self._on_home_assistant_status} if home_assistant else {}
        self._link = MqttLink(self._address, on_tick=self._publish_changes, subscriptions=subscriptions)
        self._header = RunHeader("", None, (), "", "", {})
        self._rate = RateMeter(RATE_WINDOW_S)
        # Shared by the run and the connection's thread; guarded by the lock.
        self._lock = threading.Lock()
        self._source_state: State = "live"
        self._faces: tuple[Face, ...] = ()
        self._tracks: dict[int, _Track] = {}
        self._closing = False
        # Used by the connection's thread only.
        self._state: dict[str, Any] | None = None
        self._state_s, self._discovery_sent = -math.inf, False

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Connect in the background.

        The connection is not opened on entry, because the first messages describe the source and the model.
        """
        self._header = header
        self._link.start()

    def handle_events(self, events: Sequence[Event], frame: Frame | None, result: Result | None) -> None:
        """Queue events for publication and discard the tracks of faces that left."""
        with self._lock:
            for event in events:
                if event.kind == "left":
                    self._tracks.pop(event.track_id, None)
            # The connection's thread looks up the track of each current face.
            self._faces = tuple(face for face in self._faces if face.track_id in self._tracks)
        for event in events:
            self._link.enqueue(f"{self._address.base}/events", _json(event_payload(event, self._header.source)))

    def write(self, frame: Frame, result: Result) -> None:
        """Store the faces of a frame for publication."""
        self._rate.add()
        with self._lock:
            self._faces = result.faces
            for face in result.faces:
                track = self._tracks.setdefault(face.track_id, _Track(face, result.timestamp_s, result.timestamp_s))
                track.face, track.seen_s = face, result.timestamp_s

    def source_state(self, state: SourceState) -> None:
        """Store the source's state; no face is in view unless the source is live."""
        with self._lock:
            self._source_state = state.state
            if state.state != "live":
                self._faces = ()

    def __exit__(self, *_: object) -> None:
        """Publish the final state and the remaining events, then disconnect; wait a few seconds at most."""
        with self._lock:
            self._faces, self._closing = (), True
        self._link.close()

    def _publish_changes(self, first: bool) -> None:
        """Publish all values that have changed, or all values in the first call on a connection."""
        now_s = time.monotonic()
        if first:
            self._state, self._discovery_sent = None, False
        if self._home_assistant and not self._discovery_sent:
            device = _json(device_discovery(self._address, self._header))
            self._link.publish(f"homeassistant/device/{self._address.client_id}/config", device, retain=True)
            self._discovery_sent = True
        state = self._current_state()
        due = self._closing or now_s - self._state_s >= MIN_INTERVAL_S
        if self._state is None or (due and _differs_significantly(self._state, state)):
            self._state, self._state_s = state, now_s
            self._link.publish(f"{self._address.base}/state", _json(state), retain=True)
        for track_id, payload in self._changed_tracks(now_s).items():
            self._link.publish(f"{self._address.base}/tracks/{track_id}", _json(payload))

    def _changed_tracks(self, now_s: float) -> dict[int, dict[str, Any]]:
        """Return the payloads of current tracks whose label has changed, by track id, and mark them as published."""
        with self._lock:
            current = [self._tracks[face.track_id] for face in self._faces]
            changed = [
                track
                for track in current
                if track.published_label != track.face.emotion.label and now_s - track.published_s >= MIN_INTERVAL_S
            ]
            for track in changed:
                track.published_label, track.published_s = track.face.emotion.label, now_s
            return {track.face.track_id: _track_payload(track) for track in changed}

    def _current_state(self) -> dict[str, Any]:
        with self._lock:
            faces, source_state = self._faces, self._source_state
        largest = max(faces, key=lambda face: face.box.w * face.box.h, default=None)
        return {
            "source": self._header.source,
            "source_state": source_state,
            "faces": len(faces),
            "expression": largest.emotion.label if largest else NO_EXPRESSION,
            "confidence": round(largest.emotion.confidence, 4) if largest else None,
            "fps": round(self._rate.per_second(), 1),
        }

    def _on_home_assistant_status(self, payload: bytes) -> None:
        """Publish the discovery message again after a restart of Home Assistant."""
        if payload == b"online":
            self._discovery_sent = False


def _track_payload(track: _Track) -> dict[str, Any]:
    emotion = track.face.emotion
    return {
        "track_id": track.face.track_id,
        "label": emotion.label,
        "confidence": round(emotion.confidence, 4),
        "probabilities": rounded(emotion.probabilities),
        "present_s": round(track.seen_s - track.began_s, 4),
        "timestamp_s": round(track.seen_s, 4),
    }


def _differs_significantly(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return True if two states differ by more than the noise in confidence and frame rate."""
    if any(old[key] != new[key] for key in ("source_state", "faces", "expression")):
        return True
    confidence_changed: bool = abs((new["confidence"] or 0) - (old["confidence"] or 0)) >= 0.1
    rate_changed: bool = abs(new["fps"] - old["fps"]) > max(0.5, 0.2 * old["fps"])
    return confidence_changed or rate_changed


def _json(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.encode(errors="replace").decode()  # file names may contain undecodable bytes


def device_discovery(address: BrokerAddress, header: RunHeader) -> dict[str, Any]:
    """Return the discovery payload of the device with its entities; requires Home Assistant 2024.11 or newer.

    https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload
    """
    version = header.versions.get("edgeinfer", "")
    return {
        "dev": {
            "ids": [address.client_id],
            "name": address.base.replace("/", " "),
            "mf": "edgeinfer",
            "mdl": header.model,
            "sw": version,
        },
        "o": {"name": "edgeinfer", "sw": version},
        "avty_t": f"{address.base}/availability",
        "state_topic": f"{address.base}/state",
        "cmps": {
            key: {"unique_id": f"{address.client_id}_{key}", **entity}
            for key, entity in _entities(address, header.labels).items()
        },
    }


def _entities(address: BrokerAddress, labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the entities of the device, by key."""
    measurement, diagnostic = {"state_class": "measurement"}, {"entity_category": "diagnostic"}
    percent = "{{ (100 * value_json.confidence) | round(1) if value_json.confidence is number else None }}"
    expressions = {"device_class": "enum", "options": list(dict.fromkeys((*labels, UNKNOWN, NO_EXPRESSION)))}
    states = {"device_class": "enum", "options": list(get_args(State))}
    # Home Assistant requires the key event_type.
    event = "{{ dict(value_json, event_type=value_json.type) | to_json }}"
    kinds = {"state_topic": f"{address.base}/events", "event_types": list(get_args(EventKind))}
    occupancy = "{{ 'ON' if value_json.faces else 'OFF' }}"
    frame_rate = measurement | diagnostic | {"unit_of_measurement": "fps"}
    return {
        "occupancy": _entity("binary_sensor", "Occupancy", occupancy, {"device_class": "occupancy"}),
        "faces": _entity("sensor", "Faces", "{{ value_json.faces }}", measurement),
        "expression": _entity("sensor", "Expression", "{{ value_json.expression }}", expressions),
        "confidence": _entity("sensor", "Confidence", percent, measurement | {"unit_of_measurement": "%"}),
        "event": _entity("event", "Event", event, kinds),
        "fps": _entity("sensor", "Frame rate", "{{ value_json.fps }}", frame_rate),
        "source": _entity("sensor", "Source", "{{ value_json.source_state }}", states | diagnostic),
    }


def _entity(platform: str, name: str, template: str, options: Mapping[str, Any]) -> dict[str, Any]:
    return {"p": platform, "name": name, "value_template": template, **options}


def check_url(url: str) -> None:
    """Validate the URL of a broker.

    Raises:
        UsageError: The URL is not a valid mqtt or mqtts URL, or its base topic is invalid.
    """
    BrokerAddress.parse(url)
