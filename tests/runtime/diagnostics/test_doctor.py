from __future__ import annotations

import os
import shutil
import time
from collections import namedtuple
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from edgeinfer.diagnostics import doctor
from edgeinfer.diagnostics.doctor import Finding, run_checks

Patch = Callable[[pytest.MonkeyPatch, Path], None]
Usage = namedtuple("Usage", "total used free")
Distribution = namedtuple("Distribution", "name")


def finding(name: str) -> Finding:
    (found,) = (found for found in run_checks() if found.name == name)
    return found


def distributions(*names: str) -> Patch:
    found = [Distribution(name) for name in names]
    return lambda patch, _: patch.setattr(metadata, "distributions", lambda: found)


def program(name: str, answer: str) -> Patch:
    """The only program there is, and what it says."""

    def put(patch: pytest.MonkeyPatch, folder: Path) -> None:
        (folder / name).write_text(f"#!/bin/sh\necho '{answer}'\n")
        (folder / name).chmod(0o755)
        patch.setenv("PATH", str(folder))
        patch.setattr(doctor, "SYNCHRONISED", folder / "none")

    return put


def clock(year: int) -> Patch:
    moment = time.struct_time((year, 1, 1, 0, 0, 0, 0, 1, 0))
    here = time.gmtime
    return lambda patch, _: patch.setattr(time, "gmtime", lambda *given: here(*given) if given else moment)


def gone(patch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "gone").mkdir()
    patch.chdir(folder / "gone")
    (folder / "gone").rmdir()


def synchronised(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.setattr(doctor, "SYNCHRONISED", folder)


def free(size: int) -> Patch:
    return lambda patch, _: patch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, size))


def hot(degrees: float | None) -> Patch:
    return lambda patch, _: patch.setattr(doctor, "hottest_c", lambda: degrees)


def closed_camera(patch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "video0").touch()
    patch.setattr(doctor, "cameras", lambda: (folder / "video0",))
    patch.setattr(os, "access", lambda *_: False)


@pytest.mark.parametrize(
    ("world", "name", "state", "said"),
    [
        pytest.param(distributions("opencv-python-headless", "numpy"), "opencv", "ok", "headless", id="one-opencv"),
        pytest.param(
            distributions("opencv_contrib_python", "opencv-python-headless"),
            "opencv", "note", "pip uninstall opencv-contrib-python opencv-python-headless;", id="two-opencvs",
        ),
        pytest.param(distributions(), "opencv", "ok", "not from pip", id="opencv-of-the-system"),
        pytest.param(closed_camera, "cameras", "note", "usermod -aG video", id="closed-camera"),
        pytest.param(free(10**10), "disk", "ok", "10.0 GB free", id="disk"),
        pytest.param(free(10**8), "disk", "note", "100 MB free", id="full-disk"),
        pytest.param(gone, "disk", "note", "go to another one", id="folder-gone"),
        pytest.param(clock(1970), "clock", "note", "before edgeinfer was installed", id="clock-of-1970"),
        pytest.param(synchronised, "clock", "ok", ", synchronised", id="timesyncd"),
        pytest.param(program("timedatectl", "yes"), "clock", "ok", ", synchronised", id="timedatectl-yes"),
        pytest.param(program("timedatectl", "no"), "clock", "note", "timedatectl set-ntp true", id="timedatectl-no"),
        pytest.param(program("timedatectl", "?"), "clock", "ok", "UTC", id="timedatectl-silent"),
        pytest.param(hot(85), "heat", "note", "--max-temp", id="hot"),
        pytest.param(hot(48.3), "heat", "ok", "48 °C", id="warm"),
        pytest.param(hot(None), "heat", "ok", "tells no temperature", id="no-sensor"),
        pytest.param(program("vcgencmd", "throttled=0x0"), "throttling", "ok", "none since boot", id="no-throttling"),
        pytest.param(program("vcgencmd", "throttled=0x50000"), "throttling", "note", "power supply", id="weak-power"),
        pytest.param(program("vcgencmd", "throttled=0x80000"), "throttling", "note", "; cool it", id="throttled"),
        pytest.param(program("other", ""), "throttling", "ok", "tells none", id="no-vcgencmd"),
    ],
)  # fmt: skip
def test_each_check_says_what_it_found_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, world: Patch, name: str, state: str, said: str
) -> None:
    world(monkeypatch, tmp_path)
    found = finding(name)
    assert (found.state, said in found.detail) == (state, True), found
