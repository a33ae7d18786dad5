"""What this installation can do, checked one thing at a time."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from typing import Literal

import cv2

from edgeinfer.detector import find_cascade
from edgeinfer.errors import EdgeInferError
from edgeinfer.machine import cpu_name, usable_cores
from edgeinfer.model import bundled_models, load_session
from edgeinfer.runner import versions
from edgeinfer.sources import cameras

State = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One check.

    Attributes:
        name: what was looked at.
        state: "ok"; "note" for what only some uses need; "problem" for what `edgeinfer run` cannot do without.
        detail: what was found and, unless all is well, what to do.
    """

    name: str
    state: State
    detail: str


def examine() -> tuple[Finding, ...]:
    """Look at everything that a run depends on; never raises for what it finds."""
    known = ", ".join(f"{name} {version}" for name, version in versions().items())
    return (
        Finding("versions", "ok", known),
        Finding("machine", "ok", f"{platform.machine()}, {platform.system()} {platform.release()}, {cpu_name()}"),
        Finding(
            "threads",
            "ok",
            f"{usable_cores()} cores usable, OpenCV takes {cv2.getNumThreads()}, the model 1",
        ),
        _cascade(),
        _models(),
        _cameras(),
        _windows(),
    )


def _cascade() -> Finding:
    try:
        return Finding("cascade", "ok", str(find_cascade(None)))
    except EdgeInferError as error:
        return Finding("cascade", "problem", str(error))


def _models() -> Finding:
    paths = bundled_models()
    if not paths:
        return Finding("models", "problem", "no bundled model found; install edgeinfer again")
    try:
        names = [load_session(path)[1].name for path in paths]
    except EdgeInferError as error:
        return Finding("models", "problem", str(error))
    return Finding("models", "ok", f"{', '.join(names)} (bundled)")


def _cameras() -> Finding:
    devices = cameras()
    if not devices:
        return Finding("cameras", "note", "none; plug one in, or read a file or a stream")
    closed = [str(path) for path in devices if not os.access(path, os.R_OK | os.W_OK)]
    if closed:
        return Finding("cameras", "note", f"no permission for {', '.join(closed)}; run: sudo usermod -aG video $USER")
    return Finding("cameras", "ok", ", ".join(str(path) for path in devices))


def _windows() -> Finding:
    found = re.search(r"^\s*GUI:\s*(\S+)", cv2.getBuildInformation(), re.MULTILINE)
    if found is None or found.group(1) == "NONE":
        return Finding(
            "windows",
            "note",
            "this OpenCV shows none; for --show, put opencv-python in place of opencv-python-headless",
        )
    return Finding("windows", "ok", found.group(1))
