"""Exports that fail: errors, exit codes and files that remain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgeinfer.errors import EdgeInferError, ModelError, OutputError, UsageError
from edgeinfer_export.convert import source as source_module
from edgeinfer_export.convert.graph import Conversion
from edgeinfer_export.errors import ExportError
from edgeinfer_export.options import ExportOptions
from edgeinfer_export.publish import staging
from edgeinfer_export.publish.export import export_model
from edgeinfer_export.quantize.quantizer import Quantizer
from edgeinfer_export.selection import evaluation
from edgeinfer_train.errors import DataError

from ..conftest import DataMaker, Graphs
from .conftest import INT8


def inaccurate_conversion(graphs: Graphs, change: Callable[[np.ndarray], np.ndarray]) -> Callable[..., Conversion]:
    """Return a conversion whose graph has other weights in its last layer."""

    def convert(_: Any) -> Conversion:
        graph = onnx.ModelProto.FromString(graphs["edgenet"][1].SerializeToString())
        last = next(node for node in graph.graph.node if "logits" in node.output)
        weight = next(tensor for tensor in graph.graph.initializer if tensor.name == last.input[1])
        changed = change(onnx.numpy_helper.to_array(weight)).astype(np.float32)
        weight.CopyFrom(onnx.numpy_helper.from_array(changed, weight.name))
        return Conversion(graph, "inaccurate", ())

    return convert


@pytest.mark.parametrize(
    "change",
    [lambda w: w * 1.05, lambda w: w[..., ::-1], lambda w: w * np.nan],
    ids=["scaled", "labels reversed", "not a number"],
)
def test_inaccurate_conversion_is_rejected_and_leaves_no_file(
    run: Path,
    small_data: Path,
    out: Path,
    graphs: Graphs,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[np.ndarray], np.ndarray],
) -> None:
    monkeypatch.setattr(source_module, "to_onnx", inaccurate_conversion(graphs, change))
    with pytest.raises(ExportError, match="rejected: the ONNX model differs from the original one"):
        export_model(run, out, data=small_data)
    assert list(out.parent.iterdir()) == []


@pytest.mark.usefixtures("converted")
def test_failed_export_keeps_the_existing_file(
    run: Path, small_data: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out.write_bytes(b"the old model")

    def fail(*_: object) -> None:
        raise ExportError("int8 failed")

    monkeypatch.setattr(Quantizer, "build", fail)
    with pytest.raises(ExportError, match="int8 failed"):
        export_model(run, out, data=small_data, options=INT8)
    assert [(path.name, path.read_bytes()) for path in out.parent.iterdir()] == [("model.onnx", b"the old model")]


@pytest.mark.usefixtures("converted")
def test_interrupted_export_leaves_no_file(run: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation, "compare_with_original", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export_model(run, out)
    assert list(out.parent.iterdir()) == []


@pytest.mark.usefixtures("converted")
def test_model_that_the_runtime_rejects_is_not_published(run: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def remove_metadata(graph: onnx.ModelProto, *_: object, **__: object) -> None:
        del graph.metadata_props[:]

    monkeypatch.setattr(staging, "write_metadata", remove_metadata)
    with pytest.raises(ModelError, match="lacks the metadata key"):
        export_model(run, out)
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "options", "error", "code"),
    [
        ("model.tflite", ExportOptions(), UsageError, 2),
        ("model", ExportOptions(), UsageError, 2),
        ("model.onnx", INT8, UsageError, 2),
        ("missing/model.onnx", ExportOptions(), OutputError, 6),
        ("folder.onnx", ExportOptions(), OutputError, 6),
        ("reported.onnx", ExportOptions(), OutputError, 6),
    ],
    ids=["other suffix", "no suffix", "int8 without data", "folder not found", "out is a folder", "report is a folder"],
)
def test_impossible_request_is_rejected_before_the_model_is_read(
    out: Path, name: str, options: ExportOptions, error: type[EdgeInferError], code: int
) -> None:
    for folder in ("folder.onnx", "reported.json"):
        (out.parent / folder).mkdir()
    with pytest.raises(error) as caught:
        export_model(out.parent / "no such run", out.with_name("x").parent / name, options=options)
    assert caught.value.exit_code == code


def test_unwritable_folder_raises_output_error(run: Path) -> None:
    assert Path("/proc").is_dir(), "the only folder in which even root cannot create files"
    with pytest.raises(OutputError, match="cannot write to the folder /proc"):
        export_model(run, Path("/proc/model.onnx"))


@pytest.mark.usefixtures("converted")
def test_full_disk_raises_output_error(run: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_disk_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", raise_disk_full)
    with pytest.raises(OutputError, match="No space left on device"):
        export_model(run, out)
    assert list(out.parent.iterdir()) == []


@pytest.mark.usefixtures("converted")
def test_int8_without_training_faces_is_rejected(run: Path, make_data: DataMaker, out: Path) -> None:
    with pytest.raises(DataError, match="no train faces"):
        export_model(run, out, data=make_data(valid=2), options=INT8)
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["metrics.onnx", "history.onnx", "other.onnx"])
def test_export_over_a_file_of_the_run_is_refused(tmp_path: Path, name: str) -> None:
    for file in ("model.keras", "metrics.json"):
        (tmp_path / file).write_text(file)
    (tmp_path / "history.csv").touch()
    (tmp_path / "history.md").symlink_to("history.csv")
    (tmp_path / "other.onnx").symlink_to("model.keras")
    with pytest.raises(UsageError, match="same file as the model"):
        export_model(tmp_path, tmp_path / name)
    assert {file: (tmp_path / file).read_text() for file in ("model.keras", "metrics.json", "history.csv")} == {
        "model.keras": "model.keras", "metrics.json": "metrics.json", "history.csv": "",
    }  # fmt: skip
    assert not (tmp_path / "metrics.onnx").exists()
