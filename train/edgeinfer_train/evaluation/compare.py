"""Leaderboard of runs: accuracy, costs and the Pareto front."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgeinfer.diagnostics.latency import measure_latencies_ms
from edgeinfer.errors import ModelError, ModelNotFoundError, UsageError
from edgeinfer.model.session import load_session
from edgeinfer.system.hardware import cpu_name
from edgeinfer_train.errors import DataError
from edgeinfer_train.evaluation.evaluate import RUN_METRICS, RUN_MODEL

Cost = Literal["multiply_adds", "latency_ms"]
WARM_UP, ROUNDS = 5, 50
"""Numbers of warm-up calls and measured calls per ONNX file."""
SHARED_KEYS = {
    "dataset": "data set",
    "split": "split",
    "label_mode": "label mode",
    "labels": "labels",
    "count": "faces",
}
"""Keys of `validation` in metrics.json that comparable runs share, with their names in messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One run of a leaderboard.

    Attributes:
        name: Name of the run folder, or its path if two folders have the same name.
        accuracy: Accuracy of the `.keras` file on the validation split, 0..1.
        accuracy_interval: 95 % interval of the accuracy.
        macro_f1: Mean F1 over the labels that have faces, 0..1.
        parameters: Number of parameters of the network.
        multiply_adds: Number of multiply-adds per face.
        size_bytes: Size of the `.keras` file in bytes.
        latencies_ms: Median latency of one face on one thread in milliseconds, by ONNX file; empty if not exported.
    """

    name: str
    accuracy: float
    accuracy_interval: tuple[float, float]
    macro_f1: float
    parameters: int
    multiply_adds: int
    size_bytes: int
    latencies_ms: dict[str, float]

    @property
    def latency_ms(self) -> float | None:
        """Latency of the fastest ONNX file in milliseconds, or None if not exported."""
        return min(self.latencies_ms.values(), default=None)

    def dominates(self, other: Entry, cost: Cost) -> bool:
        """Return True if this run is at least as accurate and as cheap, and better in at least one of the two."""
        own, its = (self.accuracy, -self.cost(cost)), (other.accuracy, -other.cost(cost))
        return own != its and all(a >= b for a, b in zip(own, its, strict=True))

    def cost(self, cost: Cost) -> float:
        """Return the cost per face; infinite for the latency of a run that was not exported."""
        if cost == "multiply_adds":
            return self.multiply_adds
        return float("inf") if self.latency_ms is None else self.latency_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaderboard:
    """Runs that were measured on the same faces.

    Attributes:
        dataset: Name of the data set.
        split: Split of the data set.
        label_mode: Human-readable rule that produced the labels.
        count: Number of faces.
        machine: Processor on which the latencies were measured.
        entries: One entry per run, the most accurate first.
    """

    dataset: str
    split: str
    label_mode: str
    count: int
    machine: str
    entries: tuple[Entry, ...]

    @property
    def cost(self) -> Cost:
        """Cost measure of the front: latency if all runs have one, else multiply-adds."""
        return "latency_ms" if all(entry.latencies_ms for entry in self.entries) else "multiply_adds"

    @property
    def front(self) -> tuple[Entry, ...]:
        """Pareto front of accuracy and cost, the most accurate run first."""
        return tuple(e for e in self.entries if not any(other.dominates(e, self.cost) for other in self.entries))

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values for JSON: all attributes and `cost`; each entry with `latency_ms` and `on_front`."""
        front = self.front
        entries = [{**asdict(e), "latency_ms": e.latency_ms, "on_front": e in front} for e in self.entries]
        return {**asdict(self), "cost": self.cost, "entries": entries}


def compare(runs: Sequence[Path], *, onnx: Sequence[Path] = ()) -> Leaderboard:
    """Rank finished runs by their metrics.json, and measure the latency of their ONNX files on this machine.

    Args:
        runs: Run folders; ONNX files in them belong to the run.
        onnx: ONNX files outside the run folders. The export report next to each file names its run.

    Raises:
        ModelNotFoundError: A folder is not a finished run, or an ONNX file does not exist.
        ModelError: A metrics.json or an ONNX file is invalid.
        DataError: The runs were measured on different faces or labels.
        UsageError: A run is given twice, or an ONNX file belongs to none of the runs.
    """
    if len({run.resolve() for run in runs}) < len(runs):
        raise UsageError("a run folder is given twice; give each folder once")
    metrics = {run: _read_metrics(run) for run in runs}
    validation = metrics[runs[0]]["validation"]
    for run in runs[1:]:
        _check_comparable(runs[0], validation, run, metrics[run]["validation"])
    files = {run: sorted(run.glob("*.onnx")) for run in runs}
    for path in onnx:
        files[_find_run(path, runs)].append(path)
    latencies = median_latencies_ms([path for paths in files.values() for path in paths])
    entries = [
        _entry(run, _display_name(run, runs), metrics[run], {p: latencies[p] for p in files[run]}) for run in runs
    ]
    return Leaderboard(
        **{key: validation[key] for key in ("dataset", "split", "label_mode", "count")},
        machine=cpu_name(),
        entries=tuple(sorted(entries, key=lambda entry: -entry.accuracy)),
    )


def median_latencies_ms(models: Sequence[Path]) -> dict[Path, float]:
    """Measure the latency of ONNX files in alternating calls, so that background load affects all of them equally.

    Args:
        models: ONNX files with edgeinfer metadata.

    Returns:
        Median latency of one face on one thread in milliseconds, by file.

    Raises:
        ModelNotFoundError: A file does not exist.
        ModelError: A file is not a valid model.
    """
    if not models:
        return {}
    loaded = [load_session(path, threads=1) for path in models]
    random = np.random.default_rng(0)
    faces = [random.integers(0, 256, (1, *card.size_hw, card.channels), dtype=np.uint8) for _, card in loaded]
    sessions = [session for session, _ in loaded]
    times = measure_latencies_ms(sessions, faces, warm_up=WARM_UP, min_rounds=ROUNDS, max_rounds=ROUNDS)
    return {path: float(np.median(row)) for path, row in zip(models, times, strict=True)}


def _read_metrics(run: Path) -> dict[str, Any]:
    missing = [name for name in (RUN_MODEL, RUN_METRICS) if not (run / name).is_file()]
    if missing:
        raise ModelNotFoundError(f"{run} is not a finished run: it lacks {' and '.join(missing)}")
    try:
        values: dict[str, Any] = json.loads((run / RUN_METRICS).read_text(encoding="utf-8"))
        _ = [values[key] for key in ("parameters", "multiply_adds")]
        _ = [values["validation"][key] for key in (*SHARED_KEYS, "accuracy", "accuracy_interval", "macro_f1")]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{run / RUN_METRICS} is damaged or from a different version: remove it and resume the run to recreate it"
        ) from error
    return values


def _check_comparable(first: Path, expected: dict[str, Any], run: Path, found: dict[str, Any]) -> None:
    for key, name in SHARED_KEYS.items():
        if expected[key] != found[key]:
            raise DataError(
                f"{first} and {run} are not comparable because of their {name}: "
                f"{_text(expected[key])} and {_text(found[key])}"
            )


def _text(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else f"{value}"


def _find_run(path: Path, runs: Sequence[Path]) -> Path:
    """Return the run that an ONNX file was exported from, according to the report next to it."""
    report = path.with_suffix(".json")
    if not path.is_file():
        raise ModelNotFoundError(f"no model at {path}: expected an .onnx file")
    try:
        source = Path(json.loads(report.read_text(encoding="utf-8"))["source"]).resolve()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"cannot determine the run of {path}: its export report {report} is missing or damaged; "
            "move the file into the folder of its run"
        ) from error
    for run in runs:
        if source in {run.resolve(), (run / RUN_MODEL).resolve()}:
            return run
    raise UsageError(f"{path} was exported from {source}, which is not among the given runs; add that run")


def _display_name(run: Path, runs: Sequence[Path]) -> str:
    name = run.resolve().name
    return name if [other.resolve().name for other in runs].count(name) == 1 else str(run)


def _entry(run: Path, name: str, metrics: dict[str, Any], latencies: dict[Path, float]) -> Entry:
    validation = metrics["validation"]
    return Entry(
        name=name,
        accuracy=validation["accuracy"],
        accuracy_interval=tuple(validation["accuracy_interval"]),
        macro_f1=validation["macro_f1"],
        parameters=metrics["parameters"],
        multiply_adds=metrics["multiply_adds"],
        size_bytes=(run / RUN_MODEL).stat().st_size,
        latencies_ms={str(path): ms for path, ms in latencies.items()},
    )
