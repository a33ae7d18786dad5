"""Removal of credentials from addresses."""

from __future__ import annotations

import random

import pytest

from edgeinfer.url import AddressError, bracketed, hide_addresses, host_and_port, origin, scheme, without_credentials
from tools.secret_texts import addresses


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        pytest.param("rtsp://h:554/live/ch0", "rtsp://h:554/live/ch0", id="without-credentials"),
        pytest.param("rtsp://admin:secret@h/x", "rtsp://h/x", id="password"),
        pytest.param("RTSP://admin:secret@h/x", "RTSP://h/x", id="upper-case"),
        pytest.param("rtsp://token@h/x", "rtsp://h/x", id="user-only"),
        pytest.param("rtsp://admin:se?cret@h/x", "rtsp://h/x", id="question-mark"),
        pytest.param("rtsp://admin:se#cret@h/x", "rtsp://h/x", id="hash"),
        pytest.param("rtsp://admin:se/cret@h/x", "rtsp://h/x", id="slash"),
        pytest.param("rtsp://admin:se@cret@h/x", "rtsp://h/x", id="at"),
        pytest.param("rtsp://admin:12/cret@h/x", "rtsp://***", id="password-or-port"),
        pytest.param("rtsp://admin:s@e/cret@h/x", "rtsp://***", id="several-readings"),
        pytest.param("http://h/x?key=secret#secret", "http://h/x", id="query"),
        pytest.param("rtsp://h/user=admin&password=S", "rtsp://h/***", id="in-the-path"),
        pytest.param("rtsp://h/a/user=admin_password=S/b", "rtsp://h/a/***", id="in-the-path-with-underscores"),
        pytest.param("rtsp://h/user%3Dadmin%26password%3DS", "rtsp://h/***", id="percent-encoded"),
        pytest.param("rtsp://h/token/S/b", "rtsp://h/token/***", id="after-the-word-token"),
        pytest.param("rtsps://10.0.0.1:7441/AbCdEf1234567890?x", "rtsps://10.0.0.1:7441/***", id="token-in-the-path"),
        pytest.param("rtsp://[fe80::1]:554/x", "rtsp://[fe80::1]:554/x", id="ipv6"),
        pytest.param("http://admin:secret@[", "http://***", id="invalid"),
        pytest.param("admin:secret@h/x", "***@h/x", id="no-scheme"),
        pytest.param("rtsp:/admin:secret@h/x", "***", id="one-slash"),
        pytest.param("cam/user=admin&password=S", "cam/***", id="no-scheme-in-the-path"),
        pytest.param("clips/door@2x.mp4", "clips/door@2x.mp4", id="file-with-at"),
        pytest.param("a:b.mp4", "a:b.mp4", id="file-with-colon"),
        pytest.param("gain=2.mp4", "gain=2.mp4", id="file-with-equals"),
        pytest.param("0", "0", id="camera"),
    ],
)
def test_address_is_shown_without_credentials(address: str, shown: str) -> None:
    assert without_credentials(address) == shown
    assert without_credentials(shown) == shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost:9000", ("localhost", 9000)),
        ("10.0.0.5:65535", ("10.0.0.5", 65535)),
        ("Pi.LOCAL:1", ("pi.local", 1)),
        ("MÜNCHEN.example:80", ("xn--mnchen-3ya.example", 80)),
        ("[::1]:9000", ("::1", 9000)),
        ("[fe80::1%eth0]:9000", ("fe80::1%eth0", 9000)),
    ],
)
def test_host_and_port(text: str, expected: tuple[str, int]) -> None:
    assert host_and_port(text) == expected
    assert host_and_port(f"{bracketed(expected[0])}:{expected[1]}") == expected


@pytest.mark.parametrize("text", ["pi", "pi:", "[::1]", "[::1]:"])
def test_port_may_be_left_out_if_there_is_a_default(text: str) -> None:
    assert host_and_port(text, default_port=7)[1] == 7
    with pytest.raises(AddressError, match="the port is missing"):
        host_and_port(text)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "the host is missing"),
        (":80", "the host is missing"),
        ("pi:0", "not a number from 1 to 65535"),
        ("pi:65536", "not a number from 1 to 65535"),
        ("pi:+8", "not a number from 1 to 65535"),
        ("pi:８０", "not a number from 1 to 65535"),
        ("pi:80/x", "not a number from 1 to 65535"),
        ("::1", "must be enclosed in brackets"),
        ("::1:80", "must be enclosed in brackets"),
        ("fe80::1%eth0:80", "must be enclosed in brackets"),
        ("[pi]:80", "expected an IPv6 address in the brackets"),
        ("[10.0.0.5]:80", "expected an IPv6 address in the brackets"),
        ("[fe80::1%a b]:80", "expected an IPv6 address in the brackets"),
        ("[]:80", "expected an IPv6 address in the brackets"),
        ("[::1:80", "expected one host and one port"),
        ("[::1]80", "expected one host and one port"),
        ("http://pi:80", "expected one host and one port"),
        ("me:secret@pi:80", "expected one host and one port"),
        ("secret@pi:80", "neither a name nor an IP address"),
        ("a b:80", "neither a name nor an IP address"),
        ("a..b:80", "neither a name nor an IP address"),
        ("pi\n:80", "neither a name nor an IP address"),
        (f"{'a' * 64}:80", "neither a name nor an IP address"),
    ],
)
def test_cause_of_a_malformed_address(text: str, cause: str) -> None:
    with pytest.raises(AddressError, match=cause) as caught:
        host_and_port(text)
    assert "secret" not in str(caught.value)


def test_lowest_port() -> None:
    assert host_and_port("pi:0", lowest_port=0) == ("pi", 0)
    with pytest.raises(AddressError, match="from 0 to 65535"):
        host_and_port("pi:x", lowest_port=0)


@pytest.mark.parametrize("seed", range(20))
def test_no_part_of_a_generated_secret_is_shown(seed: int) -> None:
    generator = random.Random(seed)
    for _ in range(50):
        for address, secrets in addresses(generator, generator.choice(["rtsp", "http", "mqtt", "x-cam"])):
            for shown in (
                without_credentials(address),
                origin(address),
                hide_addresses(f"ValueError: bad {address!r} in {address}", [address]),
            ):
                assert not any(secret.leaks_into(shown) for secret in secrets), (address, shown)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.example/services/T000/B000/XXXXXXXX", "https://hooks.example"),
        ("https://me:secret@hooks.example:8443/T000", "https://hooks.example:8443"),
        ("https://me:12/secret@hooks.example/T000", "https://***"),
        ("me:secret@hooks.example/T000", "***"),
    ],
)
def test_origin_has_no_path(url: str, shown: str) -> None:
    assert origin(url) == shown


def test_part_of_an_address_in_a_message_is_hidden() -> None:
    message = "no folder http:/me:secret@h in http:/me:secret@h/x.mp4"
    assert hide_addresses(message, ["http://me:secret@h/x.mp4"]) == "no folder http:/***@h in http://h/x.mp4"
    assert hide_addresses("no file a@b.mp4", ["a@b.mp4", ""]) == "no file a@b.mp4"


@pytest.mark.parametrize(("address", "expected"), [("RTSP://h", "rtsp"), ("csi:0", "csi"), ("a/b:c", None)])
def test_scheme_is_lower_case(address: str, expected: str | None) -> None:
    assert scheme(address) == expected
