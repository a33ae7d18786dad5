"""CPU, temperature, memory and library versions of this machine."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from edgeinfer.system.portable import peak_resident_bytes

THROTTLING = {
    0: "under-voltage now", 1: "frequency capped now", 2: "throttled now", 3: "soft temperature limit now",
    16: "under-voltage since boot", 17: "frequency capped since boot", 18: "throttled since boot",
    19: "soft temperature limit since boot",
}  # fmt: skip
"""Bits of `vcgencmd get_throttled` (Raspberry Pi documentation, "Operating system", section vcgencmd)."""


def limit_opencv_threads(threads: int | None, *, live: bool) -> None:
    """Set the number of OpenCV threads of this process.

    The threads of the model do not spin while they wait, so they do not compete with those of OpenCV. Only the decoder
    of a live source runs at the same time: a core is reserved for it if there are several.

    Args:
        threads: 1 or more; None for OpenCV's default, minus one core for a live source.
        live: True if a background thread reads the source.
    """
    import cv2  # noqa: PLC0415 - 60 ms, which most callers of this module do not need

    if threads is not None:
        cv2.setNumThreads(threads)
    elif live:
        cv2.setNumThreads(max(1, usable_cores() - 1))


def usable_cores() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name() -> str:
    """Return the name of the processor or board as reported by the system."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - read up to the first match
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
    """Return degrees Celsius by sensor name; empty if the system has no sensors."""
    readings = {}
    for zone in sorted(zones.glob("thermal_zone*")):
        try:
            name, reading = ((zone / leaf).read_text(encoding="utf-8").strip() for leaf in ("type", "temp"))
            readings[name] = int(reading) / 1000
        except (OSError, ValueError):  # reading a disabled sensor fails
            continue
    return readings


def hottest_c(zones: Path = Path("/sys/class/thermal")) -> float | None:
    """Return the highest temperature of the processor in degrees Celsius, or None without sensors.

    If no sensor name refers to a processor, all sensors count.
    """
    readings = temperatures_c(zones)
    cpu = [reading for name, reading in readings.items() if re.search("cpu|soc|pkg|core", name, re.IGNORECASE)]
    return max(cpu or readings.values(), default=None)


def throttling() -> tuple[str, ...] | None:
    """Return the reasons why a Raspberry Pi was throttled, or None if `vcgencmd` is not available."""
    program = shutil.which("vcgencmd")
    if program is None:
        return None
    try:
        command = [program, "get_throttled"]
        output = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout  # noqa: S603 - fixed arguments
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.fullmatch(r"throttled=(0x[0-9a-f]+)", output.strip())
    if match is None:
        return None
    return tuple(meaning for bit, meaning in THROTTLING.items() if int(match[1], 16) >> bit & 1)


def peak_memory_mb() -> float:
    """Return the peak resident memory of this process in MiB."""
    try:
        # ru_maxrss is inherited from the parent process; VmHWM is not.
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        status = ""
    match = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    if match:
        return int(match[1]) / 1024
    return peak_resident_bytes() / 2**20


def release_free_memory() -> None:
    """Return free heap memory of the C library to the system; do nothing without glibc (malloc_trim(3)).

    Each connection to a stream allocates from the heaps of its own threads, and freed memory there stays resident.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):  # another C library; Windows has no handle of the program
        return


def versions() -> dict[str, str]:
    """Return the versions of edgeinfer, Python and the libraries that results depend on."""
    return dict(_versions())


@functools.cache
def _versions() -> dict[str, str]:
    from importlib import metadata  # noqa: PLC0415 - these imports take 200 ms

    import cv2  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415
    import onnxruntime as ort  # noqa: PLC0415

    try:
        own = metadata.version("edgeinfer")
    except metadata.PackageNotFoundError:
        own = "not installed"
    return {
        "edgeinfer": own, "python": platform.python_version(), "onnxruntime": ort.__version__,
        "opencv": cv2.__version__, "numpy": np.__version__,
    }  # fmt: skip
