"""Listen addresses, access control and timeline of the preview."""

from __future__ import annotations

import socket

import pytest

from edgeinfer import Box, UsageError
from edgeinfer.outputs.preview.access import AccessControl, ListenAddress, check_access
from edgeinfer.outputs.preview.timeline import DURATION_S, Timeline
from edgeinfer.results import Emotion, Face, Result


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("8080", "127.0.0.1", 8080, True),
        ("localhost:0", "localhost", 0, True),
        ("127.8.0.1:1", "127.8.0.1", 1, True),
        ("0.0.0.0:65535", "0.0.0.0", 65535, False),
        ("pi.local:80", "pi.local", 80, False),
        ("[::1]:8080", "::1", 8080, True),
        ("[::]:8080", "::", 8080, False),
    ],
)
def test_listen_address_is_parsed(text: str, host: str, port: int, loopback: bool) -> None:
    address = ListenAddress.parse(text)
    assert (address.host, address.port, address.loopback) == (host, port, loopback)


@pytest.mark.parametrize(
    ("text", "port", "url"),
    [("0", 9, "http://127.0.0.1:9/"), ("[::1]:0", 9, "http://[::1]:9/"), ("pi:80", 80, "http://pi:80/")],
)
def test_listen_address_has_a_url(text: str, port: int, url: str) -> None:
    assert ListenAddress.parse(text).url(port) == url


def test_url_of_a_wildcard_address_has_the_host_name() -> None:
    assert ListenAddress.parse("0.0.0.0:80").url(80) == f"http://{socket.gethostname()}:80/"


@pytest.mark.parametrize("text", ["", "x", ":80", "65536", "-1", "host:", "::1:80", "host:80:90", "[host]:80", "８０"])
def test_invalid_listen_address_is_rejected(text: str) -> None:
    with pytest.raises(UsageError, match="invalid listen address"):
        ListenAddress.parse(text)


@pytest.mark.parametrize(
    ("address", "token", "message"),
    [
        ("0.0.0.0:80", None, "other machines can connect"),
        ("[::]:80", None, "other machines can connect"),
        ("pi.local:80", None, "other machines can connect"),
        ("80", "short", "at least 8"),
        ("80", "", "at least 8"),
        ("80", "eight\x07bells", "printable"),
        ("80", "Losungswört", "ASCII"),
        ("nowhere", "long enough", "invalid listen address"),
    ],
)
def test_unprotected_or_weak_access_is_rejected(address: str, token: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_access(address, token)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost:8080", True),
        ("LOCALHOST", True),
        ("127.0.0.1:8080", True),
        ("[::1]:8080", True),
        ("evil.example:8080", False),
        ("localhost.evil.example", False),
        ("192.168.1.5", False),
        ("", False),
    ],
)
def test_only_loopback_hosts_are_allowed_without_a_token(host: str, allowed: bool) -> None:
    assert AccessControl(None).allows(None, host) is allowed


def test_timeline_covers_the_last_minute() -> None:
    timeline = Timeline()
    for time_s, number, label in (
        (0.0, 1, "happy"),
        (0.5, 1, "happy"),
        (1.0, 1, "sad"),
        (3.0, 1, "sad"),
        (3.0, 2, "sad"),
    ):
        timeline.update(_make_result(time_s, number, label))
    assert timeline.snapshot() == [
        {"track": 1, "spans": [[0.0, 1.0, "happy"], [1.0, 1.0, "sad"], [3.0, 3.0, "sad"]]},
        {"track": 2, "spans": [[3.0, 3.0, "sad"]]},
    ]
    timeline.update(_make_result(DURATION_S + 2.0, 3, "happy"))
    assert [track["track"] for track in timeline.snapshot()] == [1, 2, 3]
    timeline.update(_make_result(DURATION_S + 3.5, 3, "happy"))
    assert [track["track"] for track in timeline.snapshot()] == [3]


def _make_result(time_s: float, track: int, label: str) -> Result:
    emotion = Emotion(label, 1.0, {label: 1.0})
    return Result((Face(track, Box(10, 10, 20, 20), emotion, emotion),), time_s)
