"""Export of the most accurate variant of several runs within a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeinfer.errors import EdgeInferError, UsageError
from edgeinfer_export.convert.source import read_source
from edgeinfer_export.errors import ExportError
from edgeinfer_export.options import Budget, ExportOptions
from edgeinfer_export.publish.report import ExportReport
from edgeinfer_export.publish.staging import check_inputs_are_kept, publish, stage, staging_folder, validate_request
from edgeinfer_export.selection.choice import PUBLISHED, Choice
from edgeinfer_export.selection.criteria import batch_dependence
from edgeinfer_export.selection.evaluation import Evaluation, Progress, evaluate_model
from edgeinfer_export.verify.baselines import check_baselines
from edgeinfer_export.verify.measure import Candidate


@dataclass(frozen=True, slots=True)
class Rejection:
    """A run, or a variant of a run, that was not exported.

    Attributes:
        source: Path of the run or model file.
        variant: Name of the variant; "" if the whole run was rejected.
        reason: Reason for the rejection.
    """

    source: str
    variant: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """A variant of a run that competes with the variants of all runs."""

    evaluation: Evaluation
    candidate: Candidate
    p50_ms: float

    @property
    def accuracy(self) -> float:
        """Fraction of correctly classified faces, 0..1; 0 without faces."""
        return self.candidate.scores.accuracy if self.candidate.scores else 0.0

    def rejection(self, reason: str) -> Rejection:
        """Return the rejection of this variant."""
        return Rejection(self.evaluation.source.name, self.candidate.name, reason)


def export_best(
    sources: Sequence[Path],
    out: Path,
    *,
    data: Path,
    options: ExportOptions | None = None,
    budget: Budget | None = None,
    progress: Progress | None = None,
) -> tuple[ExportReport, tuple[Rejection, ...]]:
    """Export the most accurate variant of all runs that fits the budget; among equals, the faster one.

    A run that cannot be exported, is not better than the most frequent label, or whose labels differ from those of the
    first run, is rejected.

    Args:
        sources: Run folders or `.keras` files.
        out: Path of the `.onnx` file.
        data: Prepared folder. Validation faces are used for measurement, training faces for calibration.
        options: Options that define the variants; all variants by default.
        budget: Limits of the target device; none by default.
        progress: Callback that receives a short description of each step when it starts.

    Returns:
        The report of the export, and all rejected runs and variants.

    Raises:
        UsageError: `out` does not end in .onnx, or `sources` is empty.
        OutputError: `out` cannot be written.
        ExportError: No variant of any run can be exported within the budget.
    """
    options, budget = options or ExportOptions(quantize="auto"), budget or Budget()
    if not sources:
        raise UsageError("no run to select from: pass one or more")
    validate_request(out, data, options)
    check_inputs_are_kept(out, sources, data)
    with staging_folder(out) as folder:
        evaluations, rejected = _evaluate_all(sources, options, data, folder, progress or (lambda _: None))
        entries = _ranked(evaluations)
        for position, entry in enumerate(entries):
            error = batch_dependence(entry.candidate) or _latency_excess(entry, budget)
            if error is None:
                staged, report = stage(entry.evaluation, _choice(entry, budget), folder)
                error = _size_excess(staged.stat().st_size, budget)
                if error is None:
                    rejected += [e.rejection(f"less accurate: {e.accuracy:.4f}") for e in entries[position + 1 :]]
                    publish(staged, report, out)
                    return report, tuple(rejected)
            rejected.append(entry.rejection(error))
    reasons = "; ".join(f"{' '.join(filter(None, (r.source, r.variant)))}: {r.reason}" for r in rejected)
    cause = "no variant fits the budget" if entries else "no run can be exported"
    raise ExportError(f"{cause}; nothing was written: {reasons}")


def _evaluate_all(
    sources: Sequence[Path], options: ExportOptions, data: Path, folder: Path, progress: Progress
) -> tuple[list[Evaluation], list[Rejection]]:
    evaluations: list[Evaluation] = []
    rejected = []
    for number, path in enumerate(sources):
        progress(f"evaluating {path}")
        scratch = folder / str(number)
        scratch.mkdir()
        try:
            check_baselines(str(path), force=options.force)
            source = read_source(
                path, labels=options.labels, data=data, input_range=options.input_range, colour=options.colour
            )
            if evaluations and source.info.labels != evaluations[0].source.info.labels:
                reason = f"has the labels {' '.join(source.info.labels)}, which differ from those of the first run"
                rejected.append(Rejection(str(path), "", reason))
                continue
            evaluation = evaluate_model(source, options, data=data, folder=scratch, progress=progress)
        except EdgeInferError as error:
            rejected.append(Rejection(str(path), "", str(error)))
            continue
        evaluations.append(evaluation)
        rejected += [Rejection(str(path), name, reason) for name, reason in evaluation.failed.items()]
    return evaluations, rejected


def _ranked(evaluations: list[Evaluation]) -> list[_Entry]:
    """Return the variants of all runs, the most accurate first; among equals, the fastest first."""
    entries = [
        _Entry(evaluation, candidate, float(np.median(latencies_ms)))
        for evaluation in evaluations
        for candidate, latencies_ms in zip(evaluation.candidates, evaluation.latencies_ms, strict=True)
    ]
    return sorted(entries, key=lambda entry: (-entry.accuracy, entry.p50_ms))


def _choice(entry: _Entry, budget: Budget) -> Choice:
    limits = [f"{limit:g} {unit}" for limit, unit in ((budget.max_ms, "ms"), (budget.max_mb, "MB")) if limit]
    within = f" within {' and '.join(limits)}" if limits else ""
    outcomes = {c.name: "less accurate, slower or over the budget" for c in entry.evaluation.candidates}
    outcomes[entry.candidate.name] = PUBLISHED
    return Choice(entry.candidate.name, f"the most accurate variant of all runs{within}", outcomes)


def _latency_excess(entry: _Entry, budget: Budget) -> str | None:
    if budget.max_ms is None or entry.p50_ms <= budget.max_ms:
        return None
    return f"takes {entry.p50_ms:.2f} ms, more than {budget.max_ms:g}"


def _size_excess(size_bytes: int, budget: Budget) -> str | None:
    if budget.max_mb is None or size_bytes <= budget.max_mb * 1e6:
        return None
    return f"has {size_bytes / 1e6:.2f} MB, more than {budget.max_mb:g}"
