"""Tests of the documentation: links, generated tables, the README script, completeness of the reference."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IGNORED_FOLDERS = {".venv", ".venv-dev", ".venv-wheel", "build"}
DOCUMENTS = sorted(p for p in ROOT.rglob("*.md") if not IGNORED_FOLDERS & set(p.relative_to(ROOT).parts))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_exist(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (path.parent / t).exists()]
    assert missing == []


def heading_anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub generates for the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_anchor_links_exist(path: Path) -> None:
    links = re.findall(r"\]\(([^)#:]*)#([^)]+)\)", path.read_text(encoding="utf-8"))
    missing = [(to, name) for to, name in links if name not in heading_anchors(path.parent / to if to else path)]
    assert missing == []


def test_commands_install_from_the_clone() -> None:
    blocks = re.compile(r"^```\w*sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
    shell = "".join(block for path in DOCUMENTS for block in blocks.findall(path.read_text(encoding="utf-8")))
    installing = [line for line in shell.splitlines() if "pip install" in line]
    assert len(installing) > 5
    assert [line for line in installing if re.search(r"install '?edgeinfer", line)] == []


def test_layout_names_every_subpackage() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for package in ("edgeinfer", "train/edgeinfer_train", "export/edgeinfer_export"):
        part = re.search(rf"^{package}/ .*\n((?:  .*\n)+)", text, re.MULTILINE)
        assert part is not None
        listed = set(re.findall(r"^  (\w+)/", part[1], re.MULTILINE))
        assert listed == {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}


def test_opencv_is_required_in_the_same_versions_everywhere() -> None:
    texts = (p.read_text(encoding="utf-8") for p in (*DOCUMENTS, *(ROOT / "edgeinfer").rglob("*.py")))
    named = {bound for text in texts for bound in re.findall(r"opencv-python(?:-headless)?(>=[\d.]+,<\d+)", text)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert named == {line.removeprefix("opencv-python-headless") for line in project["dependencies"] if "cv" in line}


@pytest.mark.parametrize("path", [ROOT / "docs" / "data.md", ROOT / "export" / "README.md"], ids=lambda p: p.stem)
def test_imported_modules_and_names_exist(path: Path) -> None:
    """Check the imports of documented programs that need data or minutes of training to run."""
    imports = re.findall(r"^from (edgeinfer_\S+) import (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert imports
    for module, names in imports:
        spec = importlib.util.find_spec(module)
        assert spec is not None, module
        source = Path(str(spec.origin)).read_text(encoding="utf-8")
        assert [name for name in names.split(", ") if not re.search(rf"\b{name}\b", source)] == []


def test_tables_match_the_benchmark_results() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "tables.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_readme_script_runs(clip: Path) -> None:
    script = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[0]
    done = subprocess.run(
        [sys.executable, "-c", script.replace("clip.mp4", str(clip))], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) >= 20
    assert lines[0].startswith("1 (")
    assert " happy " in lines[0]


def test_reference_lists_every_option() -> None:
    from typer.main import get_command

    from edgeinfer.cli.app import app

    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    commands = get_command(app).commands  # type: ignore[attr-defined]
    parameters = [*commands["run"].params, *commands["bench"].params]
    options = {name for parameter in parameters for name in parameter.opts if name.startswith("--")}
    assert {name for name in options if name not in text} == set()


def test_published_model_cards_match_the_bundled_files() -> None:
    from edgeinfer import bundled_models, read_card
    from edgeinfer.model.markdown import markdown
    from edgeinfer.model.verify import verify

    for path in bundled_models():
        assert (ROOT / "models" / f"{path.stem}.md").read_text(encoding="utf-8") == markdown(read_card(path))
        assert len(verify(path)) == 3
