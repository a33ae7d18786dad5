"""Checks of the installation."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
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
    (match,) = (finding for finding in run_checks() if finding.name == name)
    return match


def distributions(*names: str) -> Patch:
    installed = [Distribution(name) for name in names]
    return lambda patch, _: patch.setattr(metadata, "distributions", lambda: installed)


def program(name: str, output: str) -> Patch:
    """Install one program that prints a line and hide all others."""

    def put(patch: pytest.MonkeyPatch, folder: Path) -> None:
        (folder / name).write_text(f"#!/bin/sh\necho '{output}'\n")
        (folder / name).chmod(0o755)
        patch.setenv("PATH", str(folder))
        patch.setattr(doctor, "SYNCHRONISED", folder / "none")

    return put


def clock(year: int) -> Patch:
    moment = time.struct_time((year, 1, 1, 0, 0, 0, 0, 1, 0))
    here = time.gmtime
    return lambda patch, _: patch.setattr(time, "gmtime", lambda *given: here(*given) if given else moment)


def folder_removed(patch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "gone").mkdir()
    patch.chdir(folder / "gone")
    (folder / "gone").rmdir()


def synchronised(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.setattr(doctor, "SYNCHRONISED", folder)


def free_disk(size: int) -> Patch:
    return lambda patch, _: patch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, size))


def temperature(celsius: float | None) -> Patch:
    return lambda patch, _: patch.setattr(doctor, "hottest_c", lambda: celsius)


def missing_pyav(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.setitem(sys.modules, "av", None)


def missing(name: str) -> Patch:
    return lambda patch, _: patch.setitem(sys.modules, name, None)


def system(name: str) -> Patch:
    return lambda patch, _: patch.setattr(sys, "platform", name)


def system_of_32_bits(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.setattr(sys, "maxsize", 2**31 - 1)


def unreadable_camera(patch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "video0").touch()
    patch.setattr(doctor, "camera_nodes", lambda: (folder / "video0",))
    patch.setattr(os, "access", lambda *_: False)


@pytest.mark.parametrize(
    ("setup", "name", "state", "detail"),
    [
        pytest.param(distributions("opencv-python-headless", "numpy"), "opencv", "ok", "headless", id="one-opencv"),
        pytest.param(
            distributions("opencv_contrib_python", "opencv-python-headless"),
            "opencv", "note", "pip uninstall opencv-contrib-python opencv-python-headless;", id="two-opencvs",
        ),
        pytest.param(distributions(), "opencv", "ok", "not from pip", id="opencv-of-the-system"),
        pytest.param(system_of_32_bits, "machine", "problem", "install the 64-bit edition", id="32-bit"),
        pytest.param(missing("cv2"), "opencv", "problem", "install --force-reinstall", id="no-opencv"),
        pytest.param(missing("cv2"), "windows", "problem", "install --force-reinstall", id="no-opencv-window"),
        pytest.param(system("darwin"), "cameras", "ok", "edgeinfer run 0", id="cameras-on-macos"),
        pytest.param(unreadable_camera, "cameras", "note", "usermod -aG video", id="unreadable-camera"),
        pytest.param(missing_pyav, "video", "note", "pip install 'edgeinfer[video]'", id="no-pyav"),
        pytest.param(free_disk(10**10), "disk", "ok", "10.0 GB free", id="disk"),
        pytest.param(free_disk(10**8), "disk", "note", "100 MB free", id="full-disk"),
        pytest.param(folder_removed, "disk", "note", "change to another one", id="folder-removed"),
        pytest.param(clock(1970), "clock", "note", "before edgeinfer was installed", id="clock-of-1970"),
        pytest.param(synchronised, "clock", "ok", ", synchronised", id="timesyncd"),
        pytest.param(program("timedatectl", "yes"), "clock", "ok", ", synchronised", id="timedatectl-yes"),
        pytest.param(program("timedatectl", "no"), "clock", "note", "timedatectl set-ntp true", id="timedatectl-no"),
        pytest.param(program("timedatectl", "?"), "clock", "ok", "UTC", id="timedatectl-silent"),
        pytest.param(temperature(85), "thermal", "note", "run with a temperature limit", id="hot"),
        pytest.param(temperature(48.3), "thermal", "ok", "48 °C", id="warm"),
        pytest.param(temperature(None), "thermal", "ok", "no temperature sensor", id="no-sensor"),
        pytest.param(program("vcgencmd", "throttled=0x0"), "throttling", "ok", "none since boot", id="no-throttling"),
        pytest.param(program("vcgencmd", "throttled=0x50000"), "throttling", "note", "power supply", id="weak-power"),
        pytest.param(program("vcgencmd", "throttled=0x80000"), "throttling", "note", "; improve the", id="throttled"),
        pytest.param(program("other", ""), "throttling", "ok", "not reported", id="no-vcgencmd"),
    ],
)  # fmt: skip
def test_each_check_reports_state_and_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setup: Patch, name: str, state: str, detail: str
) -> None:
    setup(monkeypatch, tmp_path)
    result = finding(name)
    assert (result.state, detail in result.detail) == (state, True), result


def test_checks_work_without_the_packages_that_a_32_bit_system_lacks() -> None:
    """Check that a missing OpenCV or onnxruntime does not hide the 32-bit problem."""
    code = (
        "import json, sys\nsys.modules.update(cv2=None, onnxruntime=None)\nsys.maxsize = 2**31 - 1\n"
        "sys.argv = ['edgeinfer', 'doctor', '--json']\nfrom edgeinfer.__main__ import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    found = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 3
    assert "32-bit" in found["machine"]["detail"]
    assert "onnxruntime" in found["models"]["detail"]
    assert {found[name]["state"] for name in ("machine", "models", "opencv", "cascade")} == {"problem"}
