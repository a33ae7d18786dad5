"""Hardware information."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer.system import hardware


@pytest.mark.parametrize(
    ("threads", "live", "cores", "set_to"),
    [(None, False, 4, []), (None, True, 4, [3]), (None, True, 1, [1]), (2, False, 4, [2]), (2, True, 4, [2])],
)
def test_opencv_threads(
    monkeypatch: pytest.MonkeyPatch, threads: int | None, live: bool, cores: int, set_to: list[int]
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(cv2, "setNumThreads", calls.append)
    monkeypatch.setattr(hardware, "usable_cores", lambda: cores)
    hardware.limit_opencv_threads(threads, live=live)
    assert calls == set_to


def _sensors(folder: Path, readings: dict[str, str | None]) -> Path:
    for number, (name, reading) in enumerate(readings.items()):
        zone = folder / f"thermal_zone{number}"
        zone.mkdir()
        (zone / "type").write_text(name + "\n")
        if reading:
            (zone / "temp").write_text(reading + "\n")
    return folder


def test_unreadable_sensors_are_skipped(tmp_path: Path) -> None:
    sensors = _sensors(tmp_path, {"cpu-thermal": "48312", "modem": "off", "gpu": None})
    assert hardware.temperatures_c(sensors) == {"cpu-thermal": 48.312}


@pytest.mark.parametrize(
    ("readings", "hottest"),
    [
        pytest.param({"cpu0-thermal": "50000", "cpu1-thermal": "61500", "battery": "70000"}, 61.5, id="processor"),
        pytest.param({"acpitz": "27800", "wifi": "40000"}, 40.0, id="no-processor"),
        pytest.param({"cpu-thermal": None}, None, id="none"),
    ],
)
def test_hottest_processor_sensor_is_used(
    tmp_path: Path, readings: dict[str, str | None], hottest: float | None
) -> None:
    assert hardware.hottest_c(_sensors(tmp_path, readings)) == hottest


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("throttled=0x0", ()),
        (
            "throttled=0x50005",
            ("under-voltage now", "throttled now", "under-voltage since boot", "throttled since boot"),
        ),
        ("VCHI initialization failed", None),
    ],
)
def test_throttling_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, expected: tuple[str, ...] | None
) -> None:
    program = tmp_path / "vcgencmd"
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert hardware.throttling() == expected
    program.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hardware.throttling() is None


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="VmHWM exists on Linux only")
def test_peak_memory_is_not_inherited_from_the_parent() -> None:
    large = np.ones(400 * 2**20, np.uint8)
    code = "from edgeinfer.system.hardware import peak_memory_mb; print(peak_memory_mb())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 10 < float(done.stdout) < large.nbytes / 2**20
