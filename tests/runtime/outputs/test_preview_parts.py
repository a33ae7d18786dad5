"""Where the preview listens, whom it lets in, and what each face showed in the last minute."""

from __future__ import annotations

import socket

import pytest

from edgeinfer import Box, UsageError
from edgeinfer.outputs.preview.access import AccessControl, ListenAddress, check_access
from edgeinfer.outputs.preview.timeline import SPAN_S, Timeline
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
def test_an_address_is_read(text: str, host: str, port: int, loopback: bool) -> None:
    address = ListenAddress.parse(text)
    assert (address.host, address.port, address.loopback) == (host, port, loopback)


@pytest.mark.parametrize(
    ("text", "port", "url"),
    [("0", 9, "http://127.0.0.1:9/"), ("[::1]:0", 9, "http://[::1]:9/"), ("pi:80", 80, "http://pi:80/")],
)
def test_an_address_becomes_what_a_browser_takes(text: str, port: int, url: str) -> None:
    assert ListenAddress.parse(text).url(port) == url


def test_anywhere_is_named_by_this_machine() -> None:
    assert ListenAddress.parse("0.0.0.0:80").url(80) == f"http://{socket.gethostname()}:80/"


@pytest.mark.parametrize("text", ["", "x", ":80", "65536", "-1", "host:", "::1:80", "host:80:90", "[host]:80", "８０"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no address to listen on"):
        ListenAddress.parse(text)


@pytest.mark.parametrize(
    ("address", "token", "sentence"),
    [
        ("0.0.0.0:80", None, "can be reached from elsewhere"),
        ("[::]:80", None, "can be reached from elsewhere"),
        ("pi.local:80", None, "can be reached from elsewhere"),
        ("80", "short", "at least 8"),
        ("80", "", "at least 8"),
        ("80", "eight\x07bells", "printable"),
        ("80", "Losungswört", "ASCII"),
    ],
)
def test_what_strangers_could_watch_is_refused(address: str, token: str | None, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        check_access(address, token)


@pytest.mark.parametrize(
    ("host", "admitted"),
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
def test_without_a_token_only_names_of_the_loopback_lead_here(host: str, admitted: bool) -> None:
    assert AccessControl(None).admits(None, host) is admitted


def test_the_strip_holds_a_minute() -> None:
    strip = Timeline()
    for time_s, number, label in (
        (0.0, 1, "happy"),
        (0.5, 1, "happy"),
        (1.0, 1, "sad"),
        (3.0, 1, "sad"),
        (3.0, 2, "sad"),
    ):
        strip.update(_result(time_s, number, label))
    assert strip.told() == [
        {"track": 1, "spans": [[0.0, 1.0, "happy"], [1.0, 1.0, "sad"], [3.0, 3.0, "sad"]]},
        {"track": 2, "spans": [[3.0, 3.0, "sad"]]},
    ]
    strip.update(_result(SPAN_S + 2.0, 3, "happy"))
    assert [track["track"] for track in strip.told()] == [1, 2, 3]
    strip.update(_result(SPAN_S + 3.5, 3, "happy"))
    assert [track["track"] for track in strip.told()] == [3]


def _result(time_s: float, track: int, label: str) -> Result:
    emotion = Emotion(label, 1.0, {label: 1.0})
    return Result((Face(track, Box(10, 10, 20, 20), emotion, emotion),), time_s)
