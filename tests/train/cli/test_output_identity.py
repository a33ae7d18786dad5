"""Outputs of the training commands that would overwrite an input are refused before any work starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FILES = (
    "run/model.keras",
    "run/metrics.json",
    "run/curves.png",
    "run/model.onnx",
    "run/model.json",
    "run/notes.json",
    "data/dataset.json",
    "data/votes.csv",
    "data/mistakes.png",
    "data/test/happy/1.png",
    "source/happy/1.png",
    "prior.json",
    "other.onnx",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run, data and source folders whose files contain their own names."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "link.png").symlink_to("data/test/happy/1.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param("evaluate run data --json run/metrics.json", id="metrics"),
        pytest.param("evaluate run/model.keras data --json run/../run/model.keras", id="model"),
        pytest.param("evaluate run data --json data/votes.csv", id="votes"),
        pytest.param("evaluate run data --mistakes data/test/happy/1.png", id="face"),
        pytest.param("evaluate run data --mistakes link.png", id="link-to-a-face"),
        pytest.param("evaluate run data --prior prior.json --json prior.json", id="prior"),
        pytest.param("evaluate run data --json new.png --mistakes ./new.png", id="both-outputs"),
        pytest.param("compare run --picture run/curves.png", id="curves"),
        pytest.param("compare run --json run/model.json", id="export-report"),
        pytest.param("compare run --onnx other.onnx --json other.onnx", id="exported-model"),
        pytest.param("prepare folder source --out new --summary source/happy/1.png", id="source-picture"),
        pytest.param("prepare folder source --out data --summary data/test/happy/1.png", id="prepared-face"),
    ],
)
def test_output_that_is_an_input_exits_with_2(folder: Path, command: Callable[..., Any], arguments: str) -> None:
    done = command(*arguments.split())
    assert done.code == 2
    assert "same file" in done.err
    assert done.err.count("\n") == 1
    assert {name: (folder / name).read_text() for name in FILES} == {name: name for name in FILES}


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param("evaluate run data --json run/notes.json", id="report-in-the-run"),
        pytest.param("evaluate run data --mistakes data/mistakes.png", id="picture-in-the-data"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_earlier_result_beside_the_inputs_may_be_replaced(command: Callable[..., Any], arguments: str) -> None:
    done = command(*arguments.split())
    assert done.code != 2  # the dummy files are refused later
    assert "same file" not in done.err
