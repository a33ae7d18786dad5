"""Preprocessing from a frame and a bounding box to the model's input, shared by the runtime and training.

Pixel values are not scaled here: scaling is part of the model's graph.
"""

from __future__ import annotations

import cv2
import numpy as np

from edgeinfer.results import Colour, Image

MAX_AREA_ZOOM = 8
"""Reduction from which a crop is halved before it is reduced by area averaging, which takes longer. From twice this
reduction, it is first reduced to a quarter in one step, each pixel the mean of four: to read all pixels would take
longer than the classification."""
MAX_PADDED_SIDE = 2048
"""Longest side of a crop that extends beyond the frame, in pixels; a model's input is much smaller."""


def crop_face(image: Image, xywh: tuple[int, int, int, int], margin: float) -> Image:
    """Crop a face from a frame.

    Args:
        image: (H, W) or (H, W, 3) uint8.
        xywh: The detector's bounding box in pixels of `image`; it may extend beyond the frame.
        margin: Extension of the crop on each side, as a share of the box's width and height; negative for a
            tighter crop.

    Returns:
        uint8 array of at least 1x1 pixels with the same number of dimensions as `image`, and a view of it where
        possible. Pixels outside the frame repeat its edge; a crop with such pixels is reduced to at most
        `MAX_PADDED_SIDE` pixels per side, so that a large margin on a large frame takes little memory.
    """
    x, y, w, h = xywh
    left, top = round(x - margin * w), round(y - margin * h)
    right, bottom = max(round(x + (1 + margin) * w), left + 1), max(round(y + (1 + margin) * h), top + 1)
    height, width = image.shape[:2]
    if left >= 0 and top >= 0 and right <= width and bottom <= height:
        return image[top:bottom, left:right]
    if max(right - left, bottom - top) > MAX_PADDED_SIDE:
        return _reduced_crop(image, (left, top, right, bottom))
    columns = np.clip(np.arange(left, right), 0, width - 1)
    rows = np.clip(np.arange(top, bottom), 0, height - 1)
    return image[rows[:, None], columns[None, :]]


def _reduced_crop(image: Image, ltrb: tuple[int, int, int, int]) -> Image:
    """Return a crop that extends beyond the image, with its longer sides reduced to `MAX_PADDED_SIDE`."""
    left, top, right, bottom = ltrb
    height, width = image.shape[:2]
    out_w, out_h = min(right - left, MAX_PADDED_SIDE), min(bottom - top, MAX_PADDED_SIDE)
    across, down = out_w / (right - left), out_h / (bottom - top)
    # The part inside the image, at least one pixel at its edge, is reduced first and then extended to the full crop.
    inner_left, inner_top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
    inner_right, inner_bottom = max(min(right, width), inner_left + 1), max(min(bottom, height), inner_top + 1)
    inner_w = min(out_w, max(1, round((inner_right - inner_left) * across)))
    inner_h = min(out_h, max(1, round((inner_bottom - inner_top) * down)))
    before_x = min(max(0, round((inner_left - left) * across)), out_w - inner_w)
    before_y = min(max(0, round((inner_top - top) * down)), out_h - inner_h)
    inner = cv2.resize(
        image[inner_top:inner_bottom, inner_left:inner_right], (inner_w, inner_h), interpolation=cv2.INTER_AREA
    )
    after_x, after_y = out_w - inner_w - before_x, out_h - inner_h - before_y
    return np.asarray(
        cv2.copyMakeBorder(inner, before_y, after_y, before_x, after_x, cv2.BORDER_REPLICATE), dtype=np.uint8
    )


def model_input(crop: Image, *, size_hw: tuple[int, int], colour: Colour) -> Image:
    """Convert a face crop to the colour format and size of the model's input.

    Args:
        crop: (H, W) grey or (H, W, 3) BGR uint8, any size.
        size_hw: Height and width of the result in pixels.
        colour: Channel order of the result; "grey" has one channel.

    Returns:
        (height, width, channels) uint8, reduced by area averaging or enlarged by linear interpolation.
    """
    height, width = size_hw
    if min(crop.shape[0] / height, crop.shape[1] / width) >= 2 * MAX_AREA_ZOOM:
        quarter_wh = crop.shape[1] // 4, crop.shape[0] // 4
        crop = np.asarray(cv2.resize(crop, quarter_wh, interpolation=cv2.INTER_LINEAR), np.uint8)
    if crop.ndim == 2:
        picture = crop if colour == "grey" else cv2.cvtColor(crop, cv2.COLOR_GRAY2BGR)
    elif colour == "grey":
        picture = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    else:
        picture = crop if colour == "bgr" else cv2.cvtColor(crop, cv2.COLOR_BGR2RGB)
    while min(picture.shape[0] / height, picture.shape[1] / width) >= MAX_AREA_ZOOM:
        half_wh = picture.shape[1] // 2, picture.shape[0] // 2
        picture = cv2.resize(picture, half_wh, interpolation=cv2.INTER_LINEAR)  # the mean of four pixels
    if picture.shape[:2] != (height, width):
        shrinking = picture.shape[0] > height or picture.shape[1] > width
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    return np.asarray(picture if picture.ndim == 3 else picture[:, :, None], dtype=np.uint8)
