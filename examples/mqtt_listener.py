"""MQTT client that prints messages from edgeinfer: states, and faces that appear, change or leave.

Needs: pip install paho-mqtt    (2.1 or later; edgeinfer itself is not needed), and a run on any machine:
       edgeinfer run 0 --mqtt mqtt://broker.local
Run:   python mqtt_listener.py broker.local
       MQTT_PASSWORD=secret python mqtt_listener.py broker.local --user ann --base edgeinfer/kitchen
"""

import argparse
import json
import os
from contextlib import suppress
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode


def print_message(_client: Client, _data: Any, message: MQTTMessage) -> None:
    """Print one line per message."""
    device, kind = message.topic.rsplit("/", 1)
    text = message.payload.decode()
    if kind == "availability":
        print(f"{device} is {text}", flush=True)
        return
    payload = json.loads(text)
    if kind == "state":
        print(f"{device} faces: {payload['faces']}, expression: {payload['expression']}", flush=True)
    else:
        previous = f", was {payload['previous']}" if payload["previous"] else ""
        print(f"{device} face {payload['track_id']} {payload['type']}: {payload['label']}{previous}", flush=True)


def main() -> None:
    """Subscribe and print messages until Ctrl-C; the client reconnects automatically."""
    parser = argparse.ArgumentParser()
    parser.add_argument("host", nargs="?", default="localhost")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--base", default="edgeinfer/+", help="topic prefix of one device; + matches any")
    parser.add_argument("--user")
    options = parser.parse_args()

    def subscribe(client: Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if reason.is_failure:
            raise SystemExit(f"the broker refused the connection: {reason}")
        client.subscribe([(f"{options.base}/{kind}", 1) for kind in ("availability", "state", "events")])

    client = Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(options.user, os.environ.get("MQTT_PASSWORD"))
    client.on_connect = subscribe
    client.on_message = print_message
    client.connect(options.host, options.port)
    with suppress(KeyboardInterrupt):
        client.loop_forever()


if __name__ == "__main__":
    main()
