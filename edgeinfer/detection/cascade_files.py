"""Lookup and loading of OpenCV's Haar cascade files."""

from __future__ import annotations

import contextlib
from pathlib import Path

import cv2

from edgeinfer.errors import CapabilityError, ModelError, ModelNotFoundError

DEFAULT_CASCADE = "haarcascade_frontalface_default"


def find_cascade(cascade: str | Path | None) -> Path:
    """Return the XML file for a cascade name or path, or for None the frontal face cascade.

    Raises:
        CapabilityError: this OpenCV has no cascade classifier or lacks its cascade files.
        ModelNotFoundError: the cascade does not exist.
    """
    if not hasattr(cv2, "CascadeClassifier"):
        raise CapabilityError(
            f"OpenCV {cv2.__version__} has no cascade classifier (removed in 5.0); "
            "run: pip install 'opencv-python-headless>=4.10,<5'"
        )
    if cascade is not None and (str(cascade).endswith(".xml") or "/" in str(cascade)) and Path(cascade).is_file():
        return Path(cascade)
    bundled = {path.stem: path for path in _cascade_folder().glob("haarcascade_*.xml")}
    if cascade is None and DEFAULT_CASCADE not in bundled:
        raise CapabilityError(
            f"OpenCV {cv2.__version__} was installed without its cascade files; run: pip install --force-reinstall "
            "'opencv-python-headless>=4.10,<5', or set `cascade` to the path of an XML file"
        )
    name = DEFAULT_CASCADE if cascade is None else str(cascade).removesuffix(".xml")
    if name not in bundled:
        raise ModelNotFoundError(
            f"cascade {cascade} not found: set `cascade` to the path of an XML file or to one of "
            f"{', '.join(sorted(bundled))}"
        )
    return bundled[name]


def load_cascade(cascade: str | Path | None) -> cv2.CascadeClassifier:
    """Load a cascade by name or path, or for None the frontal face cascade.

    Raises:
        CapabilityError: this OpenCV has no cascade classifier or lacks its cascade files.
        ModelError: the cascade does not exist, or the file is not a valid cascade.
    """
    path = find_cascade(cascade)
    loaded = cv2.CascadeClassifier()
    with contextlib.suppress(cv2.error):
        loaded.load(str(path))  # the constructor raises a SystemError for a damaged file
    if loaded.empty():
        raise ModelError(f"{path} is not a cascade that OpenCV {cv2.__version__} can read")
    return loaded


def _cascade_folder() -> Path:
    data = getattr(cv2, "data", None)  # missing in some builds of OpenCV
    return Path(data.haarcascades) if data else Path()
