"""One export, from trained model to published file: study every form, choose one, publish it with its card."""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import tempfile
from collections import Counter
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edgeinfer.errors import OutputError, UsageError
from edgeinfer.model.card import read_card
from edgeinfer.model.markdown import markdown
from edgeinfer.model.verify import record, verify
from edgeinfer.system.hardware import cpu_name
from edgeinfer_export.convert.graph import OPSET
from edgeinfer_export.convert.metadata import final_card, limits
from edgeinfer_export.convert.source import read_source
from edgeinfer_export.options import ExportOptions
from edgeinfer_export.publish.report import ExportReport, Training, Variant
from edgeinfer_export.selection.choose import Choice, choose
from edgeinfer_export.selection.study import Progress, Study, study, write
from edgeinfer_export.verify.confidence import Confidence, fit_confidence
from edgeinfer_export.verify.measure import Candidate
from edgeinfer_export.verify.verdict import PREFERRED_SPLITS, TOLERANCE, VERDICT_FACES, Sample
from edgeinfer_train.networks.model import MODEL_FILE

PACKAGES = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime")
ROUNDED_TOLERANCE = 0.1
"""How far another processor may round the answers of a form with fewer bits, relative to the largest logit."""


def export_model(
    source: Path | keras.Model,
    out: Path,
    *,
    data: Path | None = None,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
) -> ExportReport:
    """Turn a trained model into one ONNX file that tells how to use it.

    The file gets its name only after the float32 form agreed with Keras and the runtime accepted the result.
    After a failure nothing new lies under that name, and an older file there is untouched. Beside it lie the
    report, `.json`, and the card, `.md`.

    Args:
        source: a run folder, a `.keras` file, or a model. What `edgeinfer-train fit` did not write needs
            `options.labels` and `data`.
        out: the `.onnx` file.
        data: a prepared folder. Its validation faces judge, its training faces calibrate.
        options: what to make; float32 by default.
        progress: called with a phrase as each step begins.

    Raises:
        UsageError: `out` has another suffix, or faces or labels are needed and not given.
        OutputError: `out` cannot be written.
        ModelError: `source` is missing or not one of ours, or the runtime does not take the result.
        ExportError: the model cannot be converted or quantized, or is refused.
        DataError: the faces cannot be used.
        CapabilityError: Keras does not run on TensorFlow.
    """
    options, say = options or ExportOptions(), progress or (lambda _: None)
    check_request(out, data, options)
    say(f"reading {source if isinstance(source, Path) else source.name}")
    read = read_source(source, labels=options.labels, data=data)
    with staging(out) as folder:
        studied = study(read, options, data=data, folder=folder, say=say)
        staged, report = stage(studied, choose(studied), folder)
        publish(staged, report, out)
    return report


def report_path(out: Path) -> Path:
    """Where the report of an export to `out` lies."""
    return out.with_suffix(".json")


def card_path(out: Path) -> Path:
    """Where the card of an export to `out` lies."""
    return out.with_suffix(".md")


def check_request(out: Path, data: Path | None, options: ExportOptions) -> None:
    """Refuse at once what cannot be met.

    Raises:
        UsageError: another suffix than .onnx, or quantization without faces.
        OutputError: the folder is missing, or a folder has one of the names.
    """
    if out.suffix.lower() != ".onnx":
        raise UsageError(f"{out} has the suffix {out.suffix or '(none)'}; a model file ends in .onnx")
    if options.needs_data and data is None:
        raise UsageError(f"{options.quantize} needs faces to measure with; give a prepared folder with --data")
    if not out.parent.is_dir():
        raise OutputError(f"the folder {out.parent} does not exist; create it first")
    for path in (out, report_path(out), card_path(out)):
        if path.is_dir():
            raise OutputError(f"{path} is a folder; choose another name")


@contextlib.contextmanager
def staging(out: Path) -> Iterator[Path]:
    """A folder beside the output, so that the last step is a rename; it goes whatever happens."""
    try:
        folder = tempfile.TemporaryDirectory(prefix=f".{out.stem}-", dir=out.parent)
    except OSError as error:
        raise OutputError(f"cannot write in the folder {out.parent}: {error.strerror}") from error
    with folder as name:
        yield Path(name)


def stage(studied: Study, choice: Choice, folder: Path) -> tuple[Path, ExportReport]:
    """Write the chosen form with its card into the staging folder and check it as its user would.

    Raises:
        ModelError: the runtime does not take it, or it does not answer as recorded.
        OutputError: it cannot be written.
    """
    sample, source = studied.sample, studied.source
    chosen = next(c for c in studied.candidates if c.name == choice.name)
    confidence = None
    if sample.labels is not None and sample.split == PREFERRED_SPLITS[0]:
        confidence = fit_confidence(chosen.logits, sample.labels, sample.names)
    report = _report(studied, choice, chosen, confidence)
    tolerance = TOLERANCE if choice.name == "fp32" else ROUNDED_TOLERANCE
    final_card(
        chosen.graph, source, studied.options,
        temperature=confidence.temperature if confidence else 1.0,
        metrics=_headline(chosen, studied, confidence),
        report=report.to_mapping() | {"source": _public_name(studied.source.name)},
        samples=record(chosen.session, source.model.input_shape[1:], tolerance=tolerance),
    )  # fmt: skip
    staged = folder / "staged.onnx"
    write(staged, chosen.graph.SerializeToString(deterministic=True))
    verify(staged)
    return staged, report


def publish(staged: Path, report: ExportReport, out: Path) -> None:
    """Give the staged model, its report and its card their names; the model comes last.

    Raises:
        OutputError: one of them cannot be written.
    """
    content = {"model": out.name, "sha256": hashlib.sha256(staged.read_bytes()).hexdigest(), **report.to_mapping()}
    described, card = staged.with_suffix(".json"), staged.with_suffix(".md")
    write(described, (json.dumps(content, indent=2) + "\n").encode())
    write(card, markdown(read_card(staged), name=out.stem).encode())
    try:
        described.replace(report_path(out))
        card.replace(card_path(out))
        staged.replace(out)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror}") from error


def _public_name(source: str) -> str:
    """The name of a run or file without the folders that only its owner has."""
    path = Path(source)
    return path.parent.name if path.name == MODEL_FILE else path.name


def _headline(chosen: Candidate, studied: Study, confidence: Confidence | None) -> dict[str, Any]:
    """The figures that a user asks for first, with what they were measured on."""
    figures: dict[str, Any] = {"precision": chosen.name, "verified": studied.verdict.verified}
    if chosen.scores:
        figures |= {
            "accuracy": round(chosen.scores.accuracy, 4),
            "accuracy_interval": [round(bound, 4) for bound in chosen.scores.accuracy_interval],
            "macro_f1": round(chosen.scores.macro_f1, 4),
            "mean_recall": round(chosen.scores.mean_recall, 4),
            "recall": {name: round(s.recall, 4) for name, s in chosen.scores.per_class.items() if s.count},
            "dataset": studied.sample.dataset,
            "split": studied.sample.split,
            "protocol": studied.sample.protocol,
            "count": chosen.scores.count,
        }
    if confidence:
        figures["calibration_error"] = round(confidence.error_after, 4)
    return figures


def _report(studied: Study, choice: Choice, chosen: Candidate, confidence: Confidence | None) -> ExportReport:
    sample, info, options = studied.sample, studied.source.info, studied.options
    calibration = {"method": options.calibration, "faces": studied.calibration_faces, "seed": options.seed}
    return ExportReport(
        source=studied.source.name,
        published=choice.name,
        rule=choice.rule,
        variants=_variants(studied, choice),
        failed=studied.failed,
        machine=f"{platform.machine()} {cpu_name()}",
        count=len(sample.images),
        dataset=sample.dataset,
        split=sample.split,
        protocol=sample.protocol,
        verdict=studied.verdict,
        converter=studied.conversion.converter,
        converters_failed=studied.conversion.failed,
        opset=OPSET,
        operators=dict(sorted(Counter(node.op_type for node in chosen.graph.graph.node).items())),
        calibration={**calibration, "split": "train"} if studied.calibration_faces else None,
        confidence=confidence,
        training=Training(info.backbone, info.label_mode, info.commit, info.settings),
        limits=limits(info, chosen.scores, confidence),
        warnings=(*_sample_warnings(sample, confidence), *_int8_warnings(studied, chosen)),
        versions={name: metadata.version(name) for name in PACKAGES},
    )


def _variants(studied: Study, choice: Choice) -> tuple[Variant, ...]:
    reference = float(np.median(studied.times_ms[0]))
    made = []
    for candidate, times in zip(studied.candidates, studied.times_ms, strict=True):
        p50, p95 = np.percentile(times, [50, 95]).tolist()
        scores = candidate.scores
        made.append(
            Variant(
                name=candidate.name, size_bytes=candidate.size_bytes,
                accuracy=scores.accuracy if scores else None, macro_f1=scores.macro_f1 if scores else None,
                change=candidate.change, agreement=candidate.agreement, p50_ms=p50, p95_ms=p95,
                ratio=p50 / reference, float_nodes=candidate.float_nodes, outcome=choice.outcomes[candidate.name],
            )
        )  # fmt: skip
    return tuple(made)


def _sample_warnings(sample: Sample, confidence: Confidence | None) -> list[str]:
    if sample.split is None:
        return ["compared on generated pictures only, so the file says 'not verified on faces'; give --data"]
    warnings = []
    if sample.split != PREFERRED_SPLITS[0]:
        warnings.append(f"{sample.dataset} has no validation faces: every figure is of its {sample.kind}")
    if len(sample.images) < VERDICT_FACES:
        warnings.append(f"compared on {len(sample.images)} {sample.kind} only; {VERDICT_FACES} are wanted")
    if confidence is None:
        warnings.append("too few validation faces to calibrate the confidence; the temperature stays 1")
    return warnings


def _int8_warnings(studied: Study, chosen: Candidate) -> list[str]:
    count, wanted = studied.calibration_faces, studied.options.calibration_faces
    warnings = []
    if 0 < count < 0.9 * wanted:  # a few copies of held-out faces are no news
        warnings.append(f"calibrated on {count} training faces; {wanted} were asked for")
    change = chosen.change
    if change and change.accuracy_interval[1] < 0:
        low, high = change.accuracy_interval
        warnings.append(
            f"{chosen.name} loses accuracy: {change.accuracy:+.4f} [{low:+.4f}, {high:+.4f}] against float32"
        )
    return warnings
