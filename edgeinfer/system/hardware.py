"""The machine that a run shares with everything else: its cores, heat and memory, as far as it tells."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort

THROTTLING = {
    0: "under-voltage now", 1: "frequency capped now", 2: "throttled now", 3: "soft temperature limit now",
    16: "under-voltage since boot", 17: "frequency capped since boot", 18: "throttled since boot",
    19: "soft temperature limit since boot",
}  # fmt: skip
"""Bits of `vcgencmd get_throttled` (Raspberry Pi documentation, "Operating system", section vcgencmd)."""


def limit_opencv_threads(threads: int | None, *, live: bool) -> None:
    """Tell OpenCV how many cores it may take, for this process.

    The model's own threads never spin while they wait, so the two only meet where a live source is read beside them:
    its decoder gets a core of its own where there are several.

    Args:
        threads: 1 or more; None for OpenCV's own choice, less a core beside a live source.
        live: whether a thread reads the source in the background.
    """
    if threads is not None:
        cv2.setNumThreads(threads)
    elif live:
        cv2.setNumThreads(max(1, usable_cores() - 1))


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name() -> str:
    """The processor or board as the system names it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - a stream, read to the first hit
            for line in file:
                key, _, value = line.partition(":")
                if key.strip().lower() in ("model name", "model", "hardware"):
                    if key.strip() == "model" and value.strip().isdigit():
                        continue
                    return value.strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"


def temperatures_c(zones: Path = Path("/sys/class/thermal")) -> dict[str, float]:
    """Degrees Celsius by the name of the sensor; empty where the system tells none."""
    found = {}
    for zone in sorted(zones.glob("thermal_zone*")):
        try:
            name, reading = ((zone / leaf).read_text(encoding="utf-8").strip() for leaf in ("type", "temp"))
            found[name] = int(reading) / 1000
        except (OSError, ValueError):  # a sensor that is switched off refuses to be read
            continue
    return found


def hottest_c(zones: Path = Path("/sys/class/thermal")) -> float | None:
    """Degrees Celsius of the processor, by its hottest sensor; of all sensors where none bears its name, else None."""
    found = temperatures_c(zones)
    own = [reading for name, reading in found.items() if re.search("cpu|soc|pkg|core", name, re.IGNORECASE)]
    return max(own or found.values(), default=None)


def throttling() -> tuple[str, ...] | None:
    """What has slowed a Raspberry Pi down; None where nobody tells."""
    program = shutil.which("vcgencmd")
    if program is None:
        return None
    try:
        command = [program, "get_throttled"]
        told = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout  # noqa: S603 - fixed words
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.fullmatch(r"throttled=(0x[0-9a-f]+)", told.strip())
    if found is None:
        return None
    return tuple(meaning for bit, meaning in THROTTLING.items() if int(found[1], 16) >> bit & 1)


def peak_memory_mb() -> float:
    """The most memory that this process has held resident so far, in MiB."""
    try:
        # The system's ru_maxrss starts at the size of whoever started this process.
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        status = ""
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    if found:
        return int(found[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def release_free_memory() -> None:
    """Hand what is free in the C library's heaps back to the system; nothing where it cannot (mallopt(3), glibc alone).

    Each connection to a stream allocates in heaps of its own threads, and what is freed there stays resident.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # another C library
        return


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    try:
        own = metadata.version("edgeinfer")
    except metadata.PackageNotFoundError:
        own = "not installed"
    return {
        "edgeinfer": own, "python": platform.python_version(), "onnxruntime": ort.__version__,
        "opencv": cv2.__version__, "numpy": np.__version__,
    }  # fmt: skip
