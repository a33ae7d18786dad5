"""A leaderboard of runs: what each is worth, what it costs, and which ones no other beats."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgeinfer.errors import ModelError, ModelNotFoundError, UsageError
from edgeinfer.model.card import INPUT_NAME
from edgeinfer.model.session import load_session
from edgeinfer.system.hardware import cpu_name
from edgeinfer_train.errors import DataError
from edgeinfer_train.evaluation.evaluate import RUN_METRICS, RUN_MODEL

Cost = Literal["multiply_adds", "latency_ms"]
WARM_UP, ROUNDS = 5, 50
"""Calls of each ONNX file that do not count, and that do."""
MEASURED_ON = {
    "dataset": "data set",
    "split": "split",
    "label_mode": "label mode",
    "labels": "labels",
    "count": "faces",
}
"""What runs must share to compare: keys of `validation` in metrics.json, with their names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One run.

    Attributes:
        name: of its folder; the whole path where two folders have the same name.
        accuracy: of its `.keras` file on the validation split, 0..1.
        accuracy_interval: 95 % interval of it.
        macro_f1: mean F1 over the labels that have faces, 0..1.
        parameters: of the network.
        multiply_adds: of one face.
        size_bytes: of the `.keras` file.
        latencies_ms: median time of one face on one thread, by ONNX file; empty where the run was not exported.
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
        """That of the fastest ONNX file; None where the run was not exported."""
        return min(self.latencies_ms.values(), default=None)

    def beats(self, other: Entry, cost: Cost) -> bool:
        """Whether this run is as accurate and as cheap at least, and better in one of the two."""
        mine, its = (self.accuracy, -self.cost(cost)), (other.accuracy, -other.cost(cost))
        return mine != its and all(m >= i for m, i in zip(mine, its, strict=True))

    def cost(self, cost: Cost) -> float:
        """What one face costs; endless for the latency of a run that was not exported."""
        if cost == "multiply_adds":
            return self.multiply_adds
        return float("inf") if self.latency_ms is None else self.latency_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaderboard:
    """Runs that were measured on the same faces.

    Attributes:
        dataset: name of the data set.
        split: of the data set.
        label_mode: the rule that made its labels.
        count: faces in it.
        machine: the processor that the latencies are of.
        entries: one for each run, the most accurate first.
    """

    dataset: str
    split: str
    label_mode: str
    count: int
    machine: str
    entries: tuple[Entry, ...]

    @property
    def cost(self) -> Cost:
        """What accuracy is weighed against: the latency where every run has one, else the multiply-adds."""
        return "latency_ms" if all(entry.latencies_ms for entry in self.entries) else "multiply_adds"

    @property
    def front(self) -> tuple[Entry, ...]:
        """The runs that no other beats on both accuracy and cost, the most accurate first (Pareto front)."""
        return tuple(e for e in self.entries if not any(other.beats(e, self.cost) for other in self.entries))

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for JSON: every attribute and the `cost`; each entry with `latency_ms` and `on_front`."""
        front = self.front
        entries = [{**asdict(e), "latency_ms": e.latency_ms, "on_front": e in front} for e in self.entries]
        return {**asdict(self), "cost": self.cost, "entries": entries}


def compare(runs: Sequence[Path], *, onnx: Sequence[Path] = ()) -> Leaderboard:
    """Rank finished runs by the figures in their metrics.json, and time their ONNX files here and now.

    Args:
        runs: run folders; ONNX files in them are theirs.
        onnx: files that lie elsewhere. The report beside each, which its export wrote, tells the run.

    Raises:
        ModelNotFoundError: a folder is no finished run, or there is no such ONNX file.
        ModelError: a metrics.json or an ONNX file cannot be used.
        DataError: the runs were measured on different faces or labels.
        UsageError: a run is named twice, or an ONNX file comes from none of the runs.
    """
    if len({run.resolve() for run in runs}) < len(runs):
        raise UsageError("a run is named twice; name each folder once")
    told = {run: _read_metrics(run) for run in runs}
    measured = told[runs[0]]["validation"]
    for run in runs[1:]:
        _check_same(runs[0], measured, run, told[run]["validation"])
    files = {run: sorted(run.glob("*.onnx")) for run in runs}
    for path in onnx:
        files[_origin(path, runs)].append(path)
    times = latencies_ms([path for found in files.values() for path in found])
    entries = [_entry(run, _short(run, runs), told[run], {p: times[p] for p in files[run]}) for run in runs]
    return Leaderboard(
        **{key: measured[key] for key in ("dataset", "split", "label_mode", "count")},
        machine=cpu_name(),
        entries=tuple(sorted(entries, key=lambda entry: -entry.accuracy)),
    )


def latencies_ms(models: Sequence[Path]) -> dict[Path, float]:
    """Time ONNX files in turns, so that what slows the machine for a while slows all of them.

    Args:
        models: files with our metadata.

    Returns:
        The median time of one face on one thread, in milliseconds.

    Raises:
        ModelNotFoundError: there is no such file.
        ModelError: a file is none of ours.
    """
    sessions = {path: load_session(path, threads=1) for path in models}
    random = np.random.default_rng(0)
    faces = {
        path: random.integers(0, 256, (1, *card.size_hw, card.channels), dtype=np.uint8)
        for path, (_, card) in sessions.items()
    }
    times: dict[Path, list[int]] = {path: [] for path in sessions}
    for _ in range(WARM_UP + ROUNDS):
        for path, (session, _card) in sessions.items():
            start = time.perf_counter_ns()
            session.run(None, {INPUT_NAME: faces[path]})
            times[path].append(time.perf_counter_ns() - start)
    return {path: float(np.median(found[WARM_UP:])) / 1e6 for path, found in times.items()}


def _read_metrics(run: Path) -> dict[str, Any]:
    missing = [name for name in (RUN_MODEL, RUN_METRICS) if not (run / name).is_file()]
    if missing:
        raise ModelNotFoundError(
            f"{run} is no finished run, it lacks {' and '.join(missing)}; give folders that `fit` filled"
        )
    try:
        values: dict[str, Any] = json.loads((run / RUN_METRICS).read_text(encoding="utf-8"))
        _ = [values[key] for key in ("parameters", "multiply_adds")]
        _ = [values["validation"][key] for key in (*MEASURED_ON, "accuracy", "accuracy_interval", "macro_f1")]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{run / RUN_METRICS} is damaged or of another version; remove it, and "
            f"`edgeinfer-train fit DATA --run {run} --resume` writes it again"
        ) from error
    return values


def _check_same(first: Path, expected: dict[str, Any], run: Path, found: dict[str, Any]) -> None:
    for key, name in MEASURED_ON.items():
        if expected[key] != found[key]:
            raise DataError(
                f"{first} and {run} do not compare: the {name} of one is {_words(expected[key])}, "
                f"of the other {_words(found[key])}"
            )


def _words(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else f"{value}"


def _origin(path: Path, runs: Sequence[Path]) -> Path:
    """The run that a file was exported from, by the report beside it."""
    report = path.with_suffix(".json")
    if not path.is_file():
        raise ModelNotFoundError(f"no model at {path}; give the path of an .onnx file")
    try:
        source = Path(json.loads(report.read_text(encoding="utf-8"))["source"]).resolve()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"nothing says which run {path} comes from: the report of its export, {report}, is missing or damaged; "
            "move the file into the folder of its run"
        ) from error
    for run in runs:
        if source in {run.resolve(), (run / RUN_MODEL).resolve()}:
            return run
    raise UsageError(f"{path} was exported from {source}, which is none of the runs here; name that run, too")


def _short(run: Path, runs: Sequence[Path]) -> str:
    name = run.resolve().name
    return name if [other.resolve().name for other in runs].count(name) == 1 else str(run)


def _entry(run: Path, name: str, told: dict[str, Any], times: dict[Path, float]) -> Entry:
    measured = told["validation"]
    return Entry(
        name=name,
        accuracy=measured["accuracy"],
        accuracy_interval=tuple(measured["accuracy_interval"]),
        macro_f1=measured["macro_f1"],
        parameters=told["parameters"],
        multiply_adds=told["multiply_adds"],
        size_bytes=(run / RUN_MODEL).stat().st_size,
        latencies_ms={str(path): ms for path, ms in times.items()},
    )
