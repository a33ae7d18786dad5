"""Addresses of brokers, and what a link needs; what it does with a real one stands in test_mqtt.py."""

from __future__ import annotations

import sys

import pytest

from edgeinfer import CapabilityError, UsageError
from edgeinfer.outputs.mqtt import MqttSink, check_url
from edgeinfer.outputs.mqtt_link import BrokerAddress


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("mqtt://broker.local", ("broker.local", 1883, False, None, None)),
        ("MQTTS://broker.local/", ("broker.local", 8883, True, None, None)),
        ("mqtt://[::1]:1884/a/b", ("::1", 1884, False, None, None)),
        ("mqtt://me@h", ("h", 1883, False, "me", None)),
        ("mqtts://m%40e:p%2F%23@h:1", ("h", 1, True, "m@e", "p/#")),
    ],
)
def test_addresses(address: str, where: tuple[object, ...]) -> None:
    parsed = BrokerAddress.parse(address)
    assert (parsed.host, parsed.port, parsed.tls, parsed.username, parsed.password) == where
    assert "p/#" not in repr(parsed)


def test_base_topics() -> None:
    assert BrokerAddress.parse("mqtt://h/a%20b/k%C3%BCche/").base == "a b/küche"
    assert BrokerAddress.parse("mqtt://h").base.startswith("edgeinfer/")
    same, other = BrokerAddress.parse("mqtt://h/x"), BrokerAddress.parse("mqtt://h/y")
    assert same.id == BrokerAddress.parse("mqtts://me@other/x").id != other.id


@pytest.mark.parametrize(
    "address",
    [
        "http://host/x", "host/x", "mqtt://", "mqtt://host:port", "mqtt://host:0", "mqtt://[::1", "mqtt://a..b",
        "mqtt://h/a/#", "mqtt://h/+/b", "mqtt://h/%23", "mqtt://h/$SYS", "mqtt://h/a%00b", "mqtt://h/a?b",
        f"mqtt://h/{'x' * 501}", "mqtt://me:se/cret@h", "mqtt://me:12/cret@h", "mqtt://me:12#cret@h",
        "mqtt://me:12?cret@h",
    ],
)  # fmt: skip
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(UsageError) as told:
        check_url(address)
    assert "cret" not in str(told.value)


def test_tls_checks_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    paho = pytest.importorskip("paho.mqtt.client")
    made: list[object] = []
    monkeypatch.setattr(paho.Client, "tls_set_context", lambda _client, context=None: made.append(context))
    MqttSink("mqtt://h")
    assert made == []
    MqttSink("mqtts://h")
    assert made == [None]  # paho's default: the system's authorities


def test_without_its_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(CapabilityError, match=r"pip install paho-mqtt"):
        MqttSink("mqtt://h")
