"""The documents keep their promises: links lead somewhere, tables are the measured ones, the snippet runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HIDDEN = {".venv", ".venv-dev", ".venv-wheel", "build"}
DOCUMENTS = sorted(p for p in ROOT.rglob("*.md") if not HIDDEN & set(p.relative_to(ROOT).parts))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (path.parent / t).exists()]
    assert missing == []


def test_tables_are_the_measured_ones() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "tables.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_snippet_of_the_readme_runs(clip: Path) -> None:
    snippet = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[0]
    done = subprocess.run(
        [sys.executable, "-c", snippet.replace("clip.mp4", str(clip))], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) >= 20
    assert lines[0].startswith("1 (")
    assert " happy " in lines[0]


def test_the_reference_names_every_option_and_exit_code() -> None:
    from typer.main import get_command

    from edgeinfer.cli.app import app

    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    commands = get_command(app).commands  # type: ignore[attr-defined]
    parameters = [*commands["run"].params, *commands["bench"].params]
    options = {name for parameter in parameters for name in parameter.opts if name.startswith("--")}
    assert {name for name in options if name not in text} == set()
    assert {code for code in ("0", "1", "2", "3", "4", "5", "6", "7") if f"| {code} |" not in text} == set()


def test_the_guide_of_the_export_names_every_option() -> None:
    from typer.main import get_command

    from edgeinfer_export.cli.app import app

    text = (ROOT / "export" / "README.md").read_text(encoding="utf-8")
    for command in get_command(app).commands.values():  # type: ignore[attr-defined]
        options = {name for parameter in command.params for name in parameter.opts if name.startswith("--")}
        assert {name for name in options - {"--help"} if name not in text} == set()


def test_the_card_beside_the_bundled_model_is_what_its_file_says() -> None:
    from edgeinfer import bundled_models, read_card
    from edgeinfer.model.markdown import markdown
    from edgeinfer.model.verify import verify

    for path in bundled_models():
        assert (ROOT / "models" / f"{path.stem}.md").read_text(encoding="utf-8") == markdown(read_card(path))
        assert len(verify(path)) == 3
