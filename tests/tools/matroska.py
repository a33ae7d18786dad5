"""Minimal Matroska writer, for videos with chosen timestamps and headers (RFC 9559). Frames are JPEG pictures."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import cv2
import numpy as np


def matroska(
    times_ms: Sequence[int],
    *,
    size_wh: tuple[int, int] = (64, 48),
    fps: float | None = 25,
    duration_ms: float | None = None,
    display_wh: tuple[int, int] | None = None,
    stated_wh: tuple[int, int] | None = None,
    roll_deg: float | None = None,
    pictures: Sequence[bytes] | None = None,
) -> bytes:
    """Return a video with one grey frame per timestamp, whose brightness is 10 times its number.

    Args:
        times_ms: Presentation times.
        size_wh: Size of the frames.
        fps: Nominal frame rate in the header, or None to omit it.
        duration_ms: Duration in the header, or None to omit it.
        display_wh: Size at which the frames are to be displayed, for pixels that are not square.
        stated_wh: Size in the header, if it is not that of the frames.
        roll_deg: Rotation of the camera to be corrected, counterclockwise in degrees.
        pictures: JPEG pictures to use instead of the grey frames.
    """
    frames = pictures or [grey_jpeg(10 * number % 256, size_wh) for number in range(len(times_ms))]
    info = _number(0x2AD7B1, 1_000_000)
    if duration_ms is not None:
        info += _element(0x4489, struct.pack(">d", duration_ms))
    stated_wh = stated_wh or size_wh
    video = _number(0xB0, stated_wh[0]) + _number(0xBA, stated_wh[1])
    if display_wh is not None:
        video += _number(0x54B0, display_wh[0]) + _number(0x54BA, display_wh[1])
    if roll_deg is not None:
        video += _element(0x7670, _number(0x7671, 0) + _element(0x7675, struct.pack(">d", roll_deg)))
    track = _number(0xD7, 1) + _number(0x73C5, 1) + _number(0x83, 1) + _element(0x86, b"V_MJPEG")
    if fps is not None:
        track += _number(0x23E383, round(1e9 / fps))
    tracks = _element(0xAE, track + _element(0xE0, video))
    clusters = b"".join(
        _element(0x1F43B675, _number(0xE7, time_ms) + _element(0xA3, b"\x81\0\0\x80" + frame))
        for time_ms, frame in zip(times_ms, frames, strict=True)
    )
    head = _element(0x1A45DFA3, _element(0x4282, b"matroska"))
    return head + _element(0x18538067, _element(0x1549A966, info) + _element(0x1654AE6B, tracks) + clusters)


def grey_jpeg(grey: int, size_wh: tuple[int, int] = (64, 48)) -> bytes:
    """Return a JPEG picture of uniform brightness."""
    return bytes(cv2.imencode(".jpg", np.full((size_wh[1], size_wh[0], 3), grey, np.uint8))[1])


def _element(identifier: int, content: bytes) -> bytes:
    name = identifier.to_bytes((identifier.bit_length() + 7) // 8, "big")
    return name + (len(content) | 1 << 56).to_bytes(8, "big") + content


def _number(identifier: int, value: int) -> bytes:
    return _element(identifier, value.to_bytes(8, "big"))
