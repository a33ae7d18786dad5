"""The best of many runs within a budget."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgeinfer_export.publish.best as module
from edgeinfer.errors import UsageError
from edgeinfer.expression.classifier import EmotionClassifier
from edgeinfer_export.errors import ExportError
from edgeinfer_export.options import ExportOptions
from edgeinfer_export.publish.best import Budget, export_best
from edgeinfer_export.selection.study import study
from edgeinfer_train.networks.model import MODEL_FILE, save_model

from ..conftest import LABELS, info, used_core

PLAIN = ExportOptions()


@pytest.fixture
def ranked(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Accuracy by backbone, in place of what the untrained networks measure, and one millisecond for all."""
    accuracies = {"edgenet": 0.8, "edgenet-sep": 0.9}

    def rigged(source: Any, *arguments: Any, **options: Any) -> Any:
        found = study(source, *arguments, **options)
        candidates = tuple(
            dataclasses.replace(
                c,
                scores=dataclasses.replace(c.scores, accuracy=accuracies[source.info.backbone]),  # type: ignore[type-var]
            )
            for c in found.candidates
        )
        return dataclasses.replace(found, candidates=candidates, times_ms=np.ones((len(candidates), 3)))

    monkeypatch.setattr(module, "study", rigged)
    return accuracies


def test_the_most_accurate_run_is_exported_and_the_others_are_named(
    runs: dict[str, Path], small_data: Path, out: Path, ranked: dict[str, float]
) -> None:
    report, passed = export_best(list(runs.values()), out, data=small_data, options=PLAIN)
    assert report.source == str(runs["edgenet-sep"] / MODEL_FILE)
    assert report.rule == "the most accurate form of all runs"
    assert [(p.source, p.form, p.reason) for p in passed] == [
        (str(runs["edgenet"] / MODEL_FILE), "fp32", "less accurate: 0.8000")
    ]
    assert EmotionClassifier.load(out).card.report["training"]["backbone"] == "edgenet-sep"


def test_a_budget_passes_over_what_is_too_large_or_too_slow(
    runs: dict[str, Path], small_data: Path, out: Path, ranked: dict[str, float]
) -> None:
    ranked["edgenet"] = 0.99
    sizes = {name: (run / MODEL_FILE).stat().st_size for name, run in runs.items()}
    assert sizes["edgenet-sep"] < sizes["edgenet"]
    report, passed = export_best(list(runs.values()), out, data=small_data, options=PLAIN, budget=Budget(max_mb=0.12))
    assert report.source == str(runs["edgenet-sep"] / MODEL_FILE)
    assert out.stat().st_size <= 120_000
    assert [p.reason.split(" MB")[1] for p in passed] == [", more than 0.12"]
    before = out.read_bytes()
    with pytest.raises(ExportError, match=r"nothing fits.* takes 1\.00 ms, more than 0\.5"):
        export_best(list(runs.values()), out, data=small_data, options=PLAIN, budget=Budget(max_ms=0.5))
    assert out.read_bytes() == before
    assert sorted(path.suffix for path in out.parent.iterdir()) == [".json", ".md", ".onnx"]


def test_runs_that_cannot_be_exported_or_compared_are_passed_over(
    runs: dict[str, Path], small_data: Path, out: Path, tmp_path: Path, ranked: dict[str, float]
) -> None:
    other = tmp_path / "other.keras"
    save_model(used_core("edgenet"), info(labels=(*LABELS[:6], "contempt")), other)
    report, passed = export_best([runs["edgenet"], other, tmp_path / "missing"], out, data=small_data, options=PLAIN)
    assert report.source == str(runs["edgenet"] / MODEL_FILE)
    assert [Path(p.source).name for p in passed] == ["other.keras", "missing"]
    assert "other labels than the first run" in passed[0].reason
    assert "no model at" in passed[1].reason


def test_without_a_run_there_is_nothing_to_choose_from(small_data: Path, out: Path) -> None:
    with pytest.raises(UsageError, match="no run to choose from"):
        export_best([], out, data=small_data)


@pytest.mark.parametrize("values", [{"max_ms": 0.0}, {"max_mb": -1.0}, {"max_mb": float("nan")}])
def test_a_budget_is_above_zero(values: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="it must be above 0"):
        Budget(**values)
