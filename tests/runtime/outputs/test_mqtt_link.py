"""Broker addresses and requirements of a link; test_mqtt.py tests it with a real broker."""

from __future__ import annotations

import sys

import pytest

from edgeinfer import CapabilityError, UsageError
from edgeinfer.outputs.mqtt import MqttSink, check_url
from edgeinfer.outputs.mqtt_link import BrokerAddress


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
        "http://host/x", "host/x", "mqtt://", "mqtt://host:port", "mqtt://host:0", "mqtt://[::1", "mqtt://a..b",
        "mqtt://h/a/#", "mqtt://h/+/b", "mqtt://h/%23", "mqtt://h/$SYS", "mqtt://h/a%00b", "mqtt://h/a?b",
        f"mqtt://h/{'x' * 501}", "mqtt://me:se/cret@h", "mqtt://me:12/cret@h", "mqtt://me:12#cret@h",
        "mqtt://me:12?cret@h",
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
    with pytest.raises(CapabilityError, match=r"pip install paho-mqtt"):
        MqttSink("mqtt://h")
