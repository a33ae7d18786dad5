"""Detectors by name."""

from __future__ import annotations

from pathlib import Path

from edgeinfer.detection.base import DETECTORS, FaceDetector
from edgeinfer.detection.haar import HaarDetector
from edgeinfer.detection.whole_frame import WholeFrameDetector
from edgeinfer.detection.yunet import YuNetDetector
from edgeinfer.errors import UsageError
from edgeinfer.plugins import plugin, plugin_names


def create_detector(name: str, *, model: str | Path | None = None, cascade: str | Path | None = None) -> FaceDetector:
    """Make a detector by name.

    Args:
        name: one of `DETECTORS`, or one that another package brings, see `edgeinfer.plugins`.
        model: the network's file; "yunet" needs it, "haar" and "none" take none.
        cascade: for "haar", see `HaarDetector`.

    Raises:
        UsageError: an unknown name, or an option that does not belong to the detector.
        CapabilityError: OpenCV lacks what the detector needs.
        ModelError: a file is missing or invalid.
    """
    if cascade is not None and name != "haar":
        raise UsageError(f"the detector {name} takes no cascade; leave it out or choose haar")
    if name not in DETECTORS:
        return _brought(name, model)
    if model is not None and name != "yunet":
        raise UsageError(f"the detector {name} takes no detector model; leave it out or choose yunet")
    if name == "yunet":
        if model is None:
            raise UsageError("the detector yunet needs --detector-model PATH, a face_detection_yunet ONNX file")
        return YuNetDetector(model)
    return HaarDetector(cascade) if name == "haar" else WholeFrameDetector()


def _brought(name: str, model: str | Path | None) -> FaceDetector:
    """A detector of another package."""
    check_detector(name)
    made: FaceDetector = plugin("detectors", name)(model)
    return made


def check_detector(name: str) -> None:
    """Refuse the name of no detector.

    Raises:
        UsageError: nobody brings one of this name.
    """
    if name not in DETECTORS and name not in (brought := plugin_names("detectors")):
        raise UsageError(f"no detector is called {name}; choose one of {', '.join((*DETECTORS, *brought))}")
