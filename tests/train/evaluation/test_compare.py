from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from edgeinfer.errors import ModelError, ModelNotFoundError, UsageError
from edgeinfer.model.card import read_card
from edgeinfer_train.errors import DataError
from edgeinfer_train.evaluation import compare as module
from edgeinfer_train.evaluation.compare import compare, median_latencies_ms

MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path, toy_run: Path) -> MakeRun:
    """Return a function that copies the toy run with other metrics."""

    def make(name: str, accuracy: float, multiply_adds: int = 1000, **measured: Any) -> Path:
        run = tmp_path / name
        run.mkdir(parents=True)
        shutil.copy(toy_run / "model.keras", run)
        values = json.loads((toy_run / "metrics.json").read_text())
        values["multiply_adds"] = multiply_adds
        values["validation"] |= {"accuracy": accuracy, **measured}
        (run / "metrics.json").write_text(json.dumps(values))
        return run

    return make


def copy_export(export: Path, folder: Path, source: Path) -> Path:
    """Copy the export with a report that names another run."""
    values = json.loads(export.with_suffix(".json").read_text())
    (folder / "copy.json").write_text(json.dumps({**values, "source": str(source)}))
    shutil.copy(export, folder / "copy.onnx")
    return folder / "copy.onnx"


def names(entries: Any) -> list[str]:
    return [entry.name for entry in entries]


def test_entry_has_the_metrics_of_the_run(toy_run: Path) -> None:
    values = json.loads((toy_run / "metrics.json").read_text())
    board = compare([toy_run])
    assert (board.dataset, board.split, board.label_mode, board.count) == ("Toy", "valid", "by brightness", 48)
    (entry,) = board.entries
    assert entry.name == "run"
    assert [entry.accuracy, list(entry.accuracy_interval), entry.macro_f1] == [
        values["validation"][key] for key in ("accuracy", "accuracy_interval", "macro_f1")
    ]
    assert (entry.parameters, entry.multiply_adds) == (values["parameters"], values["multiply_adds"])
    assert entry.size_bytes == (toy_run / "model.keras").stat().st_size
    assert entry.latencies_ms == {}
    assert entry.latency_ms is None


FRONTS = {
    "all on the front": ({"a": (0.9, 300), "b": (0.8, 200), "c": (0.7, 100)}, "a b c"),
    "one dominates all": ({"a": (0.9, 100), "b": (0.8, 200), "c": (0.7, 300)}, "a"),
    "one is dominated": ({"a": (0.9, 200), "b": (0.8, 300), "c": (0.7, 100)}, "a c"),
    "equal accuracy, higher cost": ({"a": (0.9, 100), "b": (0.9, 200)}, "a"),
    "equal cost, lower accuracy": ({"a": (0.9, 100), "b": (0.8, 100)}, "a"),
    "equal runs": ({"a": (0.9, 100), "b": (0.9, 100)}, "a b"),
}


@pytest.mark.parametrize(("runs", "front"), FRONTS.values(), ids=FRONTS.keys())
def test_front_is_the_pareto_front(make_run: MakeRun, runs: dict[str, tuple[float, int]], front: str) -> None:
    made = [make_run(name, *figures) for name, figures in runs.items()]
    board = compare(made[::-1])
    accuracies = [entry.accuracy for entry in board.entries]
    assert accuracies == sorted(accuracies, reverse=True)
    assert board.cost == "multiply_adds"
    assert sorted(names(board.front)) == front.split()


def test_folders_with_the_same_name_have_full_paths(make_run: MakeRun) -> None:
    first, second, third = make_run("a/run", 0.9), make_run("b/run", 0.8), make_run("c", 0.7)
    assert names(compare([first, second, third]).entries) == [str(first), str(second), "c"]


DIFFERENCES = {
    "data set": {"dataset": "FERPlus"},
    "split": {"split": "test"},
    "label mode": {"label_mode": "majority"},
    "labels": {"labels": ["happy", "neutral"]},
    "faces": {"count": 47},
}


@pytest.mark.parametrize(("name", "other"), DIFFERENCES.items(), ids=DIFFERENCES.keys())
def test_runs_with_different_measurements_are_rejected(make_run: MakeRun, name: str, other: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=f"not comparable because of their {name}: ") as caught:
        compare([make_run("a", 0.9), make_run("b", 0.8, **other)])
    assert caught.value.exit_code == 4


def test_unfinished_and_damaged_runs_are_rejected(make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "nothing"):
        with pytest.raises(ModelNotFoundError, match=r"not a finished run: it lacks model\.keras and metrics\.json"):
            compare([path])
    run = make_run("a", 0.9)
    (run / "metrics.json").write_text('{"validation": {"accuracy": 0.9}}')
    with pytest.raises(ModelError, match="damaged or from a different version"):
        compare([run])
    with pytest.raises(UsageError, match="given twice"):
        compare([run, run / ".." / "a"])


class TestExports:
    def test_exports_in_run_folders_are_timed(self, make_run: MakeRun, toy_export: Path) -> None:
        first, second = make_run("a", 0.9), make_run("b", 0.8)
        shutil.copy(toy_export, first / "m.onnx")
        assert compare([first, second]).cost == "multiply_adds"
        shutil.copy(toy_export, second / "m.onnx")
        shutil.copy(toy_export, second / "n.onnx")
        board = compare([first, second])
        assert board.cost == "latency_ms"
        assert [set(e.latencies_ms) for e in board.entries] == [
            {str(first / "m.onnx")}, {str(second / "m.onnx"), str(second / "n.onnx")},
        ]  # fmt: skip
        assert all(ms > 0 for e in board.entries for ms in e.latencies_ms.values())

    def test_latency_of_a_run_is_that_of_its_fastest_file(
        self, make_run: MakeRun, toy_export: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = make_run("a", 0.9, 1), make_run("b", 0.8, 2)
        for path in (first / "m.onnx", second / "m.onnx", second / "n.onnx"):
            shutil.copy(toy_export, path)
        times = {first / "m.onnx": 2.0, second / "m.onnx": 3.0, second / "n.onnx": 1.0}
        monkeypatch.setattr(module, "median_latencies_ms", lambda paths: {path: times[path] for path in paths})
        board = compare([first, second])
        assert [e.latency_ms for e in board.entries] == [2.0, 1.0]
        assert names(board.front) == ["a", "b"], "b is dominated in multiply-adds only"

    def test_export_outside_its_run_is_matched_by_its_report(
        self, make_run: MakeRun, toy_export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = make_run("a", 0.9), make_run("b", 0.8)
        monkeypatch.chdir(tmp_path)
        for source in (second, second / "model.keras", Path(os.path.relpath(second))):
            path = copy_export(toy_export, tmp_path, source)
            assert [len(e.latencies_ms) for e in compare([first, second], onnx=[path]).entries] == [0, 1]

    def test_exports_of_other_runs_are_rejected(self, make_run: MakeRun, toy_export: Path, tmp_path: Path) -> None:
        run = make_run("a", 0.9)
        with pytest.raises(UsageError, match="not among the given runs"):
            compare([run], onnx=[toy_export])
        path = copy_export(toy_export, tmp_path, run)
        path.with_suffix(".json").unlink()
        with pytest.raises(UsageError, match="cannot determine the run"):
            compare([run], onnx=[path])
        with pytest.raises(ModelNotFoundError):
            compare([run], onnx=[tmp_path / "none.onnx"])
        (run / "broken.onnx").write_bytes(b"something else")
        with pytest.raises(ModelError, match=r"broken\.onnx"):
            compare([run])

    def test_files_are_timed_alternately(
        self, toy_export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Check that each call has one face and one thread, and that no file is called twice in a row."""
        calls: list[tuple[str, int, tuple[int, ...]]] = []

        def load_recording_session(path: Path, *, threads: int) -> Any:
            class Session:
                def run(self, _outputs: None, inputs: dict[str, Any]) -> None:
                    calls.append((path.name, threads, inputs["image"].shape))

            return Session(), read_card(path)

        monkeypatch.setattr(module, "load_session", load_recording_session)
        other = copy_export(toy_export, tmp_path, tmp_path)
        assert median_latencies_ms([toy_export, other]).keys() == {toy_export, other}
        assert {call[1:] for call in calls} == {(1, (1, 48, 48, 1))}
        assert [call[0] for call in calls] == ["toy.onnx", "copy.onnx"] * (module.WARM_UP + module.ROUNDS)


class TestCommand:
    def test_compare_writes_table_json_and_plot(
        self, command: Any, make_run: MakeRun, toy_export: Path, tmp_path: Path
    ) -> None:
        good, poor = make_run("good", 0.9, 100), make_run("poor", 0.8, 200)
        path = copy_export(toy_export, tmp_path, poor)
        done = command(
            "compare", poor, good, "--onnx", path, "--json", tmp_path / "b.json", "--picture", tmp_path / "b.png"
        )
        assert done.code == 0, done.err
        assert done.err == ""
        values = json.loads((tmp_path / "b.json").read_text())
        assert [(e["name"], e["on_front"]) for e in values["entries"]] == [("good", True), ("poor", False)]
        assert values["entries"][0]["latency_ms"] is None
        assert values["entries"][1]["latencies_ms"] == {str(path): values["entries"][1]["latency_ms"]}
        assert (values["cost"], values["dataset"], values["count"]) == ("multiply_adds", "Toy", 48)
        lines = [line for line in done.out.splitlines() if line.startswith(("good", "poor"))]
        assert "not exported" in lines[0]
        assert lines[0].endswith("*")
        assert lines[1].endswith(f"{values['entries'][1]['latency_ms']:.3f} ms")
        assert cv2.imread(str(tmp_path / "b.png")) is not None

    def test_errors_are_one_line(self, command: Any, make_run: MakeRun, tmp_path: Path) -> None:
        run = make_run("a", 0.9)
        for code, arguments in {
            5: ["compare", tmp_path / "none"],
            4: ["compare", run, make_run("b", 0.8, split="test")],
            2: ["compare", run, "--picture", tmp_path / "b.gif"],
            6: ["compare", run, "--picture", tmp_path / "none" / "b.png"],
        }.items():
            done = command(*arguments)
            assert done.code == code
            assert done.err.count("\n") == 1
            assert done.out == ""


def test_leaderboard_converts_to_json(toy_run: Path) -> None:
    board = compare([toy_run])
    values = json.loads(json.dumps(board.to_mapping()))
    assert values["machine"] == board.machine
    assert values["entries"][0].keys() == {
        "name", "accuracy", "accuracy_interval", "macro_f1", "parameters", "multiply_adds", "size_bytes",
        "latencies_ms", "latency_ms", "on_front",
    }  # fmt: skip
