"""The template of a plugin package, installed with pip: its own tests, and its parts on real clips."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from edgeinfer.results import Image
from tools.world import World, texture

pytest.importorskip("hatchling", reason="hatchling, needed to build the package offline, is not installed")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def site(examples: Path, run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the package is installed."""
    folder = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation"]
    done = run("-m", "pip", "install", *options, "--target", folder, examples / "plugin")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (folder / "edgeinfer_plugin").glob("*.py")} == {
        "__init__.py", "source.py", "detector.py", "sink.py",
    }  # fmt: skip
    return folder


@pytest.fixture
def two_faces(portrait: Image, tmp_path: Path) -> Path:
    """Return a clip with a small face on the left and a large one on the right."""
    heads = {"small": (portrait, lambda _: (110.0, 130.0, 60.0)), "large": (portrait, lambda _: (330.0, 130.0, 120.0))}
    path = tmp_path / "two.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (480, 270))
    for _, image, _ in World(heads, texture(1)).play(1.0, fps=25):
        writer.write(image)
    writer.release()
    return path


def track_widths(path: Path) -> dict[int, int]:
    """Return the width in pixels of each track's last box."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    frames = [line["faces"] for line in lines if line["type"] == "frame"]
    return {face["track"]: face["box"][2] for faces in frames for face in faces}


def test_tests_of_the_template_pass(examples: Path, site: Path, run: Run) -> None:
    tests = examples / "plugin" / "tests"
    done = run("-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", tests, PYTHONPATH=site)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_detector_and_output_work_with_a_clip(two_faces: Path, site: Path, run: Run, tmp_path: Path) -> None:
    found = {}
    for name in ("haar", "largest"):
        out, seconds = tmp_path / f"{name}.jsonl", tmp_path / f"{name}.json"
        command = ["-m", "edgeinfer", "run", two_faces, "--detector", name, "--out", out, "--out", seconds, "--quiet"]
        done = run(*command, PYTHONPATH=site)
        assert (done.returncode, done.stderr) == (0, "")
        found[name] = track_widths(out), json.loads(seconds.read_text())["seconds"]["happy"]
    assert len(found["haar"][0]) == 2
    (width,) = found["largest"][0].values()
    assert width == pytest.approx(max(found["haar"][0].values()), rel=0.1)
    assert found["haar"][1] == pytest.approx(1.92, abs=0.2)
    assert found["largest"][1] == pytest.approx(0.96, abs=0.1)
