from __future__ import annotations

import errno
import json
import os
import struct
import subprocess
import sys
import types
from pathlib import Path

import pytest

from edgeinfer.sources import v4l2 as devices
from edgeinfer.sources.v4l2 import Device, Mode, in_words, list_devices

CAPTURE, CAPTURE_PLANES, META, OWN = 0x1, 0x1000, 0x800000, 0x80000000
MJPG, YUYV = struct.unpack("<II", b"MJPGYUYV")


class Driver:
    """A driver with two formats: sizes one by one, and a range of them."""

    def __init__(self, every: int = OWN | CAPTURE | META, own: int = CAPTURE, *, error: int = 0) -> None:
        self.every, self.own, self.error = every, own, error
        self.opened: set[int] = set()

    def __call__(self, handle: int, request: int, buffer: bytearray) -> int:
        self.opened.add(handle)
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        if request == devices.QUERYCAP:
            struct.pack_into("16s32s32sIII", buffer, 0, b"uvcvideo", b"A\nCam\0rest", b"usb", 6, self.every, self.own)
            return 0
        index, key, width, height = struct.unpack_from("4I", buffer)
        try:
            self._list(request, index, key, (width, height), buffer)
        except IndexError:
            raise OSError(errno.EINVAL, "Invalid argument") from None
        return 0

    def _list(self, request: int, index: int, key: int, size_wh: tuple[int, int], buffer: bytearray) -> None:
        if request == devices.ENUM_FMT:
            assert key == (1 if self.own & CAPTURE else 9)
            struct.pack_into("I", buffer, 44, [MJPG, YUYV][index])
        elif request == devices.ENUM_FRAMESIZES:
            if key == MJPG:
                struct.pack_into("3I", buffer, 8, 1, *[(640, 480), (1280, 720)][index])
            else:
                struct.pack_into("7I", buffer, 8, *[(3, 32, 1920, 2, 16, 1080, 2)][index])
        elif request == devices.ENUM_FRAMEINTERVALS:
            if key == MJPG:
                struct.pack_into("3I", buffer, 16, 1, *[(1001, 30000), (1, 15)][index])
            else:
                assert size_wh == (1920, 1080)
                struct.pack_into("7I", buffer, 16, 3, 1, 60, 1, 5, 1, 60)


MODES = (
    Mode("MJPG", (640, 480), None, (29.97, 15.0)),
    Mode("MJPG", (1280, 720), None, (29.97, 15.0)),
    Mode("YUYV", (1920, 1080), (32, 16), (60.0, 5.0)),
)


@pytest.fixture(autouse=True)
def _no_picamera2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A /dev with one camera that also has a name for good."""
    (tmp_path / "video0").touch()
    (tmp_path / "v4l/by-id").mkdir(parents=True)
    (tmp_path / "v4l/by-id/usb-A_Cam-index0").symlink_to("../../video0")
    return tmp_path


@pytest.mark.parametrize(("every", "own"), [(OWN | CAPTURE | META, CAPTURE), (CAPTURE, 0), (OWN, CAPTURE_PLANES)])
def test_a_camera_tells_its_names_and_modes(folder: Path, every: int, own: int) -> None:
    driver = Driver(every, own or every)
    link = str(folder / "v4l/by-id/usb-A_Cam-index0")
    camera = Device(str(folder / "video0"), "v4l2", "A Cam", "uvcvideo", (link,), MODES)
    assert list_devices(folder, driver) == (camera,)
    for handle in driver.opened:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(handle)


def test_cameras_are_sorted_by_number(folder: Path) -> None:
    for number in (10, 2):
        (folder / f"video{number}").touch()
    names = [Path(device.source).name for device in list_devices(folder, Driver())]
    assert names == ["video0", "video2", "video10"]


def test_a_node_without_pictures_is_left_out(folder: Path) -> None:
    assert list_devices(folder, Driver(OWN | CAPTURE | META, META)) == ()


@pytest.mark.parametrize(
    ("refused", "error", "problem"),
    [
        pytest.param(errno.EACCES, 0, "sudo usermod -aG video", id="permission"),
        pytest.param(errno.ENODEV, 0, "cannot be opened: No such device", id="gone"),
        pytest.param(0, errno.EIO, "does not answer: Input/output error", id="broken"),
    ],
)
def test_a_camera_that_cannot_be_asked_is_told_with_its_reason(
    folder: Path, monkeypatch: pytest.MonkeyPatch, refused: int, error: int, problem: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(refused, os.strerror(refused))

    if refused:
        monkeypatch.setattr(os, "open", refuse)
    (device,) = list_devices(folder, Driver(error=error))
    assert problem in device.problem
    assert problem in in_words(device)


def test_a_list_without_an_end_is_cut(folder: Path) -> None:
    class Endless(Driver):
        def _list(self, request: int, index: int, key: int, size_wh: tuple[int, int], buffer: bytearray) -> None:
            super()._list(request, index if request == devices.ENUM_FMT else 0, key, size_wh, buffer)

    (device,) = list_devices(folder, Endless())
    assert len(device.modes) == 2 * 200


def test_a_camera_in_words() -> None:
    camera = Device("/dev/video0", "v4l2", "A Cam", "uvcvideo", ("/dev/v4l/by-id/a",), MODES)
    assert in_words(camera).splitlines() == [
        "/dev/video0  A Cam (uvcvideo)",
        "    /dev/v4l/by-id/a",
        "    MJPG  640x480 at 29.97, 15; 1280x720 at 29.97, 15",
        "    YUYV  32x16 to 1920x1080 at 60, 5",
    ]


def _picamera2(monkeypatch: pytest.MonkeyPatch, answer: object) -> None:
    def info() -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    module = types.SimpleNamespace(Picamera2=types.SimpleNamespace(global_camera_info=info))
    monkeypatch.setitem(sys.modules, "picamera2", module)


def test_a_camera_at_the_connector_of_a_raspberry_pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usb = {"Model": "A Cam", "Num": 1, "Id": "/base/scb/pcie@7d500000/usb@0,0-1:1.0-046d:0825"}
    own = {"Model": "imx708", "Num": 0, "Id": "/base/soc/i2c0mux/i2c@1/imx708@1a"}
    _picamera2(monkeypatch, [own, usb])
    assert list_devices(tmp_path) == (Device("csi:0", "csi", "imx708"),)
    _picamera2(monkeypatch, RuntimeError("libcamera is of another version"))
    (broken,) = list_devices(tmp_path)
    assert "libcamera is of another version" in broken.problem


def test_the_command_tells_what_is_there() -> None:
    command = [sys.executable, "-m", "edgeinfer", "devices"]
    told = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout
    words = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(told)
    assert [device["source"] in words for device in found] == [True] * len(found)
    assert ("no camera" in words) == (not found)
