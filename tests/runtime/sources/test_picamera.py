"""CSI camera on a fake picamera2 that returns padded planes, as the real one does."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

from edgeinfer import CapabilityError, SourceError, SourceNotFoundError, UsageError, open_source
from edgeinfer.results import Frame
from edgeinfer.sources.base import Capture
from edgeinfer.sources.live import LiveSource
from edgeinfer.sources.picamera import open_picamera

PADDING = 16
BLUE = np.array([200, 60, 20], np.uint8)


class FakeCamera:
    """Camera that returns three frames, then fails.

    Attributes:
        instances: Every camera created.
    """

    cameras = 1
    instances: ClassVar[list[FakeCamera]] = []
    fails_to_start = False

    def __init__(self, number: int) -> None:
        self.number, self.frames, self.closed = number, 0, False
        self.configured: dict[str, Any] = {}
        FakeCamera.instances.append(self)

    @classmethod
    def global_camera_info(cls) -> list[dict[str, Any]]:
        return [{"Model": "imx708"}] * cls.cameras

    def create_video_configuration(self, **streams: Any) -> dict[str, Any]:
        return streams

    def configure(self, configuration: dict[str, Any]) -> None:
        self.configured = configuration

    def start(self) -> None:
        if self.fails_to_start:
            raise RuntimeError("device busy")

    def capture_array(self, stream: str) -> Any:
        self.frames += 1
        if self.frames > 3:
            raise RuntimeError("camera timed out")
        width, height = self.configured[stream]["size"]
        picture = np.zeros((height, width + PADDING, 3), np.uint8) + BLUE
        return cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)

    def stop(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def picamera2(monkeypatch: pytest.MonkeyPatch) -> type[FakeCamera]:
    module = ModuleType("picamera2")
    module.Picamera2 = FakeCamera  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", module)
    monkeypatch.setattr(FakeCamera, "instances", [])
    return FakeCamera


def test_padding_of_the_low_resolution_stream_is_removed(picamera2: type[FakeCamera]) -> None:
    received: list[Frame] = []
    with (
        open_picamera("csi:", Capture(size_wh=(64, 48), fps=15)) as source,
        pytest.raises(SourceError, match="timed out"),
    ):
        received.extend(source)
    assert [frame.index for frame in received] == [0, 1, 2]
    assert {frame.image.shape for frame in received} == {(48, 64, 3)}
    np.testing.assert_allclose(received[0].image[5, 63].astype(int), BLUE.astype(int), atol=3)
    camera = picamera2.instances[0]
    assert camera.configured["controls"] == {"FrameRate": 15}
    assert camera.closed


@pytest.mark.usefixtures("picamera2")
def test_timestamps_count_from_the_arrival_of_the_first_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    arrivals = iter([107.0, 107.5, 108.0])
    received: list[Frame] = []
    with open_picamera("csi:", Capture(size_wh=(64, 48))) as source:
        monkeypatch.setattr(time, "monotonic", lambda: next(arrivals))
        with pytest.raises(SourceError):
            received.extend(source)
    assert [frame.timestamp_s for frame in received] == [0.0, 0.5, 1.0]
    assert [frame.captured_s for frame in received] == [107.0, 107.5, 108.0]


@pytest.mark.usefixtures("picamera2")
def test_open_source_returns_a_live_source() -> None:
    with open_source("csi:0") as source:
        assert isinstance(source, LiveSource)
        assert source.name == "csi:0"
        assert next(iter(source)).image.shape == (480, 640, 3)


@pytest.mark.parametrize(
    ("address", "capture", "error"),
    [
        ("csi:x", Capture(), UsageError),
        ("csi:1", Capture(), SourceNotFoundError),
        ("csi:", Capture(size_wh=(65, 48)), UsageError),
    ],
    ids=["not-a-number", "no-such-camera", "odd-width"],
)
@pytest.mark.usefixtures("picamera2")
def test_invalid_addresses_and_sizes_are_rejected(address: str, capture: Capture, error: type[Exception]) -> None:
    with pytest.raises(error):
        open_picamera(address, capture)


def test_camera_in_use_by_another_program_is_closed_again(
    picamera2: type[FakeCamera], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picamera2, "fails_to_start", True)
    with pytest.raises(SourceError, match="device busy; another program may be using the camera"):
        open_picamera("csi:", Capture())
    assert picamera2.instances[0].closed


def test_picamera2_built_for_an_older_numpy_is_reported_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "picamera2.py").write_text("raise ValueError('numpy.dtype size changed')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "picamera2", raising=False)
    with pytest.raises(CapabilityError, match=r"numpy\.dtype size changed; .* pip install .* simplejpeg"):
        open_picamera("csi:", Capture())


def test_missing_picamera2_is_reported_with_the_command_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(CapabilityError, match="apt install python3-picamera2"):
        open_picamera("csi:", Capture())
