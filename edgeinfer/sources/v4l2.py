"""Which cameras this machine has, and what they can do (V4L2, https://docs.kernel.org/userspace-api/media/v4l/)."""

from __future__ import annotations

import fcntl
import importlib
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from edgeinfer.errors import one_line
from edgeinfer.sources.picamera import REPAIR

Ioctl = Callable[[int, int, bytearray], object]

QUERYCAP, ENUM_FMT, ENUM_FRAMESIZES, ENUM_FRAMEINTERVALS = 0x80685600, 0xC0405602, 0xC02C564A, 0xC034564B
_CAPABILITY, _FORMAT, _SIZE, _INTERVAL = "16s32s32sIII12x", "III32sI16x", "III6I8x", "5I6I8x"
_CAPTURE, _CAPTURE_PLANES, _OWN_CAPABILITIES = 0x1, 0x1000, 0x80000000
_BUFFERS = {_CAPTURE: 1, _CAPTURE_PLANES: 9}
_DISCRETE = 1
_AT_MOST = 200
"""Entries of a list that are believed; a broken driver may never end one."""


@dataclass(frozen=True, slots=True)
class Mode:
    """What a camera can send.

    Attributes:
        pixel_format: four characters, such as "MJPG".
        size_wh: in pixels.
        smallest_wh: where every size from this to `size_wh` can be had, else None.
        fps: frames a second from the fastest on; the two ends where every rate between can be had.
    """

    pixel_format: str
    size_wh: tuple[int, int]
    smallest_wh: tuple[int, int] | None
    fps: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Device:
    """One camera.

    Attributes:
        source: what `edgeinfer run` calls it.
        kind: "v4l2", or "csi" for a Raspberry Pi's own connector.
        name: of the model; empty where it cannot be asked.
        driver: of the system; empty for "csi".
        links: other names of it that outlive a restart.
        modes: for "v4l2".
        problem: why it cannot be asked and what to do; empty if all is well.
    """

    source: str
    kind: Literal["v4l2", "csi"]
    name: str = ""
    driver: str = ""
    links: tuple[str, ...] = ()
    modes: tuple[Mode, ...] = ()
    problem: str = ""


def list_devices(folder: Path = Path("/dev"), ioctl: Ioctl = fcntl.ioctl) -> tuple[Device, ...]:
    """Every camera of this machine; never raises for what is wrong with one.

    Args:
        folder: where the system has its devices.
        ioctl: asks a driver.
    """
    nodes = sorted(folder.glob("video[0-9]*"), key=lambda path: (len(path.name), path.name))
    links = sorted((folder / "v4l" / "by-id").glob("*"))
    found = (
        _ask(node, tuple(str(link) for link in links if link.resolve() == node.resolve()), ioctl) for node in nodes
    )
    return (*(device for device in found if device), *_csi())


def in_words(device: Device) -> str:
    """A camera in a few lines."""
    driver = f" ({device.driver})" if device.driver else ""
    lines = [f"{device.source}  {device.name}{driver}{device.problem}", *(f"    {link}" for link in device.links)]
    for pixel_format, modes in groupby(device.modes, key=lambda mode: mode.pixel_format):
        lines.append(f"    {pixel_format}  {'; '.join(_mode_in_words(mode) for mode in modes)}")
    return "\n".join(lines)


def _mode_in_words(mode: Mode) -> str:
    smallest = "{}x{} to ".format(*mode.smallest_wh) if mode.smallest_wh else ""
    rates = ", ".join(f"{rate:g}" for rate in mode.fps)
    return smallest + "{}x{}".format(*mode.size_wh) + (f" at {rates}" if rates else "")


def _ask(node: Path, links: tuple[str, ...], ioctl: Ioctl) -> Device | None:
    """What a node tells of itself; None for one that gives no pictures."""
    try:
        handle = os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        advice = "no permission; run: sudo usermod -aG video $USER, and log in again"
        return Device(str(node), "v4l2", links=links, problem=advice)
    except OSError as error:
        return Device(str(node), "v4l2", links=links, problem=f"cannot be opened: {error.strerror}")
    try:
        driver, name, _, _, every, own = _call(ioctl, handle, QUERYCAP, _CAPABILITY)
        able = own if every & _OWN_CAPABILITIES else every
        buffers = next((kind for capability, kind in _BUFFERS.items() if able & capability), None)
        if buffers is None:
            return None
        modes = tuple(_modes(ioctl, handle, buffers))
        return Device(str(node), "v4l2", _text(name), _text(driver), links, modes)
    except OSError as error:
        return Device(str(node), "v4l2", links=links, problem=f"does not answer: {error.strerror}")
    finally:
        os.close(handle)


def _modes(ioctl: Ioctl, handle: int, buffers: int) -> Iterator[Mode]:
    for _, _, _, _, code in _listed(ioctl, handle, ENUM_FMT, _FORMAT, buffers):
        name = _text(struct.pack("<I", code))
        for _, _, kind, width, second, *rest in _listed(ioctl, handle, ENUM_FRAMESIZES, _SIZE, code):
            if kind == _DISCRETE:
                size_wh, smallest_wh = (width, second), None
            else:  # least and largest width, step, least and largest height
                size_wh, smallest_wh = (second, rest[2]), (width, rest[1])
            yield Mode(name, size_wh, smallest_wh, _rates(ioctl, handle, code, size_wh))


def _rates(ioctl: Ioctl, handle: int, code: int, size_wh: tuple[int, int]) -> tuple[float, ...]:
    rates: list[float] = []
    for _, _, _, _, kind, *seconds in _listed(ioctl, handle, ENUM_FRAMEINTERVALS, _INTERVAL, code, *size_wh):
        ends = [seconds[:2]] if kind == _DISCRETE else [seconds[:2], seconds[2:4]]
        rates += [round(below / above, 3) for above, below in ends if above]
        if kind != _DISCRETE:
            break
    return tuple(sorted(set(rates), reverse=True))


def _listed(ioctl: Ioctl, handle: int, request: int, layout: str, *key: int) -> Iterator[Any]:
    """The entries of one of the driver's lists, which an error ends."""
    for index in range(_AT_MOST):
        try:
            entry = _call(ioctl, handle, request, layout, index, *key)
        except OSError:
            return
        yield entry


def _call(ioctl: Ioctl, handle: int, request: int, layout: str, *given: int) -> tuple[Any, ...]:
    buffer = bytearray(struct.calcsize(layout))
    struct.pack_into(f"{len(given)}I", buffer, 0, *given)
    ioctl(handle, request, buffer)
    return struct.unpack(layout, buffer)


def _text(raw: bytes) -> str:
    return one_line(raw.partition(b"\0")[0].decode(errors="replace")).strip()


def _csi() -> tuple[Device, ...]:
    """Cameras at a Raspberry Pi's own connector, where picamera2 is installed to tell of them."""
    try:
        found = importlib.import_module("picamera2").Picamera2.global_camera_info()
    except ImportError:
        return ()
    except Exception as error:  # its native parts fail in many ways
        return (Device("csi:", "csi", problem=f"picamera2 fails: {error}; {REPAIR}"),)
    return tuple(
        Device(f"csi:{info.get('Num', index)}", "csi", str(info.get("Model", "")))
        for index, info in enumerate(found)
        if "usb" not in str(info.get("Id", "")).lower()  # has a node of V4L2, too
    )
