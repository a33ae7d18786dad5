"""Reads faces in a picamera2 loop of your own, with the camera's own time stamps.

`edgeinfer.open_source("csi:")` is less to write; with your own loop exposure, focus and further streams are yours.

Needs: Raspberry Pi OS, sudo apt install python3-picamera2, and edgeinfer in an environment made with
       python3 -m venv --system-site-packages .venv
Run:   python picamera2_loop.py     (Ctrl-C ends it)
"""

from collections.abc import Iterator
from contextlib import suppress

from picamera2 import Picamera2

import edgeinfer


def results(camera: Picamera2) -> Iterator[edgeinfer.Result]:
    """What the pipeline reads in the newest frame, again and again."""
    pipeline = edgeinfer.load_pipeline()
    while True:
        with camera.captured_request() as request:  # left before the pipeline works, so that the camera may go on
            image = request.make_array("main")
            timestamp_s = request.get_metadata()["SensorTimestamp"] / 1e9
        yield pipeline(image, timestamp_s=timestamp_s)


def main() -> None:
    """Print what happens until Ctrl-C."""
    with suppress(KeyboardInterrupt), Picamera2() as camera:
        # What picamera2 calls RGB888 is blue, green, red in memory: the order that edgeinfer and OpenCV expect.
        main_stream = {"size": (640, 480), "format": "RGB888"}
        camera.configure(camera.create_video_configuration(main=main_stream, controls={"FrameRate": 15}))
        camera.start()
        for event in edgeinfer.events(results(camera), hold_s=0.3):
            print(f"{event.timestamp_s:.2f} s: face {event.track_id} {event.kind}, {event.label}", flush=True)


if __name__ == "__main__":
    main()
