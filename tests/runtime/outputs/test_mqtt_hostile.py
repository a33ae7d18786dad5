"""MQTT brokers that send large or malformed packets."""

from __future__ import annotations

import logging
import random
import socket
import threading
from pathlib import Path

import pytest

from edgeinfer.outputs.mqtt import HA_STATUS
from tools.mqtt_driver import drive
from tools.patience import until
from tools.raw_server import RawServer

pytestmark = pytest.mark.slow

pytest.importorskip("paho.mqtt.client")
CONNACK, SUBACK = b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x00"
MEGABYTE = bytes(1_000_000)


def publish(size: int, *, quality: int = 0) -> bytes:
    """Return the start of a retained message on Home Assistant's topic, without its payload of a given size."""
    identifier = b"\0\1" if quality else b""
    topic = len(HA_STATUS).to_bytes(2, "big") + HA_STATUS.encode() + identifier
    length, encoded = size + len(topic), bytearray()
    while length:
        length, digit = divmod(length, 128)
        encoded.append(digit | (128 if length else 0))
    return bytes([0x31 | quality << 1, *encoded]) + topic


def memory_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_large_message_occupies_no_memory(caplog: pytest.LogCaptureFixture) -> None:
    received = threading.Event()
    peak: list[int] = []

    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(CONNACK + SUBACK)
        before = memory_bytes()
        for size in (200, 60, 2):
            connection.sendall(publish(size * 1_000_000))
            for _ in range(size):
                connection.sendall(MEGABYTE)
                peak.append(memory_bytes() - before)
        connection.sendall(publish(6) + b"online")
        while data := connection.recv(65536):
            # The message after the large ones is read: the device is announced a second time.
            discoveries.extend([b"/config"] * data.count(b"/config"))
            if len(discoveries) >= 2:
                received.set()

    discoveries: list[bytes] = []
    with RawServer(serve) as broker, drive(f"mqtt://127.0.0.1:{broker.port}/home/door", home_assistant=True):
        assert received.wait(60)
    assert max(peak) < 20_000_000
    warnings = [record for record in caplog.records if "discarded an MQTT message" in record.getMessage()]
    assert [record.levelno for record in warnings] == [logging.WARNING]
    assert broker.connections == 1


def test_unrequested_quality_of_service_is_not_stored() -> None:
    read = threading.Event()
    growth: list[int] = []

    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(CONNACK)
        before = memory_bytes()
        for number in range(1, 60):
            head = publish(900_000, quality=2)
            connection.sendall(head[:-2] + number.to_bytes(2, "big") + MEGABYTE[:900_000])
            growth.append(memory_bytes() - before)
        read.set()
        while connection.recv(65536):
            pass

    with RawServer(serve) as broker, drive(f"mqtt://127.0.0.1:{broker.port}/home/door"):
        assert read.wait(60)
    assert max(growth) < 20_000_000


def test_malformed_packets_do_not_end_the_thread(
    reconnect_allowed: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    reconnect_allowed.set()
    generator = random.Random(1)

    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(CONNACK if generator.random() < 0.7 else b"")
        kind = generator.randrange(16) << 4 | generator.randrange(16)
        size = generator.randrange(12)
        connection.sendall(bytes([kind, size]) + generator.randbytes(size))
        connection.settimeout(0.05)
        connection.recv(65536)

    with RawServer(serve) as broker, drive(f"mqtt://127.0.0.1:{broker.port}/home/door", home_assistant=True) as driver:
        until(lambda: broker.connections >= 60)
        assert driver.sink._link._thread.is_alive()
    assert "Traceback" not in caplog.text
