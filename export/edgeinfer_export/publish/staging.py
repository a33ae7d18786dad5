"""Output files of an export: staged in a temporary folder, verified, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from edgeinfer.errors import OutputError, UsageError
from edgeinfer.model.card import read_card
from edgeinfer.model.markdown import markdown
from edgeinfer.model.verify import record, verify
from edgeinfer.system.identity import NamedPath, check_distinct
from edgeinfer_export.convert.embedding import add_embedding
from edgeinfer_export.convert.files import write_file
from edgeinfer_export.convert.metadata import write_metadata
from edgeinfer_export.options import ExportOptions
from edgeinfer_export.publish.report import ExportReport
from edgeinfer_export.publish.report_builder import build_report, headline_metrics
from edgeinfer_export.selection.choice import Choice
from edgeinfer_export.selection.evaluation import Evaluation
from edgeinfer_export.verify.confidence import calibrate_confidence
from edgeinfer_export.verify.verdict import PREFERRED_SPLITS, TOLERANCE
from edgeinfer_train.evaluation.inputs import data_inputs, model_inputs
from edgeinfer_train.networks.model import MODEL_FILE

QUANTIZED_TOLERANCE = 0.1
"""Accepted rounding difference of a quantized variant on another processor, relative to the largest logit."""


def report_path(out: Path) -> Path:
    """Return the path of the report for the model file `out`."""
    return out.with_suffix(".json")


def card_path(out: Path) -> Path:
    """Return the path of the card for the model file `out`."""
    return out.with_suffix(".md")


def validate_request(out: Path, data: Path | None, options: ExportOptions) -> None:
    """Refuse an export that cannot succeed, before the first slow step begins.

    Raises:
        UsageError: `out` does not end in .onnx, or quantization was requested without faces.
        OutputError: The output folder does not exist, or a folder has the name of an output file.
    """
    if out.suffix.lower() != ".onnx":
        raise UsageError(f"{out} has the suffix {out.suffix or '(none)'}: expected .onnx")
    if options.needs_data and data is None:
        raise UsageError(f"`quantize` {options.quantize} needs faces to measure: pass a prepared folder as `data`")
    if not out.parent.is_dir():
        raise OutputError(f"the folder {out.parent} does not exist: create it first")
    for path in (out, report_path(out), card_path(out)):
        if path.is_dir():
            raise OutputError(f"{path} is a folder: choose another name")


def check_inputs_are_kept(out: Path, sources: Iterable[Path], data: Path | None) -> None:
    """Check that the model, its report and its card overwrite no file that the export reads.

    Raises:
        UsageError: One of the outputs is such a file.
    """
    outputs = (NamedPath("`out`", str(path)) for path in (out, report_path(out), card_path(out)))
    models = chain.from_iterable(model_inputs(source) for source in sources)
    check_distinct(outputs, chain(models, () if data is None else data_inputs(data)))


@contextlib.contextmanager
def staging_folder(out: Path) -> Iterator[Path]:
    """Create a temporary folder next to `out`, so that publication is a rename within one file system.

    Raises:
        OutputError: The folder cannot be created.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix=f".{out.stem}-", dir=out.parent)
    except OSError as error:
        raise OutputError(f"cannot write to the folder {out.parent}: {error.strerror}") from error
    with folder as name:
        yield Path(name)


def stage(evaluation: Evaluation, choice: Choice, folder: Path) -> tuple[Path, ExportReport]:
    """Write the selected variant with its metadata into the staging folder and verify it with the runtime.

    Raises:
        ModelError: The runtime rejects the file, or its outputs differ from the recorded ones.
        OutputError: The file cannot be written.
    """
    evaluation_set, source = evaluation.evaluation_set, evaluation.source
    chosen = next(candidate for candidate in evaluation.candidates if candidate.name == choice.name)
    confidence = None
    if evaluation_set.labels is not None and evaluation_set.split == PREFERRED_SPLITS[0]:
        confidence = calibrate_confidence(chosen.logits, evaluation_set.labels, evaluation_set.names)
    if evaluation.options.embedding:
        add_embedding(chosen.graph)
    report = build_report(evaluation, choice, chosen, confidence)
    tolerance = TOLERANCE if choice.name == "fp32" else QUANTIZED_TOLERANCE
    write_metadata(
        chosen.graph, source, evaluation.options,
        temperature=confidence.temperature if confidence else 1.0,
        metrics=headline_metrics(chosen, evaluation, confidence),
        report=report.to_mapping() | {"source": _public_name(source.name)},
        samples=record(chosen.session, source.model.input_shape[1:], tolerance=tolerance),
    )  # fmt: skip
    staged = folder / "staged.onnx"
    write_file(staged, chosen.graph.SerializeToString(deterministic=True))
    verify(staged)
    return staged, report


def publish(staged: Path, report: ExportReport, out: Path) -> None:
    """Rename the report, the card and the staged model to their final names; the model is renamed last.

    Raises:
        OutputError: A file cannot be written.
    """
    content = {"model": out.name, "sha256": hashlib.sha256(staged.read_bytes()).hexdigest(), **report.to_mapping()}
    staged_report, staged_card = staged.with_suffix(".json"), staged.with_suffix(".md")
    write_file(staged_report, (json.dumps(content, indent=2) + "\n").encode())
    write_file(staged_card, markdown(read_card(staged), name=out.stem).encode())
    try:
        staged_report.replace(report_path(out))
        staged_card.replace(card_path(out))
        staged.replace(out)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror}") from error


def _public_name(source: str) -> str:
    """Return the name of a run or file without its local folders, which must not be published."""
    path = Path(source)
    return path.parent.name if path.name == MODEL_FILE else path.name
