"""One export, from trained model to published file: convert, compare, quantize, compare again, publish."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import onnx
import onnxruntime as ort

from edgeinfer.errors import OutputError, UsageError
from edgeinfer.model import load_session
from edgeinfer.preprocess import Colour
from edgeinfer_export.card import write_card
from edgeinfer_export.convert import OPSET, read_source, to_onnx
from edgeinfer_export.options import ExportOptions, Quantize
from edgeinfer_export.quantize import quantize_int8
from edgeinfer_export.report import ExportReport, Variant, VariantName
from edgeinfer_export.validate import (
    PREFERRED_SPLITS,
    VERDICT_FACES,
    Logits,
    Sample,
    Verdict,
    check_batch,
    face_sample,
    judge,
    latency_ms,
    random_sample,
    run_logits,
)
from edgeinfer_train.backbones import BACKBONES
from edgeinfer_train.data import Faces, load_split
from edgeinfer_train.metrics import Metrics, score
from edgeinfer_train.model import ModelInfo

ACCURACY_LOSS = 0.02
"""How much accuracy int8 may lose before the report warns."""
PACKAGES = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime")

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is exported, and what it is measured on."""

    model: keras.Model
    info: ModelInfo
    colour: Colour
    options: ExportOptions
    sample: Sample

    def load(self, graph: onnx.ModelProto, path: Path, metrics: dict[str, Any]) -> ort.InferenceSession:
        """Write a candidate with its card and open it as the runtime will."""
        write_card(graph, self.info, self.options, colour=self.colour, metrics=metrics)
        _write(path, graph.SerializeToString(deterministic=True))
        return load_session(path)[0]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One form of the model with its answers."""

    name: VariantName
    graph: onnx.ModelProto
    session: ort.InferenceSession
    logits: Logits
    scores: Metrics | None


def export_model(
    source: Path,
    out: Path,
    *,
    data: Path | None = None,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
) -> ExportReport:
    """Turn a trained model into one ONNX file that tells how to use it.

    The file gets its name only after the float32 form agreed with Keras and the runtime accepted the result.
    After a failure nothing new lies under that name, and an older file there is untouched.

    Args:
        source: a run folder, or a `.keras` file that `edgeinfer-train fit` wrote.
        out: the `.onnx` file; its report goes to the same name with `.json`.
        data: a prepared folder. Its validation faces judge, its training faces calibrate.
        options: what to make; float32 by default.
        progress: called with a phrase as each step begins.

    Raises:
        UsageError: `out` has another suffix, or int8 is asked for without `data`.
        OutputError: `out` cannot be written.
        ModelError: `source` is missing or not one of ours, or the runtime does not take the result.
        ExportError: the model cannot be converted or quantized, or is refused.
        DataError: the faces cannot be used.
        CapabilityError: Keras does not run on TensorFlow.
    """
    options, say = options or ExportOptions(), progress or (lambda _: None)
    _check_request(out, data, options.quantize)
    say(f"reading {source}")
    subject = _read_subject(source, data, options)
    sample = subject.sample
    with _staging(out) as folder:
        say("converting to ONNX")
        graph = to_onnx(subject.model)
        session = subject.load(graph, folder / "fp32.onnx", {})
        say(f"comparing with Keras on {min(len(sample.images), VERDICT_FACES)} {sample.kind}")
        verdict = judge(subject.model, session, sample)
        candidates = [_candidate("fp32", graph, session, subject)]
        faces = None
        if options.quantize == "int8" and data is not None:
            faces = _calibration_faces(data, subject)
            say(f"quantizing on {len(faces)} training faces")
            graph = quantize_int8(graph, faces.images, folder)
            session = subject.load(graph, folder / "int8.onnx", {})
            check_batch(session, sample.images)
            candidates.append(_candidate("int8", graph, session, subject))
        final = folder / "final.onnx"
        subject.load(graph, final, _card_metrics(candidates, sample, verdict, faces))
        report = _report(final, source, out, subject=subject, candidates=candidates, verdict=verdict, faces=faces)
        _publish(final, report, out)
    return report


def report_path(out: Path) -> Path:
    """Where the report of an export to `out` lies."""
    return out.with_suffix(".json")


def _check_request(out: Path, data: Path | None, quantize: Quantize) -> None:
    if out.suffix.lower() != ".onnx":
        raise UsageError(f"{out} has the suffix {out.suffix or '(none)'}; a model file ends in .onnx")
    if quantize == "int8" and data is None:
        raise UsageError("int8 needs faces to measure its ranges; give a prepared folder with --data")
    if not out.parent.is_dir():
        raise OutputError(f"the folder {out.parent} does not exist; create it first")
    for path in (out, report_path(out)):
        if path.is_dir():
            raise OutputError(f"{path} is a folder; choose another name")


def _read_subject(source: Path, data: Path | None, options: ExportOptions) -> _Subject:
    model, info = read_source(source)
    shape = model.input_shape[1:]
    colour = BACKBONES[info.backbone].colour  # type: ignore[index]
    if data is None:
        sample = random_sample(shape, options.seed)
    else:
        sample = face_sample(data, info, size_hw=shape[:2], colour=colour)
    return _Subject(model, info, colour, options, sample)


def _calibration_faces(data: Path, subject: _Subject) -> Faces:
    """Training faces, spread evenly over their names; `load_split` leaves out copies of held-out faces."""
    size_hw, limit = subject.model.input_shape[1:3], subject.options.calibration_faces
    return load_split(data, "train", size_hw=size_hw, colour=subject.colour, limit=limit)


def _candidate(
    name: VariantName, graph: onnx.ModelProto, session: ort.InferenceSession, subject: _Subject
) -> _Candidate:
    logits, labels = run_logits(session, subject.sample.images), subject.sample.labels
    scores = None if labels is None else score(logits, labels, subject.info.labels)
    return _Candidate(name, graph, session, logits, scores)


def _card_metrics(
    candidates: list[_Candidate], sample: Sample, verdict: Verdict, faces: Faces | None
) -> dict[str, Any]:
    """Figures for the model's own metadata: nothing that varies between two exports of the same model."""
    fp32, chosen = candidates[0], candidates[-1]
    metrics: dict[str, Any] = {"precision": chosen.name}
    if chosen.scores:
        metrics |= {
            "accuracy": round(chosen.scores.accuracy, 4),
            "accuracy_interval": [round(bound, 4) for bound in chosen.scores.accuracy_interval],
            "macro_f1": round(chosen.scores.macro_f1, 4),
            "mean_recall": round(chosen.scores.mean_recall, 4),
            "recall": {name: round(s.recall, 4) for name, s in chosen.scores.per_class.items() if s.count},
            "dataset": sample.dataset,
            "split": sample.split,
            "protocol": sample.protocol,
            "count": chosen.scores.count,
        }
    if faces is not None:
        metrics["agreement_with_fp32"] = round(_agreement(chosen, fp32), 4)
        metrics["calibration"] = {"method": "MinMax", "split": "train", "count": len(faces)}
    if chosen is not fp32 and fp32.scores:
        metrics["fp32"] = {
            "accuracy": round(fp32.scores.accuracy, 4),
            "macro_f1": round(fp32.scores.macro_f1, 4),
        }
    metrics["verified"] = verdict.verified
    metrics["verdict"] = {
        "count": verdict.count,
        "max_relative_difference": verdict.max_relative_difference,
        "tolerance": verdict.tolerance,
        "opset": OPSET,
    }
    return metrics


def _agreement(candidate: _Candidate, fp32: _Candidate) -> float:
    return float((candidate.logits.argmax(1) == fp32.logits.argmax(1)).mean())


def _variant(candidate: _Candidate, fp32: _Candidate, size_bytes: int, sample: Sample) -> Variant:
    return Variant(
        name=candidate.name,
        size_bytes=size_bytes,
        accuracy=candidate.scores.accuracy if candidate.scores else None,
        macro_f1=candidate.scores.macro_f1 if candidate.scores else None,
        agreement=_agreement(candidate, fp32),
        latency_ms=latency_ms(candidate.session, sample.images[0]),
    )


def _report(
    final: Path,
    source: Path,
    out: Path,
    *,
    subject: _Subject,
    candidates: list[_Candidate],
    verdict: Verdict,
    faces: Faces | None,
) -> ExportReport:
    sample, content = subject.sample, final.read_bytes()
    # The published one carries its figures; the other only its card.
    sizes = [c.graph.ByteSize() if c is not candidates[-1] else len(content) for c in candidates]
    variants = tuple(_variant(c, candidates[0], size, sample) for c, size in zip(candidates, sizes, strict=True))
    return ExportReport(
        model=out.name,
        sha256=hashlib.sha256(content).hexdigest(),
        source=str(source),
        verdict=verdict,
        variants=variants,
        count=len(sample.images),
        split=sample.split,
        calibration_faces=0 if faces is None else len(faces),
        operators=dict(sorted(Counter(node.op_type for node in candidates[-1].graph.graph.node).items())),
        warnings=(*_sample_warnings(sample), *_int8_warnings(faces, subject.options, variants)),
        versions={name: metadata.version(name) for name in PACKAGES},
    )


def _sample_warnings(sample: Sample) -> list[str]:
    if sample.split is None:
        return ["compared on random pictures only, so the file says 'not verified on faces'; give --data"]
    warnings = []
    if sample.split != PREFERRED_SPLITS[0]:
        warnings.append(f"{sample.dataset} has no validation faces: every figure is of its {sample.kind}")
    if len(sample.images) < VERDICT_FACES:
        warnings.append(f"compared on {len(sample.images)} {sample.kind} only; {VERDICT_FACES} are wanted")
    return warnings


def _int8_warnings(faces: Faces | None, options: ExportOptions, variants: tuple[Variant, ...]) -> list[str]:
    if faces is None:
        return []
    warnings = []
    if len(faces) < 0.9 * options.calibration_faces:  # a few copies of held-out faces are no news
        warnings.append(f"calibrated on {len(faces)} training faces; {options.calibration_faces} were asked for")
    before, after = variants[0].accuracy, variants[-1].accuracy
    if before is not None and after is not None and after < before - ACCURACY_LOSS:
        warnings.append(f"int8 loses accuracy: {after:.4f} against {before:.4f} in float32")
    return warnings


@contextlib.contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """A folder beside the output, so that the last step is a rename; it goes whatever happens."""
    try:
        folder = tempfile.TemporaryDirectory(prefix=f".{out.stem}-", dir=out.parent)
    except OSError as error:
        raise OutputError(f"cannot write in the folder {out.parent}: {error.strerror}") from error
    with folder as name:
        yield Path(name)


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error


def _publish(final: Path, report: ExportReport, out: Path) -> None:
    described = final.with_suffix(".json")
    _write(described, (json.dumps(report.to_mapping(), indent=2) + "\n").encode())
    try:
        # The model comes last: where it lies, its report lies too.
        described.replace(report_path(out))
        final.replace(out)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror}") from error
