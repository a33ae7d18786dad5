"""Model card as Markdown."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from edgeinfer import ModelError, read_card
from edgeinfer.model.markdown import markdown
from tools.tiny_model import metadata, write_model

REPORT: dict[str, Any] = {
    "source": "first", "published": "int8", "rule": "the fastest", "machine": "abacus", "count": 1234,
    "dataset": "Toy", "split": "valid", "protocol": "by place", "failed": {"float16": "no such type"},
    "variants": [
        {
            "name": "int8", "size_bytes": 4321, "accuracy": 0.8123, "macro_f1": 0.7, "agreement": 0.99,
            "change": {"accuracy": -0.004, "accuracy_interval": [-0.006, -0.002], "macro_f1": 0.0,
                       "macro_f1_interval": [0.0, 0.0]},
            "p50_ms": 0.5, "p95_ms": 0.7, "ratio": 0.52, "float_nodes": ["conv_4"], "outcome": "published",
        }
    ],
    "verdict": {"verified": "on 256 validation faces", "max_relative_difference": 2e-7, "tolerance": 1e-3,
                "batch_difference": 0.0},
    "opset": 17, "converter": "by hand", "calibration": {"method": "minmax", "faces": 512, "seed": 3},
    "confidence": {"error_before": 0.116, "error_after": 0.02},
    "training": {"backbone": "edgenet", "label_mode": "argmax", "commit": "abc",
                 "settings": {"epochs": 40, "weights": "none", "augment": {"flip": True}}},
    "limits": ["few faces"], "warnings": ["look out"],
}  # fmt: skip


def render(path: Path, report: Any = None, **changes: str) -> str:
    keys = metadata(**changes)
    if report is not None:
        keys["edgeinfer.report"] = report if isinstance(report, str) else json.dumps(report)
    return markdown(read_card(write_model(path / "m.onnx", keys=keys)))


def test_card_contains_the_whole_report(tmp_path: Path) -> None:
    text = render(tmp_path, REPORT)
    for expected in (
        "# m\n",
        "| int8 | 4 kB | 0.8123 | -0.0040 [-0.0060, -0.0020] |",
        "0.50 ms | 0.70 ms | 0.52 | published; float32: conv_4 |",
        "1,234 faces of Toy valid, by place",
        "Selection: the fastest.",
        "- float16: no such type",
        "on 256 validation faces",
        "minmax over 512 training faces (seed 3)",
        "0.116 at temperature 1 and 0.020 at the fitted temperature",
        "commit abc",
        'epochs = 40\nweights = "none"\n\n[augment]\nflip = true',
        "- few faces\n- Look out.",
        "## Prohibited use\n\nanything else",
    ):
        assert expected in text


def test_commit_with_later_changes_is_not_named(tmp_path: Path) -> None:
    text = render(tmp_path, {**REPORT, "training": {**REPORT["training"], "commit": "abc-dirty"}})
    assert "Labels: argmax.\n" in text
    assert "abc" not in text


def test_model_without_report_has_a_short_card(tmp_path: Path) -> None:
    text = render(tmp_path)
    assert "## Figures\n\n| figure | value |\n| --- | --- |\n| accuracy | 1.0 |" in text
    assert "## Variants" not in text


@pytest.mark.parametrize(
    "report",
    [
        pytest.param("[", id="invalid-json"),
        pytest.param("[1]", id="list"),
        pytest.param('{"variants": 3}', id="number-for-a-list"),
        pytest.param(json.dumps({**REPORT, "verdict": None}), id="null-verdict"),
        pytest.param(json.dumps({**REPORT, "variants": [{}]}), id="empty-variant"),
        pytest.param(json.dumps(REPORT).replace("4321", "1" + 400 * "0"), id="size-of-401-digits"),
        pytest.param(json.dumps(REPORT).replace("4321", "1e400"), id="size-infinite"),
        pytest.param(json.dumps(REPORT).replace("4321", "true, true"), id="not-json"),
        pytest.param(json.dumps(REPORT).replace("4321", '"large"'), id="size-text"),
        pytest.param(json.dumps(REPORT).replace("1234", "NaN"), id="count-nan"),
        pytest.param(json.dumps({**REPORT, "training": {**REPORT["training"], "settings": 7}}), id="settings-number"),
        pytest.param(json.dumps({**REPORT, "limits": 7}), id="limits-number"),
    ],
)
def test_damaged_report_raises_model_error(tmp_path: Path, report: str) -> None:
    with pytest.raises(ModelError, match="damaged"):
        render(tmp_path, report)


def test_control_characters_and_table_separators_are_replaced(tmp_path: Path) -> None:
    text = render(tmp_path, dataset="a\x1b[2Jb|c\nd", license="x\x07")
    assert "| training data set | a [2Jb/c d |" in text
    assert all(character.isprintable() or character == "\n" for character in text)


@pytest.mark.parametrize("value", [None, 0, -1, 1e300, True, "text", [], [1], {}, {"a": {}}], ids=repr)
@pytest.mark.parametrize("key", [*REPORT, "recall"])
def test_any_value_in_the_report_gives_a_card_or_a_model_error(tmp_path: Path, key: str, value: Any) -> None:
    with contextlib.suppress(ModelError):
        assert render(tmp_path, {**REPORT, key: value}, metrics=json.dumps({key: value})).startswith("# m")
