from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeinfer_train.cli.tables import counts_table, evaluation_table, leaderboard_table, skipped_table, table
from edgeinfer_train.datasets.prepare.report import PrepareReport, Skipped
from edgeinfer_train.evaluation.compare import Entry, Leaderboard
from edgeinfer_train.evaluation.evaluate import evaluate
from edgeinfer_train.labels import EIGHT_LABELS

REPORT = PrepareReport(
    labels=EIGHT_LABELS[:2],
    counts={"train": {"neutral": 1200, "happy": 30}, "valid": {"neutral": 5, "happy": 0}},
    skipped=(
        *(Skipped("train", f"fer{n}.png", "not a face") for n in range(7)),
        Skipped("valid", "", "no name"),
    ),
    absent=("test",),
    written=1235,
)


def test_columns_are_aligned() -> None:
    assert table(["name", "n"], [["a", "1"], ["longer", "1,000"]]).splitlines() == [
        "name        n", "------  -----", "a           1", "longer  1,000",
    ]  # fmt: skip


def test_columns_are_aligned_in_any_script() -> None:
    """A wide character takes two columns of a terminal, and a combining mark none."""
    assert table(["name", "n"], [["怒り", "1"], ["mu\u0308de", "1"]]).splitlines()[2:] == ["怒り  1", "mu\u0308de  1"]


def test_counts_have_row_and_column_totals() -> None:
    assert [line.split() for line in counts_table(REPORT).splitlines()][2:] == [
        ["neutral", "1,200", "5", "1,205"], ["happy", "30", "0", "30"], ["total", "1,230", "5", "1,235"],
    ]  # fmt: skip


def test_skipped_rows_are_counted_with_five_names_each() -> None:
    lines = skipped_table(REPORT).splitlines()[2:]
    assert lines[0].split() == ["not", "a", "face", "7", *(f"fer{n}.png" for n in range(5)), "…"]
    assert lines[1].split() == ["no", "name", "1"]


def test_no_rows_skipped() -> None:
    clean = PrepareReport(REPORT.labels, REPORT.counts, (), (), 0)
    assert skipped_table(clean) == "no rows skipped"


def test_evaluation_table_contains_metrics_and_warnings(toy_run: Path, toy_data: Path) -> None:
    values = evaluate(toy_run, toy_data, split="valid").to_mapping()
    text = evaluation_table({**values, "warnings": ["no face of fear"]})
    assert "Toy, valid split, 48 faces" in text
    assert "by brightness, 2 labels" in text
    assert f"{values['accuracy']:.4f}" in text
    happy = next(line.split() for line in text.splitlines() if line.startswith("happy"))
    assert happy[:3] == ["happy", "24", f"{values['per_class']['happy']['recall']:.3f}"]
    assert f"calibration  {values['calibration_error']:.4f} expected error" in text
    assert text.endswith("warning: no face of fear")


def test_leaderboard_table_contains_conditions_and_costs() -> None:
    shared: dict[str, Any] = {"macro_f1": 0.5, "parameters": 1234, "size_bytes": 2_500_000}
    good = Entry(
        name="good", accuracy=0.8, accuracy_interval=(0.79, 0.81), multiply_adds=30_000_000, latencies_ms={}, **shared
    )
    timed = Entry(
        name="timed", accuracy=0.7, accuracy_interval=(0.69, 0.71), multiply_adds=40_000_000,
        latencies_ms={"a.onnx": 2.5, "b.onnx": 1.25}, **shared,
    )  # fmt: skip
    conditions: dict[str, Any] = {
        "dataset": "Toy",
        "split": "valid",
        "label_mode": "brightness",
        "count": 3529,
        "machine": "Pi",
    }
    lines = leaderboard_table(Leaderboard(entries=(good, timed), **conditions)).splitlines()
    assert lines[0] == "Toy, valid split, 3,529 faces, labels by brightness"
    first, second = (next(line for line in lines if line.startswith(name)) for name in ("good", "timed"))
    assert " ".join(first.split()) == "good 0.8000 0.7900 to 0.8100 0.5000 1,234 30.00 M 2.50 MB not exported *"
    assert second.endswith("1.250 ms")
    assert "at least as good in accuracy and multiply-adds" in lines[-2]
    assert "one thread of Pi" in lines[-1]
    board = leaderboard_table(Leaderboard(entries=(timed,), **conditions))
    assert "at least as good in accuracy and latency" in board
    assert "one thread" not in leaderboard_table(Leaderboard(entries=(good,), **conditions))
