from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeinfer_export.errors import ExportError
from edgeinfer_export.options import ExportOptions
from edgeinfer_export.publish.best import export_best
from edgeinfer_export.publish.export import export_model
from edgeinfer_export.verify.baselines import baseline_warnings, check_baselines

RunMaker = Callable[..., Path]


def entry(name: str, low: float, high: float) -> dict[str, Any]:
    change = {"accuracy": (low + high) / 2, "accuracy_interval": [low, high]}
    return {
        "name": name, "description": "always happy", "accuracy": 0.4, "run_accuracy": 0.5, "count": 60, "change": change
    }  # fmt: skip


@pytest.fixture
def make_run(run: Path, tmp_path: Path) -> RunMaker:
    """Function that copies the run and adds baselines to its metrics.json."""

    def make(name: str = "mine", **intervals: tuple[float, float]) -> Path:
        shutil.copytree(run, tmp_path / name)
        values = {"baselines": [entry(baseline, *interval) for baseline, interval in intervals.items()]}
        (tmp_path / name / "metrics.json").write_text(json.dumps(values))
        return tmp_path / name

    return make


@pytest.mark.parametrize("low", [0.0, -0.05])
def test_run_that_is_not_above_the_constant_baseline_is_rejected(make_run: RunMaker, out: Path, low: float) -> None:
    source = make_run(constant=(low, 0.2))
    for path in (source, source / "model.keras"):
        with pytest.raises(ExportError, match=r"not better than the answer 'always happy': accuracy 0\.5000") as caught:
            export_model(path, out)
        assert caught.value.exit_code == 5
    assert list(out.parent.iterdir()) == []


def test_forced_export_is_published_with_the_warnings(make_run: RunMaker, out: Path) -> None:
    source = make_run(constant=(-0.1, 0.1), start=(-0.02, 0.03))
    report = export_model(source, out, options=ExportOptions(force=True))
    assert out.is_file()
    assert [w for w in report.warnings if w.startswith("not better than the answer")]
    assert [w for w in report.warnings if w.startswith("the training may not have improved")]


def test_best_lists_useless_runs_as_rejected(make_run: RunMaker, small_data: Path, out: Path) -> None:
    options = ExportOptions(quantize="none")
    useless, useful = make_run("useless", constant=(-0.1, 0.1)), make_run("useful", constant=(0.1, 0.3))
    report, rejected = export_best([useless, useful], out, data=small_data, options=options)
    assert report.source == str(useful / "model.keras")
    assert [(r.source, "not better than the answer" in r.reason) for r in rejected] == [(str(useless), True)]
    before = out.read_bytes()
    with pytest.raises(ExportError, match=r"no run can be exported; .*: .*not better than the answer") as caught:
        export_best([useless], out, data=small_data, options=options)
    assert caught.value.exit_code == 5
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("interval", "warned"),
    [((-0.01, 0.02), True), ((0.0, 0.0), True), ((0.01, 0.02), False), ((-0.03, -0.01), False)],
)
def test_difference_from_the_start_that_may_be_zero_is_a_warning(
    make_run: RunMaker, interval: tuple[float, float], warned: bool
) -> None:
    source = str(make_run(constant=(0.1, 0.2), start=interval))
    check_baselines(source, force=False)
    assert bool(baseline_warnings(source)) == warned


@pytest.mark.parametrize("content", ["", "{", "[]", '{"baselines": [1]}', '{"faces": 3}'])
def test_run_without_readable_baselines_is_accepted(make_run: RunMaker, content: str) -> None:
    source = make_run()
    (source / "metrics.json").write_text(content)
    check_baselines(str(source), force=False)
    assert baseline_warnings(str(source)) == []
