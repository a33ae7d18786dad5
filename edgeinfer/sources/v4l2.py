"""Enumeration of cameras and their capture modes (V4L2, https://docs.kernel.org/userspace-api/media/v4l/)."""

from __future__ import annotations

import importlib
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from edgeinfer.errors import one_line
from edgeinfer.system.portable import NONBLOCK, send_request

Ioctl = Callable[[int, int, bytearray], object]

QUERYCAP, ENUM_FMT, ENUM_FRAMESIZES, ENUM_FRAMEINTERVALS = 0x80685600, 0xC0405602, 0xC02C564A, 0xC034564B
_CAPABILITY, _FORMAT, _SIZE, _INTERVAL = "16s32s32sIII12x", "III32sI16x", "III6I8x", "5I6I8x"
_CAPTURE, _CAPTURE_MPLANE, _DEVICE_CAPS = 0x1, 0x1000, 0x80000000
_BUFFER_TYPES = {_CAPTURE: 1, _CAPTURE_MPLANE: 9}
_DISCRETE = 1
REPAIR = "update the system, or run: pip install --force-reinstall --no-deps simplejpeg"
"""Remedy for a picamera2 whose binary parts were built for an older numpy than the environment contains."""
MAX_ENTRIES = 200
"""Limit on the entries read from one list, because a broken driver may return entries without end."""


@dataclass(frozen=True, slots=True)
class CaptureMode:
    """One combination of pixel format and frame size that a camera supports.

    Attributes:
        pixel_format: FourCC code, such as "MJPG".
        size_wh: (width, height) in pixels; the largest size if `smallest_wh` is set.
        smallest_wh: Smallest size if the camera supports a range of sizes, otherwise None.
        fps: Frame rates in descending order; the two ends if the camera supports a range of rates.
    """

    pixel_format: str
    size_wh: tuple[int, int]
    smallest_wh: tuple[int, int] | None
    fps: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Device:
    """One camera.

    Attributes:
        source: Name for `open_source`, such as "/dev/video0" or "csi:0".
        kind: "v4l2", or "csi" for a camera on a Raspberry Pi's CSI connector.
        name: Model name; empty if the camera could not be queried.
        driver: Kernel driver; empty for "csi".
        links: Persistent names, which survive a restart.
        modes: Supported modes of a "v4l2" camera.
        problem: Reason why the camera could not be queried, with a remedy; empty if there is none.
    """

    source: str
    kind: Literal["v4l2", "csi"]
    name: str = ""
    driver: str = ""
    links: tuple[str, ...] = ()
    modes: tuple[CaptureMode, ...] = ()
    problem: str = ""


def camera_nodes(folder: Path = Path("/dev")) -> tuple[Path, ...]:
    """Return the V4L2 device nodes of this machine, sorted by number.

    Args:
        folder: Folder of the device nodes.
    """
    return tuple(sorted(folder.glob("video[0-9]*"), key=lambda path: (len(path.name), path.name)))


def list_devices(folder: Path = Path("/dev"), ioctl: Ioctl = send_request) -> tuple[Device, ...]:
    """Return every camera of this machine. A camera that cannot be queried has a `problem`; nothing is raised.

    Args:
        folder: Folder of the device nodes.
        ioctl: Function that sends a request to a driver.
    """
    links = sorted((folder / "v4l" / "by-id").glob("*"))
    found = (
        _query(node, tuple(str(link) for link in links if link.resolve() == node.resolve()), ioctl)
        for node in camera_nodes(folder)
    )
    return (*(device for device in found if device), *_csi_cameras())


def format_device(device: Device) -> str:
    """Format a camera as text: its name, its links, and one line per pixel format."""
    driver = f" ({device.driver})" if device.driver else ""
    lines = [f"{device.source}  {device.name}{driver}{device.problem}", *(f"    {link}" for link in device.links)]
    for pixel_format, modes in groupby(device.modes, key=lambda mode: mode.pixel_format):
        lines.append(f"    {pixel_format}  {'; '.join(_format_mode(mode) for mode in modes)}")
    return "\n".join(lines)


def _format_mode(mode: CaptureMode) -> str:
    smallest = "{}x{} to ".format(*mode.smallest_wh) if mode.smallest_wh else ""
    rates = ", ".join(f"{rate:g}" for rate in mode.fps)
    return smallest + "{}x{}".format(*mode.size_wh) + (f" at {rates}" if rates else "")


def _query(node: Path, links: tuple[str, ...], ioctl: Ioctl) -> Device | None:
    """Query a device node; return None if it does not capture video."""
    try:
        handle = os.open(node, os.O_RDWR | NONBLOCK)
    except PermissionError:
        problem = "no permission; run: sudo usermod -aG video $USER, then log out and in again"
        return Device(str(node), "v4l2", links=links, problem=problem)
    except OSError as error:
        return Device(str(node), "v4l2", links=links, problem=f"cannot be opened: {error.strerror}")
    try:
        driver, name, _, _, capabilities, device_capabilities = _request(ioctl, handle, QUERYCAP, _CAPABILITY)
        if capabilities & _DEVICE_CAPS:
            capabilities = device_capabilities
        buffer_type = next((kind for flag, kind in _BUFFER_TYPES.items() if capabilities & flag), None)
        if buffer_type is None:
            return None
        modes = tuple(_modes(ioctl, handle, buffer_type))
        return Device(str(node), "v4l2", _text(name), _text(driver), links, modes)
    except OSError as error:
        return Device(str(node), "v4l2", links=links, problem=f"does not respond: {error.strerror}")
    finally:
        os.close(handle)


def _modes(ioctl: Ioctl, handle: int, buffer_type: int) -> Iterator[CaptureMode]:
    for _, _, _, _, code in _enumerate(ioctl, handle, ENUM_FMT, _FORMAT, buffer_type):
        name = _text(struct.pack("<I", code))
        for _, _, kind, width, second, *rest in _enumerate(ioctl, handle, ENUM_FRAMESIZES, _SIZE, code):
            if kind == _DISCRETE:
                size_wh, smallest_wh = (width, second), None
            else:  # minimum and maximum width, step, minimum and maximum height
                size_wh, smallest_wh = (second, rest[2]), (width, rest[1])
            yield CaptureMode(name, size_wh, smallest_wh, _frame_rates(ioctl, handle, code, size_wh))


def _frame_rates(ioctl: Ioctl, handle: int, code: int, size_wh: tuple[int, int]) -> tuple[float, ...]:
    rates: list[float] = []
    for _, _, _, _, kind, *fractions in _enumerate(ioctl, handle, ENUM_FRAMEINTERVALS, _INTERVAL, code, *size_wh):
        intervals = [fractions[:2]] if kind == _DISCRETE else [fractions[:2], fractions[2:4]]
        rates += [round(denominator / numerator, 3) for numerator, denominator in intervals if numerator]
        if kind != _DISCRETE:
            break
    return tuple(sorted(set(rates), reverse=True))


def _enumerate(ioctl: Ioctl, handle: int, request: int, layout: str, *key: int) -> Iterator[Any]:
    """Yield the entries of one of the driver's lists; the driver ends the list with an error."""
    for index in range(MAX_ENTRIES):
        try:
            entry = _request(ioctl, handle, request, layout, index, *key)
        except OSError:
            return
        yield entry


def _request(ioctl: Ioctl, handle: int, request: int, layout: str, *arguments: int) -> tuple[Any, ...]:
    buffer = bytearray(struct.calcsize(layout))
    struct.pack_into(f"{len(arguments)}I", buffer, 0, *arguments)
    ioctl(handle, request, buffer)
    return struct.unpack(layout, buffer)


def _text(raw: bytes) -> str:
    return one_line(raw.partition(b"\0")[0].decode(errors="replace")).strip()


def _csi_cameras() -> tuple[Device, ...]:
    """Return the cameras on a Raspberry Pi's CSI connector; none if picamera2 is not installed."""
    try:
        found = importlib.import_module("picamera2").Picamera2.global_camera_info()
    except ImportError:
        return ()
    except Exception as error:  # its binary parts raise various types
        return (Device("csi:", "csi", problem=f"picamera2 cannot be used: {error}; {REPAIR}"),)
    return tuple(
        Device(f"csi:{info.get('Num', index)}", "csi", str(info.get("Model", "")))
        for index, info in enumerate(found)
        if "usb" not in str(info.get("Id", "")).lower()  # USB cameras are listed as V4L2 devices
    )
