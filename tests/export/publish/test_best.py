"""Export of the most accurate variant of several runs within a budget."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import edgeinfer_export.publish.best as best_module
from edgeinfer.errors import UsageError
from edgeinfer.expression.classifier import EmotionClassifier
from edgeinfer_export.convert.source import Source, read_source
from edgeinfer_export.errors import ExportError
from edgeinfer_export.options import Budget, ExportOptions
from edgeinfer_export.publish.best import export_best
from edgeinfer_export.selection.evaluation import Evaluation, evaluate_model
from edgeinfer_train.networks.model import MODEL_FILE, save_model

from ..conftest import LABELS, build_network, make_info

FLOAT32 = ExportOptions()
Evaluations = dict[str, Evaluation]


@pytest.fixture(scope="module")
def evaluations(runs: dict[str, Path], small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluations:
    """Float32 evaluation of each edge network."""
    evaluated = {}
    for run in runs.values():
        source, folder = read_source(run), tmp_path_factory.mktemp("scratch")
        evaluated[source.name] = evaluate_model(
            source, FLOAT32, data=small_data, folder=folder, progress=lambda _: None
        )
    return evaluated


@pytest.fixture
def accuracies(monkeypatch: pytest.MonkeyPatch, evaluations: Evaluations) -> dict[str, float]:
    """Accuracy by backbone that replaces the measured one. Every latency is 1 ms."""
    accuracies = {"edgenet": 0.8, "edgenet-sep": 0.9}

    def evaluate(source: Source, *_: object, **__: object) -> Evaluation:
        evaluation = evaluations[source.name]
        (candidate,) = evaluation.candidates
        assert candidate.scores is not None
        scores = dataclasses.replace(candidate.scores, accuracy=accuracies[source.info.backbone])
        candidates = (dataclasses.replace(candidate, scores=scores),)
        return dataclasses.replace(evaluation, candidates=candidates, latencies_ms=np.ones((1, 3)))

    monkeypatch.setattr(best_module, "evaluate_model", evaluate)
    return accuracies


def test_most_accurate_run_is_exported_and_the_others_are_rejected(
    runs: dict[str, Path], small_data: Path, out: Path, accuracies: dict[str, float]
) -> None:
    report, rejected = export_best(list(runs.values()), out, data=small_data, options=FLOAT32)
    assert report.source == str(runs["edgenet-sep"] / MODEL_FILE)
    assert report.rule == "the most accurate variant of all runs"
    assert [(r.source, r.variant, r.reason) for r in rejected] == [
        (str(runs["edgenet"] / MODEL_FILE), "fp32", "less accurate: 0.8000")
    ]
    assert EmotionClassifier.load(out).card.report["training"]["backbone"] == "edgenet-sep"


def test_variants_over_the_budget_are_rejected(
    runs: dict[str, Path], small_data: Path, out: Path, accuracies: dict[str, float]
) -> None:
    accuracies["edgenet"] = 0.99
    sizes = {name: (run / MODEL_FILE).stat().st_size for name, run in runs.items()}
    assert sizes["edgenet-sep"] < sizes["edgenet"]
    report, rejected = export_best(
        list(runs.values()), out, data=small_data, options=FLOAT32, budget=Budget(max_mb=0.12)
    )
    assert report.source == str(runs["edgenet-sep"] / MODEL_FILE)
    assert out.stat().st_size <= 120_000
    assert [r.reason.split(" MB")[1] for r in rejected] == [", more than 0.12"]
    before = out.read_bytes()
    with pytest.raises(ExportError, match=r"no variant fits the budget.* takes 1\.00 ms, more than 0\.5"):
        export_best(list(runs.values()), out, data=small_data, options=FLOAT32, budget=Budget(max_ms=0.5))
    assert out.read_bytes() == before
    assert sorted(path.suffix for path in out.parent.iterdir()) == [".json", ".md", ".onnx"]


def test_invalid_runs_and_runs_with_other_labels_are_rejected(
    runs: dict[str, Path], small_data: Path, out: Path, tmp_path: Path, accuracies: dict[str, float]
) -> None:
    other = tmp_path / "other.keras"
    save_model(build_network("edgenet"), make_info(labels=(*LABELS[:6], "contempt")), other)
    report, rejected = export_best(
        [runs["edgenet"], other, tmp_path / "missing"], out, data=small_data, options=FLOAT32
    )
    assert report.source == str(runs["edgenet"] / MODEL_FILE)
    assert [Path(r.source).name for r in rejected] == ["other.keras", "missing"]
    assert "which differ from those of the first run" in rejected[0].reason
    assert "no model at" in rejected[1].reason


def test_empty_list_of_runs_is_rejected(small_data: Path, out: Path) -> None:
    with pytest.raises(UsageError, match="no run to select from"):
        export_best([], out, data=small_data)


@pytest.mark.parametrize("values", [{"max_ms": 0.0}, {"max_mb": -1.0}, {"max_mb": float("nan")}])
def test_budget_must_be_above_zero(values: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"`{next(iter(values))}` .*expected a number above 0"):
        Budget(**values)
