"""Prints what edgeinfer publishes over MQTT: who appeared, changed the perceived expression, or left.

Needs: pip install paho-mqtt    (2.1 or later; not edgeinfer), and somewhere
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


def tell(_client: Client, _data: Any, message: MQTTMessage) -> None:
    """Print a line for each message."""
    device, kind = message.topic.rsplit("/", 1)
    text = message.payload.decode()
    if kind == "availability":
        print(f"{device} is {text}", flush=True)
        return
    said = json.loads(text)
    if kind == "state":
        print(f"{device} faces: {said['faces']}, expression: {said['expression']}", flush=True)
    else:
        was = f", was {said['previous']}" if said["previous"] else ""
        print(f"{device} face {said['track_id']} {said['type']}: {said['label']}{was}", flush=True)


def main() -> None:
    """Subscribe, and print until Ctrl-C; a lost connection is made again."""
    parser = argparse.ArgumentParser()
    parser.add_argument("host", nargs="?", default="localhost")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--base", default="edgeinfer/+", help="topic of one device; + stands for any")
    parser.add_argument("--user")
    options = parser.parse_args()

    def subscribe(client: Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if reason.is_failure:
            raise SystemExit(f"the broker refuses: {reason}")
        client.subscribe([(f"{options.base}/{kind}", 1) for kind in ("availability", "state", "events")])

    client = Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(options.user, os.environ.get("MQTT_PASSWORD"))
    client.on_connect = subscribe
    client.on_message = tell
    client.connect(options.host, options.port)
    with suppress(KeyboardInterrupt):
        client.loop_forever()


if __name__ == "__main__":
    main()
