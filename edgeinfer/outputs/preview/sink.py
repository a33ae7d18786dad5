"""Sink that shows a run on a web page."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from typing import Self

from edgeinfer.outputs.preview.access import AccessControl, ListenAddress, check_access
from edgeinfer.outputs.preview.server import PreviewServer
from edgeinfer.outputs.preview.state import PreviewState
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Frame, Result, SourceState
from edgeinfer.system import interrupts

_log = logging.getLogger(__name__)
_POLL_INTERVAL_S = 0.1


class PreviewSink(AbstractContextManager["PreviewSink"]):
    """Sink that serves the run's latest frame and status over HTTP.

    Attributes:
        url: URL of the page without the token; empty until the sink is entered.
    """

    def __init__(self, address: str, *, token: str | None = None, blur: bool = False, stay: bool = False) -> None:
        """Initialize the sink without opening a socket.

        Args:
            address: "[HOST:]PORT"; the default host is 127.0.0.1, port 0 selects a free port.
            token: access token of at least 8 characters, required unless the address is a loopback address.
            blur: make faces unrecognizable.
            stay: keep serving the last frame after a run without an error, until `close` or `after_run`.

        Raises:
            UsageError: See `check_access`.
        """
        check_access(address, token)
        self._address, self._access = ListenAddress.parse(address), AccessControl(token)
        self._state = PreviewState(blur=blur)
        self._stay = stay
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

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Show the end of the run; close the port unless the preview is to stay."""
        if kind is None:
            self._state.end()
        if kind is not None or not self._stay:
            self.close()

    def after_run(self) -> None:
        """Keep serving the last frame, if the preview is to stay, until the program is interrupted."""
        if not self._stay:
            return
        with closing(self), interrupts.guarded():
            _log.info("the source has ended; the preview stays at %s until Ctrl-C", self.url)
            while True:
                interrupts.check()
                time.sleep(interrupts.CHECK_S)

    def close(self) -> None:
        """Send the end of the run to the clients and close the port."""
        self._state.close()
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
