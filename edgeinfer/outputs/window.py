"""Window that shows the annotated frames."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Self

import cv2

from edgeinfer.errors import CapabilityError, shown_path
from edgeinfer.outputs.base import Stopped
from edgeinfer.outputs.draw import annotate
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Frame, Result

WINDOW = "edgeinfer"


class WindowSink(AbstractContextManager["WindowSink"]):
    """Sink that shows the annotated frames in a window; q or Escape ends the run."""

    def __enter__(self) -> Self:
        """Open the window.

        Raises:
            CapabilityError: This OpenCV build has no GUI support, or no display is available.
        """
        try:
            cv2.namedWindow(WINDOW, cv2.WINDOW_NORMAL)
        except cv2.error as error:
            raise CapabilityError(
                "cannot open a window: this OpenCV build has no GUI support, or no display is available; on a machine "
                "with a display, install 'opencv-python<5' instead of opencv-python-headless"
            ) from error
        return self

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Show the name of the source in the title."""
        cv2.setWindowTitle(WINDOW, f"edgeinfer: {shown_path(header.source)}")

    def write(self, frame: Frame, result: Result) -> None:
        """Show one frame.

        Raises:
            Stopped: The key q or Escape was pressed.
        """
        cv2.imshow(WINDOW, annotate(frame.image, result, track_ids=frame.picture is None))
        if cv2.waitKey(1) & 0xFF in (ord("q"), 27):
            raise Stopped

    def __exit__(self, *_: object) -> None:
        """Close the window."""
        cv2.destroyWindow(WINDOW)
