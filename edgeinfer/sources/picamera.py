"""The ribbon-cable camera of a Raspberry Pi through picamera2, which its system brings along."""

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
from edgeinfer.sources.base import Capture

SIZE_WH = (640, 480)
PREFIX = "csi:"
REPAIR = "update the system, or run: pip install --force-reinstall --no-deps simplejpeg"
"""What cures a picamera2 whose parts the system built for an older numpy than the environment has."""


class PicameraSource(AbstractContextManager["PicameraSource"]):
    """The low-resolution stream that the camera's own image processor scales and hands over, as YUV 4:2:0.

    The main stream runs at the same size, since nobody asks for it.
    """

    live = True
    continuous = True
    dropped = skipped = 0
    frame_count: int | None = None

    def __init__(self, camera: Any, wanted: Capture, *, name: str) -> None:
        """Configure and start a camera.

        Args:
            camera: a `picamera2.Picamera2`, closed by this source.
            wanted: size, even numbers of pixels, and rate.
            name: for people and outputs.
        """
        self.name, self.fps = name, wanted.fps
        self._camera, self._wanted = camera, wanted
        self._size_wh = wanted.size_wh or SIZE_WH
        controls = {"FrameRate": wanted.fps} if wanted.fps else {}
        camera.configure(
            camera.create_video_configuration(
                main={"size": self._size_wh}, lores={"size": self._size_wh, "format": "YUV420"}, controls=controls
            )
        )
        camera.start()

    def __iter__(self) -> Iterator[Frame]:
        """Give frames as they come; a camera that fails raises whatever picamera2 does, as SourceError."""
        started, index = time.monotonic(), 0
        wide, high = self._size_wh
        while True:
            try:
                planes = np.asarray(self._camera.capture_array("lores"), dtype=np.uint8)
            except Exception as error:  # libcamera's bindings raise many kinds
                raise SourceError(f"{self.name} gave no picture: {error}") from error
            captured_s = time.monotonic()
            # Rows are padded to what the hardware likes.
            image = np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420)[:high, :wide], dtype=np.uint8)
            yield self._wanted.turned(Frame(image, index, captured_s - started, captured_s))
            index += 1

    def __exit__(self, *_: object) -> None:
        """Stop the camera and let go of it."""
        self._camera.stop()
        self._camera.close()


def open_picamera(text: str, wanted: Capture) -> PicameraSource:
    """A camera by "csi:" or "csi:N".

    Raises:
        UsageError: what follows the colon is no number, or the size has odd sides.
        CapabilityError: picamera2 is not there, or cannot be imported.
        SourceNotFoundError: there is no such camera.
        SourceError: it cannot be started.
    """
    number = text.removeprefix(PREFIX) or "0"
    if not number.isdecimal():
        raise UsageError(f"{text} names no camera; write csi: or csi:1")
    if any(side % 2 for side in wanted.size_wh or SIZE_WH):
        raise UsageError("the size of a CSI camera's picture is in even numbers")
    try:
        picamera2 = importlib.import_module("picamera2")
    except ImportError as error:
        raise CapabilityError(
            "csi: needs picamera2; on Raspberry Pi OS run `sudo apt install python3-picamera2` and make the "
            "environment with `python3 -m venv --system-site-packages`"
        ) from error
    except Exception as error:  # its native parts fail in many ways
        raise CapabilityError(f"csi: cannot use picamera2: {error}; {REPAIR}") from error
    found = len(picamera2.Picamera2.global_camera_info())
    if int(number) >= found:
        raise SourceNotFoundError(f"no CSI camera {number}; {found} found, check the ribbon cable")
    with ExitStack() as stack:
        try:
            camera = picamera2.Picamera2(int(number))
            stack.callback(camera.close)
            source = PicameraSource(camera, wanted, name=text)
        except Exception as error:  # libcamera's bindings raise many kinds
            raise SourceError(f"{text} cannot be started: {error}; does another program hold it?") from error
        stack.pop_all()
        return source
