"""Programs of the guide to batches, which read Parquet results."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.patience import PATIENCE

GUIDE = Path(__file__).parents[2] / "docs" / "batch.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, clip: Path, face_picture: Path) -> Path:
    """Folder with the results of a video and a picture, next to the files that a batch with two formats writes."""
    folder = tmp_path_factory.mktemp("batch")
    for source, name in ((clip, "interviews/01.mp4"), (face_picture, "photos/face.jpg")):
        (folder / "in" / name).parent.mkdir(parents=True)
        shutil.copy(source, folder / "in" / name)
    command = [sys.executable, "-m", "edgeinfer", "batch", "in", "--out", "results", "--workers", "1", "--quiet"]
    subprocess.run([*command, "--format", "parquet", "--format", "csv", "--annotate-pictures"], cwd=folder, check=True)
    return folder


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: re.findall(r"^import (\w+)", program, re.M)[-1])
def test_program_reads_the_results(results: Path, program: str) -> None:
    for package in re.findall(r"^import (\w+)", program, re.MULTILINE):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=results, capture_output=True, text=True, check=False, timeout=60 * PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
    if "groupby" in program or "group_by" in program:
        assert "interviews/01.mp4" in done.stdout
        assert "photos/pictures" in done.stdout


def test_guide_has_a_program_for_each_library() -> None:
    assert [
        name for name in ("pandas", "polars", "duckdb", "pyarrow") if not any(name in text for text in PROGRAMS)
    ] == []
