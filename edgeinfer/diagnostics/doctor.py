"""Checks of this installation and machine."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from edgeinfer.errors import EdgeInferError, one_line
from edgeinfer.sources.v4l2 import camera_nodes
from edgeinfer.system.checkout import package_version
from edgeinfer.system.hardware import cpu_name, hottest_c, throttling, usable_cores, versions

# Imports of OpenCV and onnxruntime are part of the checks that need them, because a system may lack them.

State = Literal["ok", "note", "problem"]
MIN_DISK_MB = 500
HOT_C = 80.0
"""Temperature at which a Raspberry Pi starts to throttle."""
SYNCHRONISED = Path("/run/systemd/timesync/synchronized")


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check.

    Attributes:
        name: Name of the check.
        state: "ok"; "note" for optional features; "problem" for requirements of `edgeinfer run`.
        detail: Description of the state and, unless it is "ok", of the remedy.
    """

    name: str
    state: State
    detail: str


def run_checks() -> tuple[Finding, ...]:
    """Check everything that a run depends on. Problems are returned, not raised."""
    checks: dict[str, Callable[[], Finding]] = {
        "versions": _versions, "machine": _machine, "threads": _threads, "opencv": _opencv, "cascade": _cascade,
        "models": _models, "cameras": _cameras, "windows": _windows, "video": _video, "disk": _disk, "clock": _clock,
        "thermal": _temperature, "throttling": _throttling,
    }  # fmt: skip
    return tuple(_run(name, check) for name, check in checks.items())


def _run(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except ImportError as error:
        advice = "repeat the installation with pip install --force-reinstall"
        return Finding(name, "problem", f"a package is missing or damaged: {one_line(str(error))}; {advice}")


def _versions() -> Finding:
    found = {**versions(), "edgeinfer": package_version()}
    return Finding("versions", "ok", ", ".join(f"{name} {version}" for name, version in found.items()))


def _machine() -> Finding:
    name = f"{platform.machine()}, {platform.system()} {platform.release()}, {cpu_name()}"
    if sys.maxsize < 2**32:
        return Finding(
            "machine",
            "problem",
            f"{name}: this Python is a 32-bit program, and onnxruntime, which runs the models, has only 64-bit wheels; "
            "install the 64-bit edition of the system, or send the camera as a stream to a 64-bit computer",
        )
    return Finding("machine", "ok", name)


def _threads() -> Finding:
    import cv2  # noqa: PLC0415

    detail = f"{usable_cores()} usable cores, {cv2.getNumThreads()} OpenCV threads, 1 model thread"
    return Finding("threads", "ok", detail)


def _opencv() -> Finding:
    import cv2  # noqa: PLC0415

    names = {distribution.name.lower().replace("_", "-") for distribution in metadata.distributions()}
    installed = sorted(name for name in names if re.fullmatch("opencv(-contrib)?-python(-headless)?", name))
    if len(installed) > 1:
        advice = f"pip uninstall {' '.join(installed)}; pip install 'opencv-python-headless>=4.12,<5'"
        return Finding("opencv", "note", f"{' and '.join(installed)} overwrite each other's files; run: {advice}")
    return Finding("opencv", "ok", f"{installed[0] if installed else 'not from pip'}, {cv2.__version__}")


def _cascade() -> Finding:
    from edgeinfer.detection.cascade_files import find_cascade  # noqa: PLC0415

    try:
        return Finding("cascade", "ok", str(find_cascade(None)))
    except EdgeInferError as error:
        return Finding("cascade", "problem", str(error))


def _models() -> Finding:
    from edgeinfer.model.card import bundled_models  # noqa: PLC0415
    from edgeinfer.model.session import load_session  # noqa: PLC0415

    paths = bundled_models()
    if not paths:
        return Finding("models", "problem", "no bundled model found; reinstall edgeinfer")
    try:
        names = [load_session(path)[1].name for path in paths]
    except EdgeInferError as error:
        return Finding("models", "problem", str(error))
    return Finding("models", "ok", f"{', '.join(names)} (bundled)")


def _cameras() -> Finding:
    if sys.platform != "linux":
        return Finding("cameras", "ok", "not listed on this system; open one by its number: edgeinfer run 0")
    devices = camera_nodes()
    if not devices:
        return Finding("cameras", "note", "none; connect one, or use a file or a stream")
    closed = [str(path) for path in devices if not os.access(path, os.R_OK | os.W_OK)]
    if closed:
        return Finding("cameras", "note", f"no permission for {', '.join(closed)}; run: sudo usermod -aG video $USER")
    return Finding("cameras", "ok", ", ".join(str(path) for path in devices))


def _windows() -> Finding:
    import cv2  # noqa: PLC0415

    match = re.search(r"^\s*GUI:\s*(\S+)", cv2.getBuildInformation(), re.MULTILINE)
    if match is None or match.group(1) == "NONE":
        return Finding(
            "windows",
            "note",
            "this OpenCV build has no GUI; to show windows, replace opencv-python-headless by 'opencv-python<5'",
        )
    return Finding("windows", "ok", match.group(1))


def _video() -> Finding:
    from edgeinfer.outputs.video_pyav import missing_encoder  # noqa: PLC0415

    missing = missing_encoder(".mp4")
    if missing is not None:
        return Finding(
            "video", "note", f"annotated copies as MPEG-4 Part 2; H.264, which browsers play, needs {missing}"
        )
    return Finding("video", "ok", "annotated copies as H.264")


def _disk() -> Finding:
    try:
        folder = Path.cwd()
        free_mb = shutil.disk_usage(folder).free / 1e6
    except OSError as error:
        return Finding("disk", "note", f"the working folder is not accessible: {error.strerror}; change to another one")
    if not os.access(folder, os.W_OK):
        return Finding("disk", "note", f"{folder} is not writable; use output paths elsewhere")
    if free_mb < MIN_DISK_MB:
        return Finding("disk", "note", f"{free_mb:.0f} MB free in {folder}; free some space, or write elsewhere")
    return Finding("disk", "ok", f"{free_mb / 1000:.1f} GB free in {folder}")


def _clock() -> Finding:
    today, installed = time.gmtime(), time.gmtime(Path(__file__).stat().st_mtime)
    shown = time.strftime("%Y-%m-%d %H:%M UTC", today)
    advice = "set the system's clock"
    if sys.platform == "linux":
        advice = "run: sudo timedatectl set-ntp true, and check the network connection"
    if today.tm_year < installed.tm_year:
        return Finding("clock", "note", f"{shown} is before edgeinfer was installed; {advice}")
    synchronised = _synchronised()
    if synchronised is False:
        return Finding("clock", "note", f"{shown}, not synchronised; {advice}")
    return Finding("clock", "ok", shown + (", synchronised" if synchronised else ""))


def _synchronised() -> bool | None:
    """Return True if the clock is synchronised with a time server, or None if unknown."""
    program = shutil.which("timedatectl")
    if SYNCHRONISED.exists() or program is None:
        return SYNCHRONISED.exists() or None
    try:
        command = [program, "show", "--property=NTPSynchronized", "--value"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout.strip()  # noqa: S603 - fixed arguments
    except (OSError, subprocess.SubprocessError):
        return None
    return {"yes": True, "no": False}.get(answer)


def _temperature() -> Finding:
    now_c = hottest_c()
    if now_c is None:
        return Finding("thermal", "ok", "no temperature sensor")
    if now_c >= HOT_C:
        return Finding("thermal", "note", f"{now_c:.0f} °C; add a fan or heat sink, or run with a temperature limit")
    return Finding("thermal", "ok", f"{now_c:.0f} °C")


def _throttling() -> Finding:
    reasons = throttling()
    if not reasons:
        return Finding("throttling", "ok", "not reported" if reasons is None else "none since boot")
    weak = any("under-voltage" in reason for reason in reasons)
    advice = "use the official power supply and a short cable" if weak else "improve the cooling"
    return Finding("throttling", "note", f"{', '.join(reasons)}; {advice}")
