"""Creation of detectors by name."""

from __future__ import annotations

from pathlib import Path

from edgeinfer.detection.base import DETECTORS, FaceDetector, check_detector
from edgeinfer.detection.haar import HaarDetector
from edgeinfer.detection.whole_frame import WholeFrameDetector
from edgeinfer.detection.yunet import MIN_SIZE, YuNetDetector
from edgeinfer.errors import UsageError
from edgeinfer.plugins import plugin


def create_detector(
    name: str,
    *,
    model: str | Path | None = None,
    cascade: str | Path | None = None,
    threads: int = 1,
    min_face: int | None = None,
) -> FaceDetector:
    """Create a detector by name.

    Args:
        name: One of `DETECTORS`, or the name of a plugin, see `edgeinfer.plugins`.
        model: Path of the network's file for "yunet", None for the file from the extra `yunet`; invalid for "haar" and
            "none".
        cascade: Cascade name or path, only for "haar"; see `HaarDetector`.
        threads: CPU threads per call of a network, 1 or more.
        min_face: Shorter side in pixels of the smallest face that matters, or None. Only "yunet" saves time with it; it
            still returns some smaller ones.

    Raises:
        UsageError: the name is unknown, or an option does not apply to the detector.
        CapabilityError: OpenCV lacks a feature that the detector needs, or the extra `yunet` is not installed.
        ModelError: a file is missing or invalid.
    """
    if cascade is not None and name != "haar":
        raise UsageError(f"`cascade` does not apply to the detector {name}: omit it or set `detector` to haar")
    if name not in DETECTORS:
        return _create_plugin_detector(name, model)
    if model is not None and name != "yunet":
        raise UsageError(f"`detector_model` does not apply to the detector {name}: omit it or set `detector` to yunet")
    if name == "yunet":
        # Boxes in reduced frames are inexact; the pipeline discards those that are too small.
        return YuNetDetector(model, threads=threads, min_size=max(MIN_SIZE, round(0.8 * (min_face or 0))))
    return HaarDetector(cascade) if name == "haar" else WholeFrameDetector()


def _create_plugin_detector(name: str, model: str | Path | None) -> FaceDetector:
    check_detector(name)
    detector: FaceDetector = plugin("detectors", name)(model)
    return detector
