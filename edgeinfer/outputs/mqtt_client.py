"""MQTT client with bounded memory. Imports paho-mqtt, which is an optional dependency."""

from __future__ import annotations

import logging
import time

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

MAX_PACKET_BYTES = 1_000_000
"""Maximum size of a packet; larger packets are read and discarded."""
CHUNK_BYTES = 64 * 1024
"""Number of bytes per read of a discarded packet."""
_PUBLISH, _QOS = 0x30, 0x06
_log = logging.getLogger(__name__)


class BoundedClient(Client):
    """Client that discards packets it does not need before they occupy memory.

    paho-mqtt allocates a whole packet, up to 256 MB, before it calls back, and it stores messages with a QoS above 0
    until the broker releases them. This client discards packets above `MAX_PACKET_BYTES`, and messages with a QoS above
    0, which a broker must not send because all subscriptions have QoS 0.

    Attributes:
        discarded: number of discarded packets.
    """

    def __init__(self, client_id: str) -> None:
        """Initialize a client for MQTT 3.1.1 that does not reconnect on its own.

        Args:
            client_id: identifier of the client.
        """
        super().__init__(CallbackAPIVersion.VERSION2, client_id, reconnect_on_failure=False)
        self.discarded = 0

    def _packet_read(self) -> MQTTErrorCode:
        """Read a packet as far as data is available, and handle or discard it once it is complete."""
        code = MQTTErrorCode.MQTT_ERR_AGAIN if self._discards() else super()._packet_read()
        return self._discard() if code == MQTTErrorCode.MQTT_ERR_AGAIN and self._discards() else code

    def _sock_recv(self, bufsize: int) -> bytes:
        """Receive bytes; behave as if none were available at the beginning of a packet to be discarded."""
        if self._discards():
            raise BlockingIOError
        data: bytes = super()._sock_recv(bufsize)
        return data

    def _discards(self) -> bool:
        """Return True if the header of the current packet is complete and its content is not needed."""
        packet = self._in_packet
        if not packet["have_remaining"]:
            return False
        is_publish = packet["command"] & 0xF0 == _PUBLISH
        return packet["remaining_length"] > MAX_PACKET_BYTES or bool(is_publish and packet["command"] & _QOS)

    def _discard(self) -> MQTTErrorCode:
        """Discard the available bytes of the current packet."""
        packet = self._in_packet
        # Like paho, stop after a fixed number of reads, so that the loop can do other work.
        for _ in range(100):
            if not packet["to_process"]:
                break
            try:
                data = super()._sock_recv(min(packet["to_process"], CHUNK_BYTES))
            except BlockingIOError:
                return MQTTErrorCode.MQTT_ERR_AGAIN
            except OSError:
                return MQTTErrorCode.MQTT_ERR_CONN_LOST
            if not data:
                return MQTTErrorCode.MQTT_ERR_CONN_LOST
            packet["to_process"] -= len(data)
            with self._msgtime_mutex:
                self._last_bytes_received = time.monotonic()
        if packet["to_process"]:
            return MQTTErrorCode.MQTT_ERR_AGAIN
        self.discarded += 1
        level = logging.WARNING if self.discarded == 1 else logging.DEBUG
        _log.log(level, "discarded an MQTT message of %d bytes from the broker", packet["remaining_length"])
        packet.update({"command": 0, "have_remaining": 0, "remaining_count": [], "remaining_mult": 1})
        packet.update({"remaining_length": 0, "pos": 0})
        return MQTTErrorCode.MQTT_ERR_SUCCESS
