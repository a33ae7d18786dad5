"""The best of many runs: every form of each is studied, and the most accurate one within a budget is exported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeinfer.errors import EdgeInferError, UsageError
from edgeinfer_export.convert.source import read_source
from edgeinfer_export.errors import ExportError
from edgeinfer_export.options import ExportOptions
from edgeinfer_export.publish.export import check_request, publish, stage, staging
from edgeinfer_export.publish.report import ExportReport
from edgeinfer_export.selection.choose import PUBLISHED, Choice
from edgeinfer_export.selection.criteria import fault
from edgeinfer_export.selection.study import Progress, Study, study
from edgeinfer_export.verify.measure import Candidate


@dataclass(frozen=True, slots=True)
class Budget:
    """What the device can spare.

    Attributes:
        max_ms: median time of one face on one thread of this machine; None for any.
        max_mb: size of the file in megabytes of 10^6 bytes; None for any.

    Raises:
        UsageError: a bound is not above 0.
    """

    max_ms: float | None = None
    max_mb: float | None = None

    def __post_init__(self) -> None:
        """Check both bounds."""
        for name, bound in (("max-ms", self.max_ms), ("max-mb", self.max_mb)):
            if bound is not None and not bound > 0:
                raise UsageError(f"--{name} is {bound}; it must be above 0")


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A form of a run that was not exported.

    Attributes:
        source: the run.
        form: of it; "" where the whole run was passed over.
        reason: why.
    """

    source: str
    form: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Entry:
    studied: Study
    candidate: Candidate
    p50_ms: float

    @property
    def accuracy(self) -> float:
        return self.candidate.scores.accuracy if self.candidate.scores else 0.0


def export_best(
    sources: Sequence[Path],
    out: Path,
    *,
    data: Path,
    options: ExportOptions | None = None,
    budget: Budget | None = None,
    progress: Progress | None = None,
) -> tuple[ExportReport, tuple[PassedOver, ...]]:
    """Export the most accurate form of all runs that fits the budget; of equals the faster one.

    A run that cannot be exported, or tells apart other labels than the first, is passed over.

    Args:
        sources: run folders or `.keras` files.
        out: the `.onnx` file.
        data: a prepared folder. Its validation faces judge, its training faces calibrate.
        options: which forms are made; every one by default.
        budget: what the device can spare.
        progress: called with a phrase as each step begins.

    Returns:
        The report of the export, and what was passed over and why.

    Raises:
        UsageError: `out` has another suffix, or there is no run.
        OutputError: `out` cannot be written.
        ExportError: no form of any run can be exported within the budget.
    """
    options, budget = options or ExportOptions(quantize="auto"), budget or Budget()
    say = progress or (lambda _: None)
    if not sources:
        raise UsageError("no run to choose from; name one or more")
    check_request(out, data, options)
    with staging(out) as folder:
        studies, passed = _study_all(sources, options, data, folder, say)
        entries = [
            _Entry(studied, candidate, float(np.median(times)))
            for studied in studies
            for candidate, times in zip(studied.candidates, studied.times_ms, strict=True)
        ]
        entries.sort(key=lambda entry: (-entry.accuracy, entry.p50_ms))
        for entry in entries:
            reason = fault(entry.candidate) or _too_slow(entry, budget)
            if reason is None:
                staged, report = stage(entry.studied, _choice(entry, budget), folder)
                reason = _too_large(staged.stat().st_size, budget)
                if reason is None:
                    others = entries[entries.index(entry) + 1 :]
                    passed += [_passed(e, f"less accurate: {e.accuracy:.4f}") for e in others]
                    publish(staged, report, out)
                    return report, tuple(passed)
            passed.append(_passed(entry, reason))
    told = "; ".join(f"{p.source} {p.form}: {p.reason}" for p in passed)
    raise ExportError(f"nothing fits, so nothing was written: {told}")


def _study_all(
    sources: Sequence[Path], options: ExportOptions, data: Path, folder: Path, say: Progress
) -> tuple[list[Study], list[PassedOver]]:
    studies: list[Study] = []
    passed = []
    for number, path in enumerate(sources):
        say(f"studying {path}")
        scratch = folder / str(number)
        scratch.mkdir()
        try:
            source = read_source(path, labels=options.labels, data=data)
            if studies and source.info.labels != studies[0].source.info.labels:
                reason = f"tells apart {' '.join(source.info.labels)}, other labels than the first run"
                passed.append(PassedOver(str(path), "", reason))
                continue
            studies.append(study(source, options, data=data, folder=scratch, say=say))
        except EdgeInferError as error:
            passed.append(PassedOver(str(path), "", str(error)))
            continue
        passed += [PassedOver(str(path), name, reason) for name, reason in studies[-1].failed.items()]
    return studies, passed


def _choice(entry: _Entry, budget: Budget) -> Choice:
    bounds = [f"{bound:g} {unit}" for bound, unit in ((budget.max_ms, "ms"), (budget.max_mb, "MB")) if bound]
    within = f" within {' and '.join(bounds)}" if bounds else ""
    outcomes = {c.name: "less accurate, slower or over the budget" for c in entry.studied.candidates}
    outcomes[entry.candidate.name] = PUBLISHED
    return Choice(entry.candidate.name, f"the most accurate form of all runs{within}", outcomes)


def _passed(entry: _Entry, reason: str) -> PassedOver:
    return PassedOver(entry.studied.source.name, entry.candidate.name, reason)


def _too_slow(entry: _Entry, budget: Budget) -> str | None:
    if budget.max_ms is None or entry.p50_ms <= budget.max_ms:
        return None
    return f"takes {entry.p50_ms:.2f} ms, more than {budget.max_ms:g}"


def _too_large(size: int, budget: Budget) -> str | None:
    if budget.max_mb is None or size <= budget.max_mb * 1e6:
        return None
    return f"has {size / 1e6:.2f} MB, more than {budget.max_mb:g}"
