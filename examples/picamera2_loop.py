"""Custom picamera2 loop that uses the timestamps of the camera.

`edgeinfer.open_source("csi:")` is shorter; a custom loop gives control over exposure, focus and additional streams.

Needs: Raspberry Pi OS, sudo apt install python3-picamera2, and edgeinfer in an environment created with
       python3 -m venv --system-site-packages .venv
Run:   python picamera2_loop.py     (stop with Ctrl-C)
"""

from collections.abc import Iterator
from contextlib import suppress

from picamera2 import Picamera2

import edgeinfer


def results(camera: Picamera2) -> Iterator[edgeinfer.Result]:
    """Yield the pipeline's result for the newest frame, endlessly."""
    pipeline = edgeinfer.load_pipeline()
    while True:
        with camera.captured_request() as request:  # released before inference, so that capture continues
            image = request.make_array("main")
            timestamp_s = request.get_metadata()["SensorTimestamp"] / 1e9
        yield pipeline(image, timestamp_s=timestamp_s)


def main() -> None:
    """Print events until Ctrl-C."""
    with suppress(KeyboardInterrupt), Picamera2() as camera:
        # RGB888 of picamera2 is BGR in memory, the channel order of edgeinfer and OpenCV.
        main_stream = {"size": (640, 480), "format": "RGB888"}
        camera.configure(camera.create_video_configuration(main=main_stream, controls={"FrameRate": 15}))
        camera.start()
        for event in edgeinfer.events(results(camera), hold_s=0.3):
            print(f"{event.timestamp_s:.2f} s: face {event.track_id} {event.kind}, {event.label}", flush=True)


if __name__ == "__main__":
    main()
