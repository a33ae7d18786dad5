"""LED that is lit while a face in view is classified as happy.

Needs: edgeinfer, and pip install gpiozero lgpio
Run:   python gpio_smile.py                  (camera 0; LED and resistor between GPIO 17 and ground)
       python gpio_smile.py csi: --pin 27
       GPIOZERO_PIN_FACTORY=mock python gpio_smile.py clip.mp4     (on any machine, without an LED)
"""

import argparse
import signal
from contextlib import suppress

from gpiozero import LED

import edgeinfer

HOLD_S = 0.5
"""Time that the LED stays on after a smile, in seconds, to avoid flicker."""


def main() -> None:
    """Process the source until its end, Ctrl-C or SIGTERM; closing the LED turns it off."""
    parser = argparse.ArgumentParser()
    parser.add_argument("source", nargs="?", default="0", help="camera, video or stream, as for edgeinfer run")
    parser.add_argument("--pin", type=int, default=17, help="GPIO number, not the pin number on the header")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    pipeline = edgeinfer.load_pipeline()
    on_until_s = 0.0
    with suppress(KeyboardInterrupt), edgeinfer.open_source(options.source) as source, LED(options.pin) as led:
        for frame in source:
            result = pipeline(frame.image, timestamp_s=frame.timestamp_s)
            if any(face.emotion.label == "happy" for face in result.faces):
                on_until_s = frame.timestamp_s + HOLD_S
            led.value = frame.timestamp_s < on_until_s


if __name__ == "__main__":
    main()
