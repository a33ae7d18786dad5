from __future__ import annotations

import errno
import json
import os
import struct
import sys
import types
from pathlib import Path

import pytest

from edgeinfer.sources import v4l2
from edgeinfer.sources.v4l2 import MAX_ENTRIES, CaptureMode, Device, camera_nodes, format_device, list_devices
from tools.cli import edgeinfer

CAPTURE, CAPTURE_MPLANE, METADATA, DEVICE_CAPS = 0x1, 0x1000, 0x800000, 0x80000000
MJPG, YUYV = struct.unpack("<II", b"MJPGYUYV")


class FakeDriver:
    """A driver with two formats: one with discrete sizes, one with a range of sizes."""

    def __init__(
        self,
        capabilities: int = DEVICE_CAPS | CAPTURE | METADATA,
        device_capabilities: int = CAPTURE,
        *,
        error: int = 0,
    ) -> None:
        self.capabilities, self.device_capabilities, self.error = capabilities, device_capabilities, error
        self.opened: set[int] = set()

    def __call__(self, handle: int, request: int, buffer: bytearray) -> int:
        self.opened.add(handle)
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        if request == v4l2.QUERYCAP:
            struct.pack_into(
                "16s32s32sIII",
                buffer,
                0,
                b"uvcvideo",
                b"A\nCam\0rest",
                b"usb",
                6,
                self.capabilities,
                self.device_capabilities,
            )
            return 0
        index, key, width, height = struct.unpack_from("4I", buffer)
        try:
            self._write_entry(request, index, key, (width, height), buffer)
        except IndexError:
            raise OSError(errno.EINVAL, "Invalid argument") from None
        return 0

    def _write_entry(self, request: int, index: int, key: int, size_wh: tuple[int, int], buffer: bytearray) -> None:
        if request == v4l2.ENUM_FMT:
            assert key == (1 if self.device_capabilities & CAPTURE else 9)
            struct.pack_into("I", buffer, 44, [MJPG, YUYV][index])
        elif request == v4l2.ENUM_FRAMESIZES:
            if key == MJPG:
                struct.pack_into("3I", buffer, 8, 1, *[(640, 480), (1280, 720)][index])
            else:
                struct.pack_into("7I", buffer, 8, *[(3, 32, 1920, 2, 16, 1080, 2)][index])
        elif request == v4l2.ENUM_FRAMEINTERVALS:
            if key == MJPG:
                struct.pack_into("3I", buffer, 16, 1, *[(1001, 30000), (1, 15)][index])
            else:
                assert size_wh == (1920, 1080)
                struct.pack_into("7I", buffer, 16, 3, 1, 60, 1, 5, 1, 60)


MODES = (
    CaptureMode("MJPG", (640, 480), None, (29.97, 15.0)),
    CaptureMode("MJPG", (1280, 720), None, (29.97, 15.0)),
    CaptureMode("YUYV", (1920, 1080), (32, 16), (60.0, 5.0)),
)


@pytest.fixture(autouse=True)
def _no_picamera2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Device folder with one camera and a persistent link to it."""
    (tmp_path / "video0").touch()
    (tmp_path / "v4l/by-id").mkdir(parents=True)
    (tmp_path / "v4l/by-id/usb-A_Cam-index0").symlink_to("../../video0")
    return tmp_path


@pytest.mark.parametrize(
    ("capabilities", "device_capabilities"),
    [(DEVICE_CAPS | CAPTURE | METADATA, CAPTURE), (CAPTURE, 0), (DEVICE_CAPS, CAPTURE_MPLANE)],
)
def test_camera_is_listed_with_its_names_and_modes(folder: Path, capabilities: int, device_capabilities: int) -> None:
    driver = FakeDriver(capabilities, device_capabilities or capabilities)
    link = str(folder / "v4l/by-id/usb-A_Cam-index0")
    camera = Device(str(folder / "video0"), "v4l2", "A Cam", "uvcvideo", (link,), MODES)
    assert list_devices(folder, driver) == (camera,)
    for handle in driver.opened:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(handle)


def test_cameras_are_sorted_by_number(folder: Path) -> None:
    for number in (10, 2):
        (folder / f"video{number}").touch()
    names = [Path(device.source).name for device in list_devices(folder, FakeDriver())]
    assert names == [node.name for node in camera_nodes(folder)] == ["video0", "video2", "video10"]


def test_node_that_does_not_capture_video_is_omitted(folder: Path) -> None:
    assert list_devices(folder, FakeDriver(DEVICE_CAPS | CAPTURE | METADATA, METADATA)) == ()


@pytest.mark.parametrize(
    ("open_error", "ioctl_error", "problem"),
    [
        pytest.param(errno.EACCES, 0, "sudo usermod -aG video", id="permission"),
        pytest.param(errno.ENODEV, 0, "cannot be opened: No such device", id="gone"),
        pytest.param(0, errno.EIO, "does not respond: Input/output error", id="broken"),
    ],
)
def test_camera_that_cannot_be_queried_is_listed_with_the_reason(
    folder: Path, monkeypatch: pytest.MonkeyPatch, open_error: int, ioctl_error: int, problem: str
) -> None:
    def fail(*_: object) -> int:
        raise OSError(open_error, os.strerror(open_error))

    if open_error:
        monkeypatch.setattr(os, "open", fail)
    (device,) = list_devices(folder, FakeDriver(error=ioctl_error))
    assert problem in device.problem
    assert problem in format_device(device)


def test_endless_list_is_truncated(folder: Path) -> None:
    class Endless(FakeDriver):
        def _write_entry(self, request: int, index: int, key: int, size_wh: tuple[int, int], buffer: bytearray) -> None:
            super()._write_entry(request, index if request == v4l2.ENUM_FMT else 0, key, size_wh, buffer)

    (device,) = list_devices(folder, Endless())
    assert len(device.modes) == 2 * MAX_ENTRIES == 400


def test_camera_is_formatted_as_text() -> None:
    camera = Device("/dev/video0", "v4l2", "A Cam", "uvcvideo", ("/dev/v4l/by-id/a",), MODES)
    assert format_device(camera).splitlines() == [
        "/dev/video0  A Cam (uvcvideo)",
        "    /dev/v4l/by-id/a",
        "    MJPG  640x480 at 29.97, 15; 1280x720 at 29.97, 15",
        "    YUYV  32x16 to 1920x1080 at 60, 5",
    ]


def install_picamera2(monkeypatch: pytest.MonkeyPatch, cameras: object) -> None:
    def info() -> object:
        if isinstance(cameras, Exception):
            raise cameras
        return cameras

    module = types.SimpleNamespace(Picamera2=types.SimpleNamespace(global_camera_info=info))
    monkeypatch.setitem(sys.modules, "picamera2", module)


def test_csi_cameras_are_listed_without_usb_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usb = {"Model": "A Cam", "Num": 1, "Id": "/base/scb/pcie@7d500000/usb@0,0-1:1.0-046d:0825"}
    csi = {"Model": "imx708", "Num": 0, "Id": "/base/soc/i2c0mux/i2c@1/imx708@1a"}
    install_picamera2(monkeypatch, [csi, usb])
    assert list_devices(tmp_path) == (Device("csi:0", "csi", "imx708"),)
    install_picamera2(monkeypatch, RuntimeError("incompatible libcamera"))
    (broken,) = list_devices(tmp_path)
    assert "incompatible libcamera" in broken.problem


def test_command_lists_the_cameras() -> None:
    as_json, as_text = edgeinfer("devices", "--json"), edgeinfer("devices")
    assert (as_json.returncode, as_text.returncode) == (0, 0)
    found = json.loads(as_json.stdout)
    assert [device["source"] in as_text.stdout for device in found] == [True] * len(found)
    assert ("no camera" in as_text.stdout) == (not found)
