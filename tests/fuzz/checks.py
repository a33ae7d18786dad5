"""One check per target: process an input and raise `FailureError` if the outcome is not allowed."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import shutil
import signal
import socket
import time
import warnings
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from edgeinfer import SourceError, UsageError, read_results
from edgeinfer.expression.classifier import EmotionClassifier
from edgeinfer.outputs.http_post import PostError, PostTarget, post_json
from edgeinfer.outputs.mqtt_link import BrokerAddress
from edgeinfer.sources.base import Capture
from edgeinfer.sources.pipe import PipeSource
from edgeinfer.url import hide_addresses, origin, without_credentials
from fuzz.cases import FACE
from tools.cli import Completed, edgeinfer
from tools.preview_run import TOKEN, PreviewRun
from tools.raw_server import RawServer, answer
from tools.result_files import face, steady, write_csv
from tools.tiny_model import write_model

POST_REASONS = {"the response is not HTTP", "the connection was closed without a response"}


class FailureError(Exception):
    """The outcome of an input is not allowed."""


class Workspace(ExitStack):
    """Files and servers that the checks of one process share.

    Attributes:
        folder: Folder for temporary files.
        answer: Response of the webhook receiver.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.answer = folder, b""

    @cached_property
    def model(self) -> Path:
        """Small model that runs in microseconds."""
        return write_model(self.folder / "tiny.onnx")

    @cached_property
    def receiver(self) -> RawServer:
        """Webhook receiver that sends `answer`."""
        return self.enter_context(RawServer(self._send_answer))

    def _send_answer(self, connection: socket.socket) -> None:
        answer(self.answer)(connection)

    @cached_property
    def previews(self) -> tuple[PreviewRun, PreviewRun]:
        """Two previews of runs in background threads, with a token and without one."""
        classifier = EmotionClassifier.load(self.model)
        return self.enter_context(PreviewRun(classifier, token=TOKEN)), self.enter_context(PreviewRun(classifier))

    @cached_property
    def warnings(self) -> list[str]:
        """Log records of warnings and errors since the last check."""
        records: list[str] = []
        handler = logging.Handler(logging.WARNING)
        handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
        logging.getLogger("edgeinfer").addHandler(handler)
        return records


def run_command(*arguments: str | Path, codes: Collection[int]) -> Completed:
    """Run a command and check its exit code, its error message and, for `--out -`, its JSONL output."""
    done = edgeinfer(*arguments)
    if done.returncode not in codes or "Traceback" in done.stderr:
        raise FailureError(f"exit code {done.returncode}: {done.stderr}")
    if done.returncode > 2 and not re.search(r"^edgeinfer: [^\n]+\n\Z", done.stderr, re.MULTILINE):
        raise FailureError(f"exit code {done.returncode} without a message: {done.stderr}")
    if "\x1b" in done.stderr:
        raise FailureError(f"escape sequence on stderr: {done.stderr!r}")
    if "-" in arguments:
        for line in done.stdout.splitlines():
            json.loads(line, parse_constant=_refuse_constant)
    return done


def run_picture(workspace: Workspace, source: Path, *options: str | Path, codes: Collection[int]) -> str:
    """Run a source through the tiny model without a detector and return the exit code."""
    common = ("--detector", "none", "--model", workspace.model, "--quiet", "--out", "-")
    return f"exit {run_command('run', source, *common, *options, codes=codes).returncode}"


def check_append(workspace: Workspace, path: Path) -> str:
    """Append to a damaged file of results: it is refused unchanged, or its complete lines are kept."""
    before = path.read_bytes()
    copy = workspace.folder / f"appended{path.suffix}"
    shutil.copyfile(path, copy)
    options = ("--detector", "none", "--model", workspace.model, "--quiet", "--append", "--out", copy)
    done = run_command("run", FACE, *options, codes=(0, 6))
    after = copy.read_bytes()
    if done.returncode == 6 and after != before:
        raise FailureError("exit code 6, but the file has changed")
    if done.returncode == 0 and not after.startswith(before[: before.rfind(b"\n") + 1]):
        raise FailureError("complete lines were lost")
    if done.returncode == 0 and not after.endswith(b"\n"):
        raise FailureError("the last line is incomplete")
    return f"exit {done.returncode}"


def check_report(workspace: Workspace, path: Path) -> str:
    """Report on and read a damaged result, or a batch with a damaged list: exit code 0, or 4; no other script."""
    results, page = path, workspace.folder / "report.html"
    if path.suffix == ".batch":
        results = workspace.folder / "batch"
        write_csv(results / "a.csv", steady([[face("happy")]]))
        shutil.copyfile(path, results / "batch.csv")
    outputs = ("--out", page, "--csv", workspace.folder / "summary.csv", "--group", r"(\w+)")
    done = run_command("report", results, *outputs, codes=(0, 4))
    if done.returncode == 0 and page.read_text(encoding="utf-8").count("<script") != 2:
        raise FailureError("the page has another script")
    with warnings.catch_warnings(), suppress(SourceError):
        warnings.simplefilter("ignore")
        for result in read_results(results):
            json.dumps(result.to_dict(), allow_nan=False)
            result._repr_html_().encode()
    return f"exit {done.returncode}"


def check_mjpeg(_workspace: Workspace, path: Path) -> str:
    """Read frames from an MJPEG stream: their numbers increase, or the stream is refused."""
    with warnings.catch_warnings(), PipeSource(io.BytesIO(path.read_bytes()), Capture(fps=10)) as source:
        warnings.simplefilter("ignore")
        try:
            numbers = [frame.index for frame in source]
        except SourceError:
            return "refused"
    if numbers != sorted(set(numbers)):
        raise FailureError(f"frame numbers {numbers}")
    return "read"


def check_source(workspace: Workspace, path: Path) -> str:
    """Run a picture or clip: exit code 0 or 4."""
    return run_picture(workspace, path, codes=(0, 4))


def check_model(_workspace: Workspace, path: Path) -> str:
    """Run a picture through a model: exit code 0 or 5."""
    options = ("--detector", "none", "--model", path, "--quiet", "--out", "-")
    return f"exit {run_command('run', FACE, *options, codes=(0, 5)).returncode}"


def check_cascade(workspace: Workspace, path: Path) -> str:
    """Search a picture with a cascade: exit code 0 or 5."""
    options = ("--cascade", path, "--model", workspace.model, "--quiet", "--out", "-")
    return f"exit {run_command('run', FACE, *options, codes=(0, 5)).returncode}"


def check_prior(workspace: Workspace, path: Path) -> str:
    """Classify a picture with a prior: exit code 0 or 2."""
    return run_picture(workspace, FACE, "--prior", path, codes=(0, 2))


def check_config(_workspace: Workspace, path: Path) -> str:
    """Check a configuration file and print its settings: exit code 0 or 2."""
    codes = {
        run_command("config", *arguments, codes=(0, 2)).returncode
        for arguments in (("check", path), ("show", "--config", path))
    }
    return f"exit {max(codes)}"


def check_webhook(workspace: Workspace, path: Path) -> str:
    """Post an event to a receiver with a damaged response: delivered, or a known reason."""
    workspace.answer = path.read_bytes()
    target = PostTarget.parse(f"http://me:secret@127.0.0.1:{workspace.receiver.port}/hook/T000SECRET")
    started_s = time.monotonic()
    try:
        post_json(target, b'{"a":1}', timeout_s=5.0)
    except PostError as error:
        reason = str(error)
        if reason not in POST_REASONS and not reason.startswith("received status "):
            raise FailureError(f"reason: {reason} after {time.monotonic() - started_s:.1f} s") from error
        return "refused"
    return "delivered"


def check_preview(workspace: Workspace, path: Path) -> str:
    """Send a request to the previews: a response or none, and no warning in the log."""
    statuses, log = [], workspace.warnings
    log.clear()
    for preview in workspace.previews:
        response = _send(preview.port, path.read_bytes())
        if response and not response.startswith(b"HTTP/1.0 "):
            raise FailureError(f"response {response[:80]!r}")
        statuses.append(response[9:12].decode() if response else "closed")
    if log:
        raise FailureError(f"log: {log}")
    return statuses[1]


def _send(port: int, request: bytes) -> bytes:
    """Return the response of a server, or the beginning of a stream; raise `TimeoutError` if there is no end."""
    response = b""
    with socket.create_connection(("127.0.0.1", port), timeout=15) as client:
        try:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            while chunk := client.recv(65536):
                response += chunk
                if b"multipart/" in chunk or b"event-stream" in chunk:
                    break
        except TimeoutError:
            raise
        except OSError:  # the server has closed the connection
            return response
    return response


def check_address(_workspace: Workspace, path: Path) -> str:
    """Mask and parse an address: no part of a secret is shown."""
    case = json.loads(path.read_bytes())
    address: str = case["address"]
    shown = [
        without_credentials(address),
        origin(address),
        hide_addresses(f"ValueError: bad {address!r} in {address}", [address]),
    ]
    for parse in (PostTarget.parse, BrokerAddress.parse):
        try:
            shown.append(repr(parse(address)) if parse == PostTarget.parse else "")
        except UsageError as error:
            shown.append(str(error))
    leaked = [text for text in shown if any(word in text for word in case["secrets"])]
    if leaked:
        raise FailureError(f"a secret is shown: {leaked}")
    return "masked"


def check_fault(_workspace: Workspace, path: Path) -> str:
    """Fail as specified by the content, to test the detection of failures."""
    match path.read_bytes():
        case b"crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case b"hang":
            time.sleep(3600)
        case b"memory":
            bytearray(os.urandom(1 << 20) * 300)
        case b"unexpected":
            raise ZeroDivisionError("unexpected")
    return "good"


def _refuse_constant(name: str) -> NoReturn:
    raise FailureError(f"{name} in JSONL")


CHECKS: dict[str, Callable[[Workspace, Path], Any]] = {
    "jsonl": check_append,
    "csv": check_append,
    "report": check_report,
    "mjpeg": check_mjpeg,
    "picture": check_source,
    "clip": check_source,
    "model": check_model,
    "cascade": check_cascade,
    "prior": check_prior,
    "config": check_config,
    "webhook": check_webhook,
    "preview": check_preview,
    "address": check_address,
    "fault": check_fault,
}
