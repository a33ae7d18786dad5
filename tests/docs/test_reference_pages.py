"""Tables of the reference agree with the source code."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import get_args

import edgeinfer
from edgeinfer.cli.batch import SOME_FAILED
from edgeinfer.plugins import Group

ROOT = Path(__file__).parents[2]


def table_rows(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without its head."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8").partition(f"# {heading}\n")[2]
    rows = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert rows is not None
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in rows[0].splitlines()[2:]]


def test_metrics_are_those_of_the_preview() -> None:
    source = (ROOT / "edgeinfer" / "outputs" / "preview" / "prometheus.py").read_text(encoding="utf-8")
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    named = [call.args[:3] for call in calls if getattr(call.func, "id", "") == "_metric"]
    metrics = [[ast.literal_eval(argument) for argument in arguments] for arguments in named]
    assert len(metrics) > 10
    assert sorted(table_rows("preview.md", "Metrics")) == sorted([f"`{name}`", *rest] for name, *rest in metrics)


def test_entry_point_groups_are_those_of_the_plugins() -> None:
    groups = [row[0] for row in table_rows("plugins.md", "Plug-ins")]
    assert sorted(groups) == sorted(f"`edgeinfer.{group}`" for group in get_args(Group))


def test_topics_are_those_of_mqtt() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "edgeinfer" / "outputs").glob("mqtt*.py"))
    topics = re.findall(r'"(?:\{[\w.]+\.base\}/|(?=homeassistant/))([^"]+)"', source)
    section = (ROOT / "docs" / "mqtt.md").read_text(encoding="utf-8").partition("## Topics\n")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| `([^`]+)`", section, re.MULTILINE)
    assert sorted(documented) == sorted({re.sub(r"\{.*?\}", "<id>", topic) for topic in topics})


def test_exit_codes_are_those_of_the_errors() -> None:
    codes = {row[0] for row in table_rows("reference.md", "Exit codes")}
    errors = {getattr(edgeinfer, name) for name in edgeinfer.__all__ if name.endswith("Error")}
    assert {str(error.exit_code) for error in errors} | {"0", str(SOME_FAILED), "130, 143", "129"} == codes


def test_license_inventory_covers_every_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    rows = table_rows("licenses.md", "Packages that are installed")
    extras = {f"extra `{name}`" for name in project["optional-dependencies"] if name != "dev"}
    assert {needed_by for _, _, needed_by in rows} == {"runtime", *extras}
    assert [package for package, name, _ in rows if name in ("see its license file", "Freely Distributable")] == []
