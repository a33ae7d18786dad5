"""Fixtures for all tests: a small model, a clip and pictures."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer.expression.classifier import EmotionClassifier
from edgeinfer.results import Image
from tools.tiny_model import write_model

ASSETS = Path(__file__).parent / "assets"
# OpenCV reads this when a process opens its first video, which may be before a test runs the command line in process.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def pytest_report_header() -> str:
    """Return the versions that the results depend on."""
    versions = []
    for name in ("numpy", "cv2", "onnxruntime", "keras", "tensorflow"):
        spec = importlib.util.find_spec(name)
        if spec and name not in ("keras", "tensorflow"):
            versions.append(f"{name} {importlib.import_module(name).__version__}")
        elif spec:
            from importlib import metadata

            versions.append(f"{name} {metadata.version(name)}")
    return f"python {platform.python_version()}, {', '.join(versions)}"


@pytest.fixture(scope="session", autouse=True)
def _no_user_config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model that labels bright faces happy and dark ones neutral."""
    return write_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture
def classifier(tiny_model: Path) -> EmotionClassifier:
    return EmotionClassifier.load(tiny_model)


@pytest.fixture(scope="session")
def clip() -> Path:
    """One-second clip of a moving face, 320x240."""
    return ASSETS / "clip.mp4"


@pytest.fixture(scope="session")
def face_picture() -> Path:
    """Picture of one smiling face, 256x256."""
    return ASSETS / "face.jpg"


@pytest.fixture(scope="session")
def portrait(face_picture: Path) -> Image:
    image = cv2.imread(str(face_picture))
    assert image is not None
    return np.asarray(image, dtype=np.uint8)


@pytest.fixture(scope="session")
def yunet() -> Path:
    """Path of a YuNet model: EDGEINFER_TEST_YUNET, or else the file from the extra `yunet`."""
    import os

    from edgeinfer.detection.yunet_file import find_yunet
    from edgeinfer.errors import CapabilityError

    path = Path(os.environ.get("EDGEINFER_TEST_YUNET", ""))
    if path.is_file():
        return path
    try:
        return find_yunet()
    except CapabilityError as error:
        pytest.skip(str(error))
