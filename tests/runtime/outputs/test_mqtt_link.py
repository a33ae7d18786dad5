"""Broker addresses, and parts of the MQTT sink that need no broker; test_mqtt.py uses a real one."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from edgeinfer import CapabilityError, Event, Result, UsageError
from edgeinfer.outputs.mqtt import MqttSink, check_url
from edgeinfer.outputs.mqtt_link import BrokerAddress
from edgeinfer.results import Frame
from tools.mqtt_driver import make_face


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://broker.local", ("broker.local", 1883, False, None, None)),
        ("MQTTS://broker.local/", ("broker.local", 8883, True, None, None)),
        ("mqtt://[::1]:1884/a/b", ("::1", 1884, False, None, None)),
        ("mqtt://me@h", ("h", 1883, False, "me", None)),
        ("mqtts://m%40e:p%2F%23@h:1", ("h", 1, True, "m@e", "p/#")),
    ],
)
def test_url_is_parsed(url: str, expected: tuple[object, ...]) -> None:
    parsed = BrokerAddress.parse(url)
    assert (parsed.host, parsed.port, parsed.tls, parsed.username, parsed.password) == expected
    assert "p/#" not in repr(parsed)  # the password


def test_base_topic_and_client_id() -> None:
    assert BrokerAddress.parse("mqtt://h/a%20b/k%C3%BCche/").base == "a b/küche"
    assert BrokerAddress.parse("mqtt://h").base.startswith("edgeinfer/")
    same, other = BrokerAddress.parse("mqtt://h/x"), BrokerAddress.parse("mqtt://h/y")
    assert same.client_id == BrokerAddress.parse("mqtts://me@other/x").client_id != other.client_id


@pytest.mark.parametrize(
    "url",
    [
        "http://host/x", "host/x", "mqtt://", "mqtt://host:port", "mqtt://host:0", "mqtt://[::1", "mqtt://::1", "mqtt://a..b",
        "mqtt://h/a/#", "mqtt://h/+/b", "mqtt://h/%23", "mqtt://h/$SYS", "mqtt://h/a%00b", "mqtt://h/a?b",
        f"mqtt://h/{'x' * 501}", "mqtt://me:se/cret@h", "mqtt://me:12/cret@h", "mqtt://me:12#cret@h",
        "mqtt://me:12?cret@h", "http://me:cret@h:1883", "mqtt://me:cret@h\n", "mqtt://me:cret\udce9@h",
        "mqtt://me:cret@a b/x", "mqtt://me:cret@h\\x", "mqtt://h/cret/+",
        f"mqtt://{'cret' * 20_000}@h",
    ],
)  # fmt: skip
def test_invalid_url_is_rejected_without_revealing_the_password(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_url(url)
    assert "cret" not in str(caught.value)


def test_tls_verifies_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    paho = pytest.importorskip("paho.mqtt.client")
    contexts: list[object] = []
    monkeypatch.setattr(paho.Client, "tls_set_context", lambda _client, context=None: contexts.append(context))
    MqttSink("mqtt://h")
    assert contexts == []
    MqttSink("mqtts://h")
    assert contexts == [None]  # the default of paho: the system's certificate authorities


def test_missing_package_error_names_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    monkeypatch.delitem(sys.modules, "edgeinfer.outputs.mqtt_client", raising=False)
    with pytest.raises(CapabilityError, match=r"pip install 'edgeinfer\[mqtt\]'"):
        MqttSink("mqtt://h")


def test_face_that_left_is_not_published_before_the_next_frame() -> None:
    """Publish between the events of a frame and the frame itself, as the connection's thread may do."""
    pytest.importorskip("paho.mqtt.client")
    sink = MqttSink("mqtt://h")
    frame = Frame(np.zeros((2, 2, 3), np.uint8), 0, 0.0)
    sink.write(frame, Result((make_face(1, "happy"), make_face(2, "sad")), 0.0))
    left = Event("left", 1, 0.0, "happy", 0.9, None, 0.0)
    sink.handle_events([left], frame, Result((), 5.0))
    assert sink._current_state()["faces"] == 1
    assert list(sink._changed_tracks(now_s=10.0)) == [2]
