"""Fixtures for every test: small real parts and fakes."""

from __future__ import annotations

import importlib
import importlib.util
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


def pytest_report_header() -> str:
    """The versions that the results depend on."""
    found = []
    for name in ("numpy", "cv2", "onnxruntime", "keras", "tensorflow"):
        spec = importlib.util.find_spec(name)
        if spec and name not in ("keras", "tensorflow"):
            found.append(f"{name} {importlib.import_module(name).__version__}")
        elif spec:
            from importlib import metadata

            found.append(f"{name} {metadata.version(name)}")
    return f"python {platform.python_version()}, {', '.join(found)}"


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_this_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file that calls bright faces happy and dark ones neutral."""
    return write_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture
def classifier(tiny_model: Path) -> EmotionClassifier:
    return EmotionClassifier.load(tiny_model)


@pytest.fixture(scope="session")
def clip() -> Path:
    """One second of a moving face, 320x240."""
    return ASSETS / "clip.mp4"


@pytest.fixture(scope="session")
def face_picture() -> Path:
    """One smiling face, 256x256."""
    return ASSETS / "face.jpg"


@pytest.fixture(scope="session")
def portrait(face_picture: Path) -> Image:
    image = cv2.imread(str(face_picture))
    assert image is not None
    return np.asarray(image, dtype=np.uint8)


@pytest.fixture
def yunet() -> Path:
    """Where a developer keeps the detector's file; it is not part of the project."""
    import os

    path = Path(os.environ.get("EDGEINFER_TEST_YUNET", ""))
    if not path.is_file():
        pytest.skip("set EDGEINFER_TEST_YUNET to a face_detection_yunet ONNX file to run this test")
    return path
