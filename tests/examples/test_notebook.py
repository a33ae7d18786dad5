"""The notebook: stored without outputs, and run cell by cell as Jupyter does."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
pytest.importorskip("pandas", reason="pandas is not installed")


@pytest.fixture(scope="module")
def cells(examples: Path) -> list[dict[str, Any]]:
    notebook = json.loads((examples / "notebook.ipynb").read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    found: list[dict[str, Any]] = notebook["cells"]
    return found


@pytest.fixture
def figures() -> Iterator[Any]:
    matplotlib.use("agg")
    from matplotlib import pyplot

    pyplot.close("all")
    yield pyplot
    pyplot.close("all")


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Run a cell and return the value of its last expression, None if it ends with a statement or a semicolon."""
    tree = ast.parse(source)
    last = tree.body[-1]
    if not isinstance(last, ast.Expr) or source.rstrip().endswith(";"):
        exec(compile(tree, "cell", "exec"), names)
        return None
    exec(compile(ast.Module(tree.body[:-1], []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_stored_notebook_has_no_outputs(cells: list[dict[str, Any]]) -> None:
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 4
    assert [cell["id"] for cell in code if cell["outputs"] or cell["execution_count"] is not None] == []
    assert "".join(cells[0]["source"]).startswith("# ")
    assert "\nNeeds: " in "".join(cells[0]["source"])


def test_cells_run_in_order(
    cells: list[dict[str, Any]], clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figures: Any
) -> None:
    shutil.copy(clip, tmp_path / "clip.mp4")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    shown = [run_cell("".join(cell["source"]), names) for cell in cells if cell["cell_type"] == "code"]
    result, table = (value for value in shown if value is not None)
    assert "happy" in result._repr_html_()
    assert (table["label"] == "happy").all()
    assert names["summary"].frames == 25
    assert len(figures.get_fignums()) == 2
