"""The commands of the quickstart, typed one after the other in an empty folder."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path

import pytest

from tools.cli import edgeinfer

PAGE = (Path(__file__).parents[2] / "docs" / "quickstart.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line, comments=True) for line in re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S)[0].splitlines()
]
QUICK = {"EDGEINFER_MAX_FRAMES": "5", "EDGEINFER_BATCH_MAX_FRAMES": "5", "EDGEINFER_MODE": "file"}
"""Settings that shorten the commands without a change of their outputs' names."""


def test_page_has_ten_commands() -> None:
    assert len(COMMANDS) == 10
    assert {command[0] for command in COMMANDS} == {"edgeinfer"}


@pytest.mark.slow
def test_commands_run_in_an_empty_folder(tmp_path: Path) -> None:
    for _, *arguments in COMMANDS:
        words = ["0" if word == "8080" else "3" if word == "200" else word for word in arguments]
        done = edgeinfer(*words, cwd=tmp_path, env=QUICK)
        assert done.returncode == 0, (words, done.stderr)
        assert done.stdout
    rows = csv.DictReader((tmp_path / "faces.csv").read_text(encoding="utf-8").splitlines())
    quoted = csv.DictReader(re.findall(r"^```csv\n(.*?)^```", PAGE, re.M | re.S)[0].splitlines())
    assert rows.fieldnames == quoted.fieldnames
    assert next(rows)["label"] == next(quoted)["label"]
    assert json.loads((tmp_path / "faces.jsonl").read_text(encoding="utf-8").splitlines()[0])["type"] == "header"
    assert {path.name for path in (tmp_path / "results").iterdir()} >= {"batch.csv", "demo.jsonl", "faces"}
    assert (tmp_path / "report.html").stat().st_size > 10_000
