"""What this installation can do, checked one thing at a time."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import cv2

from edgeinfer.detection.haar import find_cascade
from edgeinfer.errors import EdgeInferError
from edgeinfer.model.card import bundled_models
from edgeinfer.model.session import load_session
from edgeinfer.sources.video import cameras
from edgeinfer.system.hardware import cpu_name, hottest_c, throttling, usable_cores, versions

State = Literal["ok", "note", "problem"]
LEAST_DISK_MB = 500
HOT_C = 80.0
"""A Raspberry Pi slows down from here on."""
SYNCHRONISED = Path("/run/systemd/timesync/synchronized")


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


def run_checks() -> tuple[Finding, ...]:
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
        _opencv(),
        _cascade(),
        _models(),
        _cameras(),
        _windows(),
        _disk(Path()),
        _clock(),
        _temperature(),
        _throttling(),
    )


def _opencv() -> Finding:
    names = {distribution.name.lower().replace("_", "-") for distribution in metadata.distributions()}
    found = sorted(name for name in names if re.fullmatch("opencv(-contrib)?-python(-headless)?", name))
    if len(found) > 1:
        advice = f"pip uninstall {' '.join(found)}; pip install 'opencv-python-headless>=4.10,<5'"
        return Finding("opencv", "note", f"{' and '.join(found)} overwrite each other's files; run: {advice}")
    return Finding("opencv", "ok", f"{found[0] if found else 'not from pip'}, {cv2.__version__}")


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
            "this OpenCV shows none; for --show, put 'opencv-python<5' in place of opencv-python-headless",
        )
    return Finding("windows", "ok", found.group(1))


def _disk(folder: Path) -> Finding:
    try:
        folder = folder.resolve()
        free_mb = shutil.disk_usage(folder).free / 1e6
    except OSError as error:
        return Finding("disk", "note", f"the working folder cannot be asked: {error.strerror}; go to another one")
    if not os.access(folder, os.W_OK):
        return Finding("disk", "note", f"{folder} cannot be written; give outputs a path elsewhere")
    if free_mb < LEAST_DISK_MB:
        return Finding("disk", "note", f"{free_mb:.0f} MB free in {folder}; make room, or write elsewhere")
    return Finding("disk", "ok", f"{free_mb / 1000:.1f} GB free in {folder}")


def _clock() -> Finding:
    today, installed = time.gmtime(), time.gmtime(Path(__file__).stat().st_mtime)
    shown = time.strftime("%Y-%m-%d %H:%M UTC", today)
    advice = "run: sudo timedatectl set-ntp true, and see that the network is there"
    if today.tm_year < installed.tm_year:
        return Finding("clock", "note", f"it says {shown}, before edgeinfer was installed; {advice}")
    synchronised = _synchronised()
    if synchronised is False:
        return Finding("clock", "note", f"{shown}, not synchronised; {advice}")
    return Finding("clock", "ok", shown + (", synchronised" if synchronised else ""))


def _synchronised() -> bool | None:
    """Whether the clock follows the network's; None where nobody tells."""
    program = shutil.which("timedatectl")
    if SYNCHRONISED.exists() or program is None:
        return SYNCHRONISED.exists() or None
    try:
        command = [program, "show", "--property=NTPSynchronized", "--value"]
        told = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout.strip()  # noqa: S603 - fixed words
    except (OSError, subprocess.SubprocessError):
        return None
    return {"yes": True, "no": False}.get(told)


def _temperature() -> Finding:
    found_c = hottest_c()
    if found_c is None:
        return Finding("heat", "ok", "this system tells no temperature")
    if found_c >= HOT_C:
        return Finding("heat", "note", f"{found_c:.0f} °C; give it a fan or a heat sink, or run with --max-temp")
    return Finding("heat", "ok", f"{found_c:.0f} °C")


def _throttling() -> Finding:
    found = throttling()
    if not found:
        return Finding("throttling", "ok", "this system tells none" if found is None else "none since boot")
    weak = any("under-voltage" in reason for reason in found)
    advice = "use the board's own power supply and a short cable" if weak else "cool it"
    return Finding("throttling", "note", f"{', '.join(found)}; {advice}")
