"""Everything measured about one source: the float32 form against Keras, then every quantized form against it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from edgeinfer.errors import OutputError
from edgeinfer.model.session import load_session
from edgeinfer_export.convert.graph import Conversion, to_onnx
from edgeinfer_export.convert.metadata import preliminary_card
from edgeinfer_export.convert.source import Source
from edgeinfer_export.errors import ExportError
from edgeinfer_export.options import MAX_DROP, ExportOptions, VariantName
from edgeinfer_export.quantize.quantizer import Quantizer
from edgeinfer_export.selection.criteria import loss
from edgeinfer_export.verify.measure import Candidate, latencies_ms, measure
from edgeinfer_export.verify.verdict import VERDICT_FACES, Sample, Verdict, face_sample, generated_sample, judge
from edgeinfer_train.datasets.load import load_split

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Study:
    """One source, measured.

    Attributes:
        source: what was studied.
        options: of the export.
        sample: what everything was measured on.
        conversion: the float32 graph and how it came about.
        verdict: how that graph was approved.
        candidates: float32 first.
        failed: forms that could not be made or were refused, with the reason.
        times_ms: (candidates, rounds) of one face on one thread.
        calibration_faces: training faces that set the int8 ranges; 0 without int8.
    """

    source: Source
    options: ExportOptions
    sample: Sample
    conversion: Conversion
    verdict: Verdict
    candidates: tuple[Candidate, ...]
    failed: dict[str, str]
    times_ms: NDArray[np.float64]
    calibration_faces: int


def study(source: Source, options: ExportOptions, *, data: Path | None, folder: Path, say: Progress) -> Study:
    """Convert, compare with Keras, make every form that the options ask for, and measure all of them.

    Args:
        source: what to study.
        options: which forms.
        data: a prepared folder. Its validation faces judge, its training faces calibrate.
        folder: for scratch files.
        say: called with a phrase as each step begins.

    Raises:
        ExportError: the float32 form differs from Keras, or the one form that was asked for cannot be made.
        ModelError: the runtime does not take a form.
        DataError: the faces cannot be used.
        CapabilityError: Keras does not run on TensorFlow.
    """
    shape = source.model.input_shape[1:]
    if data is None:
        sample = generated_sample(shape, options.seed)
    else:
        sample = face_sample(data, source.info.labels, size_hw=shape[:2], colour=source.colour)
    say("converting to ONNX")
    conversion = to_onnx(source.model)
    bench = _Bench(source, options, sample, folder)
    session = bench.open("fp32", conversion.graph)
    say(f"comparing with Keras on {min(len(sample.images), VERDICT_FACES)} {sample.kind}")
    verdict = judge(source.model, session, sample)
    fp32 = measure("fp32", conversion.graph, session, sample, source.info.labels)
    candidates, failed, count = [fp32], dict[str, str](), 0
    if options.variants and data is not None:
        faces = load_split(
            data, "train", size_hw=shape[:2], colour=source.colour, limit=options.calibration_faces,
            seed=options.seed, labels=source.info.labels,
        ).images  # fmt: skip
        count = len(faces)
        say(f"quantizing on {count} training faces")
        quantizer = Quantizer(conversion.graph, faces, folder, calibration=options.calibration)
        made, failed = bench.quantize(quantizer, fp32)
        candidates += made
        candidates += bench.mix(quantizer, fp32, made, say)
    say(f"timing {' '.join(c.name for c in candidates)}")
    times = latencies_ms([c.session for c in candidates], sample.images)
    return Study(source, options, sample, conversion, verdict, tuple(candidates), failed, times, count)


@dataclass(frozen=True, slots=True)
class _Bench:
    """What every form is opened and measured with."""

    source: Source
    options: ExportOptions
    sample: Sample
    folder: Path

    def open(self, name: VariantName, graph: onnx.ModelProto) -> ort.InferenceSession:
        """Open a form as the runtime will, so that what it does not take is noticed here."""
        preliminary_card(graph, self.source, self.options)
        path = self.folder / f"{name}.onnx"
        write(path, graph.SerializeToString(deterministic=True))
        return load_session(path)[0]

    def measure(
        self, name: VariantName, graph: onnx.ModelProto, fp32: Candidate, float_nodes: tuple[str, ...] = ()
    ) -> Candidate:
        labels = self.source.info.labels
        return measure(name, graph, self.open(name, graph), self.sample, labels, fp32=fp32, float_nodes=float_nodes)

    def quantize(self, quantizer: Quantizer, fp32: Candidate) -> tuple[list[Candidate], dict[str, str]]:
        """Make every form; with a choice, one that cannot be had is passed over."""
        made, failed = list[Candidate](), dict[str, str]()
        for name in self.options.variants:
            try:
                made.append(self.measure(name, quantizer.make(name), fp32))
            except ExportError as error:
                if self.options.quantize != "auto":
                    raise
                failed[name] = str(error)
        return made, failed

    def mix(self, quantizer: Quantizer, fp32: Candidate, made: list[Candidate], say: Progress) -> list[Candidate]:
        """Where int8 loses too much, leave its most harmful nodes in float32, if that wins accuracy back.

        Tried are the first one, two, four and so on, up to half of them; the first mixture that keeps the accuracy
        is taken, else the most accurate one.
        """
        limit = MAX_DROP if self.options.max_drop is None else self.options.max_drop
        plain = next((c for c in made if c.name == "int8"), None)
        if plain is None or loss(plain, limit) is None:
            return []
        say("looking for the layers that int8 harms most")
        harmful = quantizer.sensitive_nodes()
        best, count = plain, 1
        while count <= (len(harmful) + 1) // 2:
            kept = harmful[:count]
            mixed = self.measure("int8-mixed", quantizer.make("int8-mixed", keep_float=kept), fp32, kept)
            if best.scores is not None and mixed.scores is not None and mixed.scores.accuracy > best.scores.accuracy:
                best = mixed
            if loss(mixed, limit) is None:
                break
            count *= 2
        return [] if best is plain else [best]


def write(path: Path, content: bytes) -> None:
    """Write a file.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
