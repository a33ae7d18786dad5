"""Plugins of another package, which is installed in a folder of the test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgeinfer import CapabilityError, UsageError, load_pipeline, open_sink, open_source
from edgeinfer.plugins import plugin, plugin_names
from edgeinfer.url import scheme

MODULE = """
from pathlib import Path
import numpy as np
from edgeinfer import Box, Frame, SourceError

class Countdown:
    live = False; continuous = True; fps = 10.0; frame_count = 3; dropped = skipped = 0
    def __init__(self, address, capture):
        if address == "countdown:never":
            raise SourceError("no countdown available")
        self.name, self.capture = address, capture
    def __iter__(self):
        for index in range(3):
            yield self.capture.turned(Frame(np.full((40, 60, 3), 250, np.uint8), index, index / 10))
    def __enter__(self):
        return self
    def __exit__(self, *_):
        pass

class CentreDetector:
    def __init__(self, model):
        self.model = model
    def detect(self, image):
        return [Box(10, 10, 20, 20)]

class CountSink:
    def __init__(self, target):
        self.path, self.count = Path(target), 0
    def start(self, header, summary):
        pass
    def write(self, frame, result):
        self.count += len(result.faces)
    def __enter__(self):
        return self
    def __exit__(self, *_):
        self.path.write_text(str(self.count))
"""
ENTRIES = """
[edgeinfer.sources]
countdown = example_plugins:Countdown
broken = example_plugins:Missing
[edgeinfer.detectors]
middle = example_plugins:CentreDetector
[edgeinfer.sinks]
tally = example_plugins:CountSink
"""


@pytest.fixture
def plugin_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    info = folder / "example_plugins-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "example_plugins.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: example-plugins\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
    return folder


@pytest.mark.usefixtures("plugin_package")
def test_plugins_are_found_by_name() -> None:
    assert plugin_names("sources") == ("broken", "countdown")
    assert plugin("detectors", "other") is None
    with open_source("countdown:3") as source:
        assert [frame.index for frame in source] == [0, 1, 2]
    assert load_pipeline(detector="middle").detector.detect(None)  # type: ignore[arg-type]
    with pytest.raises(CapabilityError, match=r"plugin .broken. cannot be imported"):
        open_source("broken:1")


@pytest.mark.usefixtures("plugin_package")
def test_command_line_uses_plugins(tmp_path: Path) -> None:
    out = tmp_path / "x.tally"
    command = [sys.executable, "-m", "edgeinfer", "run", "countdown:3", "--detector", "middle", "--rotate", "90"]
    subprocess.run([*command, "--quiet", "--out", str(out)], check=True, timeout=60)
    assert out.read_text() == "3"
    done = subprocess.run([*command[:4], "countdown:never"], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (4, "edgeinfer: no countdown available\n")


@pytest.mark.usefixtures("plugin_package")
def test_error_for_an_unknown_name_lists_plugins() -> None:
    with pytest.raises(UsageError, match="haar, yunet, none, middle"):
        load_pipeline(detector="dlib")
    with pytest.raises(UsageError, match="tally, or - for stdout"):
        open_sink("x.xlsx")


@pytest.mark.parametrize(
    ("address", "expected"),
    [("ndi:studio", "ndi"), ("RTSP://host/a", "rtsp"), ("clip.mp4", None), ("/a:b/c", None), (":x", None)],
)
def test_address_scheme(address: str, expected: str | None) -> None:
    assert scheme(address) == expected
