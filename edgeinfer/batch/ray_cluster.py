"""Connection to a Ray cluster, or to one that is started on this machine."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import socket
import sys
import threading
import time
from contextlib import nullcontext, suppress
from importlib import metadata
from typing import Any, NamedTuple

from edgeinfer.errors import CapabilityError, EdgeInferError, UsageError, one_line
from edgeinfer.system import interrupts
from edgeinfer.system.stderr import silenced
from edgeinfer.url import AddressError, host_and_port

LOCAL, AUTO = "local", "auto"
PORT_S = 5.0
"""Time limit in seconds for reaching the port of a cluster."""
CONNECT_S = 40.0
"""Time limit in seconds for an answer of the cluster; Ray waits longer for a port of another service."""
OBJECT_STORE_BYTES = 80_000_000
"""Shared memory of a cluster that is started here, close to Ray's minimum; only paths and numbers are shared."""
_MAX_CAUSE_CHARACTERS = 300


class Node(NamedTuple):
    """A machine of a cluster.

    Attributes:
        address: IP address.
        cpus: Number of CPUs that Ray may use.
    """

    address: str
    cpus: int


class RayCluster:
    """Connection to a Ray cluster.

    Ray has one connection per process; an existing one is used and left open.
    """

    def __init__(self, address: str) -> None:
        """Validate the address; nothing is connected.

        Args:
            address: "local" to start a cluster on this machine, "auto" for a cluster that runs on this machine,
                "HOST:PORT" for one whose nodes this machine belongs to, or "ray://HOST:PORT".

        Raises:
            UsageError: The address is invalid.
            CapabilityError: Ray is not installed.
        """
        self._endpoint = None if address in (LOCAL, AUTO) else _endpoint(address)
        self._address = address
        self._is_owner = False
        self._closed = threading.Event()
        import_ray()

    @property
    def is_local(self) -> bool:
        """True if the cluster is started on this machine."""
        return self._address == LOCAL

    def connect(self, cpus: int) -> None:
        """Connect to the cluster, or start it.

        Args:
            cpus: Number of CPUs of a cluster that is started here.

        Raises:
            UsageError: The cluster cannot be reached.
            CapabilityError: Ray cannot be started here.
        """
        ray = import_ray()
        if ray.is_initialized():
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster started here reports nothing to Ray's makers
        options: dict[str, Any] = {"address": self._address, "log_to_driver": False, "logging_level": logging.ERROR}
        if self.is_local:
            options |= {"num_cpus": cpus, "object_store_memory": OBJECT_STORE_BYTES}
        if self._endpoint is not None:
            self._check_port(*self._endpoint)
        # Starting Ray writes nothing and takes seconds, in which a message about a signal must be visible.
        with nullcontext() if self.is_local else silenced():
            self._call_init(options)
        self._is_owner = True
        with suppress(AttributeError):  # not a public setting; otherwise messages about dead workers go to stdout
            ray._private.worker._worker_logs_enabled = False

    def _call_init(self, options: dict[str, Any]) -> None:
        """Call `ray.init` in another thread, because it may wait for minutes for a port that is not Ray's."""
        errors: list[Exception] = []
        finished = threading.Event()

        def initialize() -> None:
            try:
                import_ray().init(**options)
            except Exception as error:  # Ray has no common class for these
                errors.append(error)
            finished.set()
            self._closed.wait()  # the processes that Ray has started are killed at the end of this thread

        threading.Thread(target=initialize, name="ray", daemon=True).start()
        limit_s = time.monotonic() + CONNECT_S
        while not finished.wait(interrupts.CHECK_S):
            try:
                interrupts.check()
                if self._endpoint is not None and time.monotonic() > limit_s:
                    raise self._connection_error(f"no answer within {CONNECT_S:.0f} s")
            except (interrupts.Interrupted, EdgeInferError) as error:
                atexit.register(_end_process, error.exit_code)  # Ray's own handlers would wait for the thread
                raise
        _reinstall_signal_handlers()
        if errors:
            self._closed.set()
            raise self._connection_error(errors[0]) from errors[0]

    def _check_port(self, host: str, port: int) -> None:
        """Fail early, because Ray retries for a minute."""
        try:
            socket.create_connection((host, port), timeout=PORT_S).close()
        except OSError as error:
            raise self._connection_error(error.strerror or error) from error

    def _connection_error(self, cause: object) -> UsageError | CapabilityError:
        detail = " ".join(one_line(str(cause)).split())[:_MAX_CAUSE_CHARACTERS]
        if self.is_local:
            return CapabilityError(f"cannot start Ray on this machine: {detail}")
        if self._endpoint is None and isinstance(cause, ConnectionError):
            return UsageError("no Ray cluster runs on this machine; start one with: ray start --head")
        token = "" if "RAY_AUTH_MODE" in os.environ else ", and set RAY_AUTH_MODE=token if the cluster requires a token"
        return UsageError(f"cannot reach Ray at {self._address}: {detail}; check the address{token}")

    def nodes(self) -> dict[str, Node]:
        """Return the living nodes by their ids.

        Raises:
            CapabilityError: The connection to the cluster is lost.
        """
        try:
            table = import_ray().nodes()
        except Exception as error:  # Ray has no common class for these
            raise CapabilityError("the connection to the Ray cluster is lost; run the same command again") from error
        return {
            node["NodeID"]: Node(node["NodeManagerAddress"], int(node["Resources"].get("CPU", 0)))
            for node in table
            if node["Alive"]
        }

    def close(self, error: BaseException | None) -> None:
        """Disconnect, and end a cluster that was started here.

        Args:
            error: Exception that ends the batch, or None. After an interruption the process ends without waiting for
                Ray, whose processes then end by themselves.
        """
        if not self._is_owner:
            return
        self._is_owner = False
        if isinstance(error, interrupts.Interrupted):
            atexit.register(_end_process, error.exit_code)
        else:
            import_ray().shutdown()
            self._closed.set()


def import_ray() -> Any:
    """Return the module `ray`.

    Raises:
        CapabilityError: Ray is not installed.
    """
    try:
        import ray  # noqa: PLC0415 - optional, slow to import
    except ImportError as error:
        raise CapabilityError("`ray` needs Ray; install it with: pip install 'edgeinfer[ray]'") from error
    return ray


def installed_version() -> str:
    """Return the version of edgeinfer in this environment."""
    try:
        return metadata.version("edgeinfer")
    except metadata.PackageNotFoundError:
        return "not installed"


def _endpoint(address: str) -> tuple[str, int]:
    """Return the host and the port of an address."""
    try:
        return host_and_port(address.removeprefix("ray://"))
    except AddressError as error:
        raise UsageError(
            f"invalid Ray address {one_line(address)!r}: {error}; expected HOST:PORT, ray://HOST:PORT, auto or local"
        ) from error


def _reinstall_signal_handlers() -> None:
    """Install the current handlers again; the native code of Ray replaces them without Python's knowledge."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.getsignal(number) or signal.SIG_DFL)


def _end_process(code: int) -> None:
    """End the process at its exit, before Ray's own handlers, which take longer than an interruption may."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code)
