"""Tests of requirements that all examples share."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import edgeinfer

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_example_is_documented_and_uses_only_the_public_api(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstring = ast.get_docstring(tree) or ""
    assert "\nNeeds: " in docstring
    assert "\nRun: " in docstring
    used: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert not [alias.name for alias in node.names if alias.name.startswith("edgeinfer.")]
        if isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("edgeinfer")
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "edgeinfer":
            used.add(node.attr)
    assert used <= set(edgeinfer.__all__)


def test_readme_lists_every_example() -> None:
    table = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert len(FILES) >= 7
    assert [path.name for path in FILES if f"({path.relative_to(EXAMPLES)})" not in table] == []
