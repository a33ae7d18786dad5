"""The JSON Schema of result files: real outputs are valid, and every property of them is described."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.parquet as pq
import pytest

from edgeinfer.outputs.events import Event, event_payload
from edgeinfer.outputs.schema import SCHEMA, source_line, summary_line
from edgeinfer.outputs.summary import RunSummary
from edgeinfer.results import SourceState
from tools.cli import edgeinfer

DOCUMENT: dict[str, Any] = json.loads((files("edgeinfer") / "assets" / "results.schema.json").read_text("utf-8"))
DEFINITIONS = DOCUMENT["$defs"]


def closed(schema: Any) -> Any:
    """Return a schema that also rejects properties without a description."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    extra = {"additionalProperties": False} if "properties" in schema and "additionalProperties" not in schema else {}
    return {key: closed(value) for key, value in schema.items()} | extra


def check(value: Any, definition: str | None = None) -> None:
    """Raise an error if a value does not match the document, or one of its definitions."""
    document = closed(DOCUMENT)
    if definition is not None:
        document = {"$ref": f"#/$defs/{definition}", "$defs": document["$defs"]}
    jsonschema.Draft202012Validator(document).validate(value)


def parsed_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a CSV file with numbers and nulls."""
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield {name: parsed(text) for name, text in row.items()}


def parsed(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or None


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory, clip: Path, face_picture: Path, tiny_model: Path) -> Path:
    """Folder with the results of a clip and a picture in each format."""
    folder = tmp_path_factory.mktemp("outputs")
    formats = ("jsonl", "csv", "parquet")
    run = ("run", "--model", tiny_model, "--detector", "none", "--quiet")
    for source, name, *options in (
        (clip, "clip", "--empty-frames", "--max-frames", "3", "--unknown-below", "0.5"),
        (face_picture, "picture"),
        (clip, "minute", "--anonymous"),
        (clip, "live", "--mode", "live", "--max-frames", "2"),
        (clip, "pose", "--detector", "yunet", "--max-frames", "5"),
        (clip, "empty", "--detector", "haar", "--empty-frames", "--min-face", "200", "--max-frames", "2"),
    ):
        names = formats[:2] if name == "minute" else formats
        targets = [word for suffix in names for word in ("--out", folder / f"{name}.{suffix}")]
        done = edgeinfer(*run, source, *targets, *options)
        assert done.returncode == 0, done.stderr
    assert edgeinfer("report", folder / "clip.jsonl", folder / "picture.jsonl", "--csv", folder / "tracks.csv").stdout
    batch = ("batch", clip, "missing.mp4", "--out", folder / "batch", "--max-frames", "2", "--workers", "1", "--quiet")
    assert edgeinfer(*batch, "--model", tiny_model).returncode == 8
    return folder


def test_schema_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(DOCUMENT)
    assert DEFINITIONS["header"]["properties"]["schema"]["const"] == SCHEMA


@pytest.mark.parametrize("name", ["clip", "picture", "minute", "live", "pose", "empty"])
def test_jsonl_lines_match(outputs: Path, name: str) -> None:
    lines = [json.loads(line) for line in (outputs / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) >= 3
    for line in lines:
        check(line)


@pytest.mark.parametrize("name", ["clip", "picture", "pose", "empty"])
def test_csv_and_parquet_rows_match(outputs: Path, name: str) -> None:
    rows = list(parsed_rows(outputs / f"{name}.csv"))
    assert rows
    for row in rows:
        check(row, "csv_row")
    for row in pq.read_table(outputs / f"{name}.parquet").to_pylist():
        check(row, "parquet_row")


@pytest.mark.parametrize(
    ("path", "definition"),
    [("minute.csv", "minute_row"), ("tracks.csv", "track_row"), ("batch/batch.csv", "batch_row")],
)
def test_table_rows_match(outputs: Path, path: str, definition: str) -> None:
    rows = list(parsed_rows(outputs / path))
    assert rows
    for row in rows:
        check(row, definition)


def test_live_lines_and_events_match() -> None:
    check(source_line(SourceState("stalled", 1.5, "no frame for 5 s")))
    times = {"p50": 1.0, "p95": 2.0}
    summary = RunSummary(2, 1, {"happy": 1}, 1.0, {"decode": times}, times, dropped=1, reconnects=0, skipped=1)
    check(summary_line(summary))
    check(event_payload(Event("changed", 1, 3.2, "happy", 0.91, "neutral", 3.0), "clip.mp4"), "event")


@pytest.mark.parametrize(
    "line",
    [
        pytest.param({"type": "frame", "frame": 0, "time_s": 0.0}, id="missing property"),
        pytest.param({"type": "frame", "frame": -1, "time_s": 0.0, "faces": []}, id="negative frame"),
        pytest.param({"type": "minute", "from_s": 0.0, "to_s": 1.0, "faces": 1, "label_s": {}, "x": 1}, id="extra"),
        pytest.param({"type": "source", "state": "gone", "time_s": 0.0, "detail": ""}, id="unknown state"),
    ],
)
def test_other_lines_do_not_match(line: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check(line)
