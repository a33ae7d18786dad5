"""Names that users type, import and parse, compared with a stored list."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import edgeinfer
from edgeinfer import errors
from edgeinfer.cli.app import app
from tools.cli import edgeinfer as run_command
from tools.contract import CONTRACT, option_names


def test_option_names() -> None:
    assert option_names(app) == CONTRACT["options"]["edgeinfer"]


def test_public_python_names() -> None:
    assert sorted(edgeinfer.__all__) == sorted(CONTRACT["python"])
    assert all(hasattr(edgeinfer, name) for name in edgeinfer.__all__)
    assert set(edgeinfer.__all__) <= set(dir(edgeinfer))
    with pytest.raises(AttributeError, match="has no attribute 'missing'"):
        _ = edgeinfer.missing


def test_exit_codes() -> None:
    assert {name: getattr(errors, name).exit_code for name in CONTRACT["exit_codes"]} == CONTRACT["exit_codes"]


def test_jsonl_and_csv_fields(clip: Path, tmp_path: Path) -> None:
    lines, table = tmp_path / "a.jsonl", tmp_path / "a.csv"
    run_command("run", clip, "--out", lines, "--out", table, "--quiet", "--mode", "live")
    found = {line["type"]: line for line in map(json.loads, lines.read_text().splitlines())}
    schema = CONTRACT["jsonl"]
    assert sorted(found["header"]) == schema["header"]
    assert sorted(found["header"]["model"]) == schema["header.model"]
    assert sorted(found["frame"]) == schema["frame"]
    assert sorted(found["frame"]["faces"][0]) == schema["frame.face"]
    assert sorted(found["source"]) == schema["source"]
    optional = {"reconnects", "skipped"}
    assert sorted({*found["summary"], *optional}) == schema["summary"]
    assert table.read_text().splitlines()[0].split(",") == [*CONTRACT["csv"], *found["header"]["model"]["labels"]]


def test_anonymous_jsonl_fields(clip: Path) -> None:
    done = run_command("run", clip, "--out", "-", "--quiet", "--anonymous")
    found = {line["type"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert sorted(found["minute"]) == CONTRACT["jsonl"]["minute"]
    assert set(found) == {"header", "minute", "summary"}
