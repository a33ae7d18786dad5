"""Live window."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import cv2

from edgeinfer.errors import CapabilityError
from edgeinfer.outputs.base import Stopped
from edgeinfer.outputs.draw import annotate
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Frame, Result

WINDOW = "edgeinfer"


class WindowSink(AbstractContextManager["WindowSink"]):
    """A window with the annotated picture; q or Escape ends the run."""

    def __init__(self) -> None:
        """Check that this OpenCV can show windows here.

        Raises:
            CapabilityError: it was built without them, or there is no screen.
        """
        try:
            cv2.namedWindow(WINDOW, cv2.WINDOW_NORMAL)
        except cv2.error as error:
            raise CapabilityError(
                "this OpenCV shows no windows; with a screen, put 'opencv-python<5' in the place of "
                "opencv-python-headless"
            ) from error

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Put the source into the title."""
        cv2.setWindowTitle(WINDOW, f"edgeinfer: {header.source}")

    def write(self, frame: Frame, result: Result) -> None:
        """Show one frame.

        Raises:
            Stopped: q or Escape was pressed.
        """
        cv2.imshow(WINDOW, annotate(frame.image, result))
        if cv2.waitKey(1) & 0xFF in (ord("q"), 27):
            raise Stopped

    def __exit__(self, *_: object) -> None:
        """Close the window."""
        cv2.destroyWindow(WINDOW)
