"""Command line: exit codes, content of stdout and stderr, and the message for a missing extra."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgeinfer.model.onnx_reader import graph_digest, summarize
from edgeinfer.model.session import load_session
from edgeinfer_export.cli.app import app
from edgeinfer_export.options import ExportOptions
from edgeinfer_export.publish.export import export_model
from edgeinfer_train.networks.model import MODEL_FILE

from ..conftest import LABELS

EXPORT_PACKAGES = ("tensorflow", "keras", "tf2onnx", "onnx", "pandas")


def run_process(*arguments: str | Path, block: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run `edgeinfer-export` in a separate process in which the packages in `block` cannot be imported."""
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({block!r})); sys.argv[0] = 'edgeinfer-export'; "
        "from edgeinfer_export.cli.app import main; main()"
    )
    without = ("TF_CPP_MIN_LOG_LEVEL", "TF2ONNX_CATCH_ERRORS")
    environment = {key: value for key, value in os.environ.items() if key not in without}
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**environment, "KERAS_BACKEND": "jax"},
    )


def test_export_prints_only_its_own_lines_and_is_reproducible(run: Path, small_data: Path, out: Path) -> None:
    options = ["--data", str(small_data), "--quantize", "int8", "--calibration-faces", "9", "--margin", "0.1"]
    done = run_process("convert", run, "--out", out, *options, "--max-drop", "1")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        f"reading {run} …",
        "converting to ONNX …",
        "comparing with the original model on 14 validation faces …",
        "quantizing on 9 training faces …",
        "timing fp32 int8 …",
        "edgeinfer-export: warning: compared on only 14 validation faces; 256 are recommended",
        "edgeinfer-export: warning: too few validation faces to calibrate the confidence; the temperature stays 1",
    ]
    head, fp32, int8, verdict, published = done.stdout.splitlines()
    assert head.split("outcome")[0].split() == [
        "variant", "size", "kB", "accuracy", "macro-F1", "agreement", "p50", "ms", "p95", "ms", "time"
    ]  # fmt: skip
    assert (fp32.split()[0], int8.split()[0], int8.split()[-1]) == ("fp32", "int8", "published")
    assert verdict.endswith("; on 14 validation faces)")
    assert published == f"{out} is the int8 variant of {run / MODEL_FILE}: int8 was requested"
    # Another process exports the same graph with the same outputs.
    again = out.with_name("again.onnx")
    export_model(
        run, again, data=small_data,
        options=ExportOptions(quantize="int8", calibration_faces=9, margin=0.1, max_drop=1.0),
    )  # fmt: skip
    first, second = (summarize(path.read_bytes()).metadata for path in (out, again))
    varying = {"edgeinfer.report"}
    assert {k: v for k, v in first.items() if k not in varying} == {k: v for k, v in second.items() if k not in varying}
    assert first["edgeinfer.digest"] == graph_digest(out.read_bytes())


def test_best_lists_rejected_runs(runs: dict[str, Path], small_data: Path, out: Path) -> None:
    missing = out.parent / "none"
    arguments = ["best", *runs.values(), missing, "--out", out, "--data", small_data, "--quantize", "none"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.stderr
    rejected = [line for line in result.stdout.splitlines() if line.startswith("rejected: ")]
    assert len(rejected) == 2
    assert rejected[0] == (
        f"rejected: {missing}: no model at {missing}: expected a run folder, or a .keras, .h5 or .onnx file"
    )
    assert "less accurate" in rejected[1]
    assert load_session(out)[1].labels == LABELS


def test_warnings_name_flags_instead_of_parameters(run: Path, out: Path) -> None:
    result = CliRunner().invoke(app, ["convert", str(run), "--out", str(out)])
    assert result.exit_code == 0, result.stderr
    assert "edgeinfer-export: warning: compared on generated images only" in result.stderr
    assert "pass --data" in result.stderr


@pytest.mark.parametrize("block", [EXPORT_PACKAGES, ("keras",)], ids=["runtime only", "no keras"])
def test_missing_extra_is_reported_in_one_line(tmp_path: Path, block: tuple[str, ...]) -> None:
    done = run_process("convert", tmp_path, "--out", tmp_path / "m.onnx", block=block)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert "`edgeinfer-export convert` needs the export extra: pip install 'edgeinfer[export]'" in line
    assert "keras" in line
    assert done.stdout == ""


@pytest.mark.parametrize("arguments", [["--help"], ["convert", "--help"]], ids=["program", "command"])
def test_help_works_without_the_extra(arguments: list[str]) -> None:
    done = run_process(*arguments, block=EXPORT_PACKAGES)
    assert done.returncode == 0
    assert "convert" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["convert", "{run}"], 2),
        (["convert", "{run}", "--out", "{out}", "--quantize", "int4"], 2),
        (["convert", "{run}", "--out", "{out}", "--target", "abacus"], 2),
        (["convert", "{run}", "--out", "{out}", "--quantize", "int8", "--calibration-faces", "0"], 2),
        (["convert", "{run}", "--out", "{out}", "--margin", "3"], 2),
        (["best", "{run}"], 2),
        (["worst"], 2),
    ],
    ids=[
        "no output", "unknown variant", "unknown target", "no calibration", "margin", "best without data",
        "unknown command",
    ],
)  # fmt: skip
def test_wrong_usage_has_exit_code_2(run: Path, out: Path, arguments: list[str], code: int) -> None:
    filled = [argument.format(run=run, out=out) for argument in arguments]
    assert CliRunner().invoke(app, filled).exit_code == code
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--out", "{folder}/model.bin"], 2),
        (["--out", "{folder}/model.onnx", "--quantize", "int8"], 2),
        (["--out", "{folder}/model.onnx", "--quantize", "auto"], 2),
        (["--out", "{folder}/model.onnx", "--max-drop", "0.1"], 2),
        (["--out", "{folder}/model.onnx", "--labels", "happy,joy"], 2),
        (["--out", "{folder}/model.onnx", "--data", "{folder}/none"], 4),
        (["--out", "{folder}/none/model.onnx"], 6),
    ],
    ids=[
        "suffix", "int8 without data", "auto without data", "max-drop without quantization", "unknown label",
        "data not found", "folder not found",
    ],
)  # fmt: skip
def test_expected_errors_have_their_exit_codes(run: Path, out: Path, options: list[str], code: int) -> None:
    filled = [option.format(folder=out.parent) for option in options]
    result = CliRunner().invoke(app, ["convert", str(run / MODEL_FILE), *filled])
    assert result.stdout == ""
    assert getattr(result.exception, "exit_code", None) == code
    assert list(out.parent.iterdir()) == []


def test_invalid_model_has_exit_code_5(tmp_path: Path, out: Path) -> None:
    invalid = tmp_path / "invalid.keras"
    invalid.write_bytes(b"no model")
    result = CliRunner().invoke(app, ["convert", str(invalid), "--out", str(out)])
    assert getattr(result.exception, "exit_code", None) == 5
    assert (
        str(result.exception)
        == f"{invalid} is not a model: expected a file that edgeinfer-train fit or Keras wrote, or an .onnx file"
    )
    assert list(out.parent.iterdir()) == []
