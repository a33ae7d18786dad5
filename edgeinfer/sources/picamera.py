"""Raspberry Pi CSI camera through picamera2, which Raspberry Pi OS provides as a system package."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import cv2
import numpy as np

from edgeinfer.errors import CapabilityError, SourceError, SourceNotFoundError, UsageError
from edgeinfer.results import Frame
from edgeinfer.sources.base import CSI, Capture
from edgeinfer.sources.v4l2 import REPAIR
from edgeinfer.url import without_credentials

DEFAULT_SIZE_WH = (640, 480)


class PicameraSource(AbstractContextManager["PicameraSource"]):
    """The low-resolution stream of a CSI camera, scaled by the image signal processor, as YUV 4:2:0.

    The main stream has the same size, because it is not used.
    """

    live = True
    continuous = True
    dropped = skipped = 0
    frame_count: int | None = None

    def __init__(self, camera: Any, capture: Capture, *, name: str) -> None:
        """Configure and start a camera.

        Args:
            camera: A `picamera2.Picamera2`, closed by this source.
            capture: Size with an even width and height, frame rate, and orientation of the frames.
            name: Display name.
        """
        self.name, self.fps = name, capture.fps
        self._camera, self._capture = camera, capture
        self._size_wh = capture.size_wh or DEFAULT_SIZE_WH
        controls = {"FrameRate": capture.fps} if capture.fps else {}
        camera.configure(
            camera.create_video_configuration(
                main={"size": self._size_wh}, lores={"size": self._size_wh, "format": "YUV420"}, controls=controls
            )
        )
        camera.start()

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames with timestamps that count from the arrival of the first one.

        Raises:
            SourceError: picamera2 raised an exception.
        """
        first_s: float | None = None
        index = 0
        width, height = self._size_wh
        while True:
            try:
                planes = np.asarray(self._camera.capture_array("lores"), dtype=np.uint8)
            except Exception as error:  # libcamera's bindings raise various types
                raise SourceError(f"{self.name} delivered no frame: {error}") from error
            captured_s = time.monotonic()
            first_s = captured_s if first_s is None else first_s
            # The hardware pads rows to its alignment.
            image = np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420)[:height, :width], dtype=np.uint8)
            yield self._capture.turned(Frame(image, index, captured_s - first_s, captured_s))
            index += 1

    def __exit__(self, *_: object) -> None:
        """Stop and release the camera."""
        self._camera.stop()
        self._camera.close()


def open_picamera(address: str, capture: Capture) -> PicameraSource:
    """Open a CSI camera by its address, "csi:" or "csi:N".

    Raises:
        UsageError: The text after the colon is not a number, or the size is odd.
        CapabilityError: picamera2 is not installed or cannot be imported.
        SourceNotFoundError: The camera does not exist.
        SourceError: The camera cannot be started.
    """
    number = address.removeprefix(CSI) or "0"
    if not number.isdecimal():
        shown = without_credentials(address)
        raise UsageError(f"invalid camera {shown!r}: expected csi: or a number after the colon, for example csi:1")
    width, height = capture.size_wh or DEFAULT_SIZE_WH
    if width % 2 or height % 2:
        raise UsageError(f"invalid size {width}x{height}: a CSI camera requires an even width and height")
    try:
        picamera2 = importlib.import_module("picamera2")
    except ImportError as error:
        raise CapabilityError(
            "csi: requires picamera2; on Raspberry Pi OS run `sudo apt install python3-picamera2` and create the "
            "environment with `python3 -m venv --system-site-packages`"
        ) from error
    except Exception as error:  # its binary parts raise various types
        raise CapabilityError(f"csi: picamera2 cannot be imported: {error}; {REPAIR}") from error
    found = len(picamera2.Picamera2.global_camera_info())
    if int(number) >= found:
        raise SourceNotFoundError(f"no CSI camera {number}: {found} found; check the ribbon cable")
    with ExitStack() as stack:
        try:
            camera = picamera2.Picamera2(int(number))
            stack.callback(camera.close)
            source = PicameraSource(camera, capture, name=address)
        except Exception as error:  # libcamera's bindings raise various types
            raise SourceError(
                f"{address} cannot be started: {error}; another program may be using the camera"
            ) from error
        stack.pop_all()
        return source
