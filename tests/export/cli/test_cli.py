"""The command line: exit codes, what goes where, and the sentence for a missing extra."""

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

BLOCKED = ("tensorflow", "keras", "tf2onnx", "onnx", "pandas")


def command(*arguments: str | Path, block: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run `edgeinfer-export` in a process of its own, some packages made impossible to import."""
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({block!r})); sys.argv[0] = 'edgeinfer-export'; "
        "from edgeinfer_export.cli.app import main; main()"
    )
    environment = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**environment, "KERAS_BACKEND": "jax"},
    )


def test_an_export_prints_its_table_and_nothing_that_is_not_ours_and_repeats_itself(
    run: Path, small_data: Path, out: Path
) -> None:
    options = ["--data", str(small_data), "--quantize", "int8", "--calibration-faces", "9", "--margin", "0.1"]
    done = command("convert", run, "--out", out, *options, "--max-drop", "1")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        f"reading {run} …",
        "converting to ONNX …",
        "comparing with Keras on 14 validation faces …",
        "quantizing on 9 training faces …",
        "timing fp32 int8 …",
        "edgeinfer-export: warning: compared on 14 validation faces only; 256 are wanted",
        "edgeinfer-export: warning: too few validation faces to calibrate the confidence; the temperature stays 1",
    ]
    head, before, after, verdict, published = done.stdout.splitlines()
    assert head.split("outcome")[0].split() == [
        "form", "size", "kB", "accuracy", "macro-F1", "agreement", "p50", "ms", "p95", "ms", "time"
    ]  # fmt: skip
    assert (before.split()[0], after.split()[0], after.split()[-1]) == ("fp32", "int8", "published")
    assert verdict.endswith("(on 14 validation faces)")
    assert published == f"{out} is the int8 form of {run / MODEL_FILE}: int8 was asked for"
    # The same model exported by another process is the same graph with the same answers.
    again = out.with_name("again.onnx")
    chosen = ExportOptions(quantize="int8", calibration_faces=9, margin=0.1, max_drop=1.0)
    export_model(run, again, data=small_data, options=chosen)
    first, second = (summarize(path.read_bytes()).metadata for path in (out, again))
    varying = {"edgeinfer.report"}
    assert {k: v for k, v in first.items() if k not in varying} == {k: v for k, v in second.items() if k not in varying}
    assert first["edgeinfer.digest"] == graph_digest(out.read_bytes())


def test_best_says_what_it_passed_over(runs: dict[str, Path], small_data: Path, out: Path) -> None:
    done = command(
        "best", *runs.values(), out.parent / "none", "--out", out, "--data", small_data, "--quantize", "none"
    )
    assert done.returncode == 0, done.stderr
    passed = [line for line in done.stdout.splitlines() if line.startswith("passed over: ")]
    assert len(passed) == 2
    assert passed[0] == f"passed over: {out.parent / 'none'}: " + (
        f"no model at {out.parent / 'none'}: expected a .keras file written by edgeinfer-train fit"
    )
    assert "less accurate" in passed[1]
    assert load_session(out)[1].labels == LABELS


@pytest.mark.parametrize("block", [BLOCKED, ("keras",)], ids=["runtime only", "no keras"])
def test_without_the_extra_one_sentence_says_what_to_install(tmp_path: Path, block: tuple[str, ...]) -> None:
    done = command("convert", tmp_path, "--out", tmp_path / "m.onnx", block=block)
    assert done.returncode == 3
    (sentence,) = done.stderr.splitlines()
    assert "`edgeinfer-export convert` needs the export extra: pip install 'edgeinfer[export]'" in sentence
    assert "keras" in sentence
    assert done.stdout == ""


@pytest.mark.parametrize("arguments", [["--help"], ["convert", "--help"]], ids=["program", "command"])
def test_help_needs_no_extra(arguments: list[str]) -> None:
    done = command(*arguments, block=BLOCKED)
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
    ids=["no output", "unknown form", "unknown target", "no calibration", "margin", "best of what", "unknown command"],
)
def test_wrong_usage_is_exit_code_2(run: Path, out: Path, arguments: list[str], code: int) -> None:
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
        "suffix",
        "int8 without data",
        "auto without data",
        "no form to drop",
        "unknown label",
        "no such data",
        "no such folder",
    ],
)
def test_expected_errors_keep_their_exit_codes(run: Path, out: Path, options: list[str], code: int) -> None:
    filled = [option.format(folder=out.parent) for option in options]
    result = CliRunner().invoke(app, ["convert", str(run / MODEL_FILE), *filled])
    assert result.stdout == ""
    assert getattr(result.exception, "exit_code", None) == code
    assert list(out.parent.iterdir()) == []


def test_a_bad_model_is_exit_code_5(tmp_path: Path, out: Path) -> None:
    bad = tmp_path / "bad.keras"
    bad.write_bytes(b"no model")
    result = CliRunner().invoke(app, ["convert", str(bad), "--out", str(out)])
    assert getattr(result.exception, "exit_code", None) == 5
    assert str(result.exception) == f"{bad} is not a .keras file"
    assert list(out.parent.iterdir()) == []
