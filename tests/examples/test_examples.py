"""Tests of requirements that all examples share."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import edgeinfer

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
FILES = sorted(EXAMPLES.rglob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script_describes_its_requirements(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert "\nNeeds: " in docstring
    assert "\nRun: " in docstring


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_example_uses_only_the_public_api(path: Path) -> None:
    used: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not [alias.name for alias in node.names if alias.name.startswith("edgeinfer.")]
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] != "edgeinfer"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "edgeinfer":
            used.add(node.attr)
    assert used <= set(edgeinfer.__all__)


def test_readme_lists_every_example() -> None:
    table = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    files = [path.relative_to(EXAMPLES) for path in EXAMPLES.rglob("*") if path.is_file()]
    shown = {path.parts[0] for path in files if "__pycache__" not in path.parts} - {"README.md"}
    assert len(shown) >= 6
    assert [name for name in shown if f"({name}" not in table] == []
