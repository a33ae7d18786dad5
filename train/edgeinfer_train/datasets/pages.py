"""Reduced pictures for HTML pages."""

from __future__ import annotations

import cv2

from edgeinfer.report.html import data_uri
from edgeinfer.results import Image

_QUALITY = 80


def picture_uri(image: Image, side: int) -> str:
    """Return a JPEG of an image as a data URI, reduced to at most `side` pixels per side."""
    scale = min(1.0, side / max(image.shape[:2]))
    size_wh = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    small = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
    return data_uri("image/jpeg", cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes())
