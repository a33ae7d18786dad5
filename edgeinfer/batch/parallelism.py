"""Number of worker processes that fit this machine or container."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from pathlib import Path

from edgeinfer.system.hardware import usable_cores
from edgeinfer.units import counted

WORKER_MB = 300
"""Memory that is reserved for one worker, in millions of bytes.

Measured peaks: 115 for video of 640x360 pixels, 185 for 1920x1080, 530 for pictures of 12 megapixels. A batch of large
pictures in little memory needs a smaller number of workers than "auto" chooses.
"""


def choose_workers(
    requested: int | None = None, *, process: Path = Path("/proc"), group: Path = Path("/sys/fs/cgroup")
) -> tuple[int, str]:
    """Return a number of workers, and a sentence for the user.

    Args:
        requested: Number from the user, or None for one worker per core, but not more than the memory allows.
        process: Folder of the kernel's process information.
        group: Folder of the control group, with the limits of a container (cgroup version 2).

    Examples:
        >>> choose_workers(3)
        (3, '3 workers')
    """
    if requested is not None:
        return requested, counted(requested, "worker")
    cores = max(1, min(usable_cores(), _core_limit(group)))
    memory_mb = min(_available_mb(process), _memory_limit_mb(group))
    number = max(1, int(min(cores, memory_mb // WORKER_MB)))
    memory = f", {memory_mb / 1000:.1f} GB of memory available" if math.isfinite(memory_mb) else ""
    return number, f"{counted(number, 'worker')} ({counted(cores, 'core')}{memory})"


def _available_mb(process: Path) -> float:
    """Return the memory that processes can allocate without swapping, or infinity if it is unknown."""
    match = re.search(r"^MemAvailable:\s+(\d+) kB", _text(process / "meminfo"), re.MULTILINE)
    return int(match[1]) * 1024 / 1e6 if match else math.inf


def _memory_limit_mb(group: Path) -> float:
    """Return the rest of the memory limit of this container, or infinity. Cached files can be evicted."""
    limit, used = _text(group / "memory.max").strip(), _text(group / "memory.current").strip()
    if not (limit.isdecimal() and used.isdecimal()):
        return math.inf
    cached = re.search(r"^inactive_file (\d+)", _text(group / "memory.stat"), re.MULTILINE)
    return max(0, int(limit) - int(used) + (int(cached[1]) if cached else 0)) / 1e6


def _core_limit(group: Path) -> int:
    """Return the processor time limit of this container in cores, rounded up, or a large number."""
    quota, _, period = _text(group / "cpu.max").partition(" ")
    if not (quota.isdecimal() and period.strip().isdecimal()):
        return 1 << 30
    return math.ceil(int(quota) / int(period))


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8")
    return ""
