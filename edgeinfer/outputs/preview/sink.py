"""Sink that shows a run on a web page."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Self

from edgeinfer.outputs.preview.access import AccessControl, ListenAddress, check_access
from edgeinfer.outputs.preview.server import PreviewServer
from edgeinfer.outputs.preview.state import PreviewState
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Frame, Result, SourceState

_log = logging.getLogger(__name__)
_POLL_INTERVAL_S = 0.1


class PreviewSink(AbstractContextManager["PreviewSink"]):
    """Sink that serves the run's latest frame and status over HTTP.

    Attributes:
        url: URL of the page without the token; empty until the sink is entered.
    """

    def __init__(self, address: str, *, token: str | None = None, blur: bool = False) -> None:
        """Initialize the sink without opening a socket.

        Args:
            address: "[HOST:]PORT"; the default host is 127.0.0.1, port 0 selects a free port.
            token: access token of at least 8 characters, required unless the address is a loopback address.
            blur: make faces unrecognizable.

        Raises:
            UsageError: See `check_access`.
        """
        check_access(address, token)
        self._address, self._access = ListenAddress.parse(address), AccessControl(token)
        self._state = PreviewState(blur=blur)
        self._server: PreviewServer | None = None
        self.url = ""

    def __enter__(self) -> Self:
        """Open the port and start the server's thread.

        Raises:
            OutputError: The address is in use or does not belong to this machine.
        """
        self._server = PreviewServer(self._address, self._state, self._access)
        self.url = self._address.url(self._server.server_port)
        threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": _POLL_INTERVAL_S},
            name="preview",
            daemon=True,
        ).start()
        return self

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Show the run's header and log the URL."""
        self._state.start(header, summary)
        _log.info("preview at %s", self.url)

    def write(self, frame: Frame, result: Result) -> None:
        """Show one frame."""
        self._state.update(frame, result)

    def source_state(self, state: SourceState) -> None:
        """Show the state of a live source."""
        self._state.update_source_state(state)

    def __exit__(self, *_: object) -> None:
        """Send the end of the run to the clients and close the port."""
        self._state.close()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
