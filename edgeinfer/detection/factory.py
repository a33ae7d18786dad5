"""Creation of detectors by name."""

from __future__ import annotations

from pathlib import Path

from edgeinfer.detection.base import DETECTORS, FaceDetector
from edgeinfer.detection.haar import HaarDetector
from edgeinfer.detection.whole_frame import WholeFrameDetector
from edgeinfer.detection.yunet import YuNetDetector
from edgeinfer.errors import UsageError
from edgeinfer.plugins import plugin, plugin_names


def create_detector(name: str, *, model: str | Path | None = None, cascade: str | Path | None = None) -> FaceDetector:
    """Create a detector by name.

    Args:
        name: One of `DETECTORS`, or the name of a plugin, see `edgeinfer.plugins`.
        model: Path of the network's file; required by "yunet", invalid for "haar" and "none".
        cascade: Cascade name or path, only for "haar"; see `HaarDetector`.

    Raises:
        UsageError: the name is unknown, or an option does not apply to the detector.
        CapabilityError: OpenCV lacks a feature that the detector needs.
        ModelError: a file is missing or invalid.
    """
    if cascade is not None and name != "haar":
        raise UsageError(f"`cascade` does not apply to the detector {name}: omit it or set `detector` to haar")
    if name not in DETECTORS:
        return _create_plugin_detector(name, model)
    if model is not None and name != "yunet":
        raise UsageError(f"`detector_model` does not apply to the detector {name}: omit it or set `detector` to yunet")
    if name == "yunet":
        if model is None:
            raise UsageError(
                "`detector_model` is required by the detector yunet: pass the path of a face_detection_yunet ONNX file"
            )
        return YuNetDetector(model)
    return HaarDetector(cascade) if name == "haar" else WholeFrameDetector()


def _create_plugin_detector(name: str, model: str | Path | None) -> FaceDetector:
    check_detector(name)
    detector: FaceDetector = plugin("detectors", name)(model)
    return detector


def check_detector(name: str) -> None:
    """Validate the name of a detector.

    Raises:
        UsageError: the name is neither in `DETECTORS` nor the name of an installed plugin.
    """
    if name not in DETECTORS and name not in (plugins := plugin_names("detectors")):
        raise UsageError(f"unknown detector {name!r}: expected one of {', '.join((*DETECTORS, *plugins))}")
