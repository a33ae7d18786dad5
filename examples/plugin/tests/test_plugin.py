"""The three parts, found by name as `edgeinfer` finds them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from edgeinfer_plugin.detector import LargestFaceDetector

import edgeinfer


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Return a file with 11 frames, the first of which is white."""
    array = np.zeros((11, 40, 60, 3), np.uint8)
    array[0] = 255
    np.save(tmp_path / "frames.npy", array)
    return tmp_path / "frames.npy"


def test_source_yields_the_frames(frames: Path) -> None:
    with edgeinfer.open_source(f"npy:{frames}", capture=edgeinfer.Capture(fps=10, rotate="90")) as source:
        found = list(source)
    assert [frame.timestamp_s for frame in found] == [index / 10 for index in range(11)]
    assert found[0].image.shape == (60, 40, 3)
    assert [frame.image.max() for frame in found[:2]] == [255, 0]


@pytest.mark.parametrize("content", ["", "no array"])
def test_source_refuses_other_files(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.npy"
    path.write_text(content)
    with pytest.raises(edgeinfer.SourceError, match=r"x\.npy is not a \.npy file"):
        edgeinfer.open_source(f"npy:{path}")
    np.save(path, np.zeros((3, 4)))
    with pytest.raises(edgeinfer.SourceError, match=r"expected \(N, H, W, 3\) uint8"):
        edgeinfer.open_source(f"npy:{path}")
    with pytest.raises(edgeinfer.SourceNotFoundError):
        edgeinfer.open_source(f"npy:{tmp_path / 'none.npy'}")


def test_detector_returns_the_largest_face() -> None:
    class Faces:
        def detect(self, image: object) -> list[edgeinfer.Box]:
            return [edgeinfer.Box(0, 0, 10, 10), edgeinfer.Box(20, 0, 30, 30), edgeinfer.Box(60, 0, 20, 20)]

    detector = LargestFaceDetector(None)
    detector._cascade = Faces()
    assert detector.detect(np.zeros((40, 90), np.uint8)) == [edgeinfer.Box(20, 0, 30, 30)]
    with pytest.raises(edgeinfer.UsageError):
        edgeinfer.load_pipeline(detector="largest", detector_model="x.onnx")


def test_run_with_source_and_output(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "seconds.json"
    command = [sys.executable, "-m", "edgeinfer", "run", f"npy:{frames}", "--fps", "10", "--detector", "none"]
    done = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"wrote {out}" in done.stdout
    seconds = json.loads(out.read_text())["seconds"]
    assert set(seconds) == set(edgeinfer.LABELS)
    assert sum(seconds.values()) == pytest.approx(1.0)


def test_missing_folder_is_refused_before_the_run(frames: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(edgeinfer.OutputError, match="the folder does not exist"),
        edgeinfer.open_source(f"npy:{frames}") as source,
    ):
        edgeinfer.run(source, edgeinfer.load_pipeline(), [edgeinfer.open_sink(str(tmp_path / "none" / "x.json"))])
