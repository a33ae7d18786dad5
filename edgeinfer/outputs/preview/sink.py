"""The preview as an output of a run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from edgeinfer.outputs.preview.access import AccessControl, ListenAddress, check_access
from edgeinfer.outputs.preview.server import PreviewServer
from edgeinfer.outputs.preview.state import PreviewState
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Frame, Result, SourceState

_log = logging.getLogger(__name__)


class PreviewSink(AbstractContextManager["PreviewSink"]):
    """Shows a run on a web page.

    Attributes:
        url: of the page, without the token.
    """

    def __init__(self, address: str, *, token: str | None = None, blur: bool = False) -> None:
        """Listen; nobody is served before the run begins.

        Args:
            address: "[HOST:]PORT"; 127.0.0.1 unless told, port 0 for any that is free.
            token: what a visitor must know, at least 8 characters; needed where others than this machine reach it.
            blur: make faces unrecognizable.

        Raises:
            UsageError: see `check_access`.
            OutputError: the address is taken, or not this machine's.
        """
        check_access(address, token)
        where = ListenAddress.parse(address)
        self._board = PreviewState(blur=blur)
        self._server = PreviewServer(where, self._board, AccessControl(token))
        self.url = where.url(self._server.server_port)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="serves the preview", daemon=True
        )

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Begin to serve."""
        self._board.start(header, summary)
        self._thread.start()
        _log.warning("preview at %s", self.url)

    def write(self, frame: Frame, result: Result) -> None:
        """Show one frame."""
        self._board.show(frame, result)

    def source_state(self, state: SourceState) -> None:
        """Show how a live source fares."""
        self._board.tell(state)

    def __exit__(self, *_: object) -> None:
        """Say goodbye to everybody who watches, and stop listening."""
        self._board.close()
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()
