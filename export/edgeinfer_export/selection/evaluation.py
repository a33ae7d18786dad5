"""Evaluation of one model: float32 against Keras, then every quantized variant against float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from edgeinfer.diagnostics.latency import measure_latencies_ms
from edgeinfer.model.session import load_session
from edgeinfer_export.convert.files import write_file
from edgeinfer_export.convert.graph import Conversion
from edgeinfer_export.convert.metadata import write_runtime_metadata
from edgeinfer_export.convert.source import Source
from edgeinfer_export.errors import ExportError
from edgeinfer_export.options import MAX_DROP, ExportOptions, VariantName
from edgeinfer_export.quantize.quantizer import Quantizer
from edgeinfer_export.selection.criteria import excess_loss
from edgeinfer_export.verify.measure import Candidate, measure_variant
from edgeinfer_export.verify.verdict import (
    VERDICT_FACES,
    EvaluationSet,
    Verdict,
    compare_with_original,
    generate_images,
    load_faces,
)
from edgeinfer_train.datasets.load import load_split

Progress = Callable[[str], None]
"""Callback that receives a short description of each step when it starts."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All measurements of one model.

    Attributes:
        source: Evaluated model.
        options: Options of the export.
        evaluation_set: Images on which everything was measured.
        conversion: Float32 graph and its converter.
        verdict: Comparison of this graph with the original model.
        candidates: Measured variants, float32 first.
        failed: Variants that could not be built, with the error.
        latencies_ms: (candidates, rounds) milliseconds of one face on one thread.
        calibration_faces: Number of training faces used for calibration; 0 without quantization.
    """

    source: Source
    options: ExportOptions
    evaluation_set: EvaluationSet
    conversion: Conversion
    verdict: Verdict
    candidates: tuple[Candidate, ...]
    failed: dict[str, str]
    latencies_ms: NDArray[np.float64]
    calibration_faces: int


def evaluate_model(
    source: Source, options: ExportOptions, *, data: Path | None, folder: Path, progress: Progress
) -> Evaluation:
    """Convert a model, compare it with the original, build the requested variants and measure all of them.

    Args:
        source: Model to evaluate.
        options: Options that define the variants.
        data: Prepared folder. Validation faces are used for measurement, training faces for calibration.
        folder: Folder for temporary files.
        progress: Callback at the start of each step.

    Raises:
        ExportError: Float32 differs from the original, or int8 was requested and cannot be built.
        ModelError: The runtime rejects a variant.
        DataError: The faces cannot be used.
        CapabilityError: Keras uses a backend other than TensorFlow.
    """
    shape = source.model.input_shape[1:]
    if data is None:
        evaluation_set = generate_images(shape, options.seed)
    else:
        evaluation_set = load_faces(
            data, source.info.labels, size_hw=shape[:2], colour=source.colour, held_out=source.info.held_out
        )
    progress("converting to ONNX")
    conversion = source.convert()
    evaluator = _VariantEvaluator(source, options, evaluation_set, folder)
    session = evaluator.open_session("fp32", conversion.graph)
    count = min(len(evaluation_set.images), VERDICT_FACES)
    progress(f"comparing with the original model on {count} {evaluation_set.description}")
    verdict = compare_with_original(source.model, session, evaluation_set)
    fp32 = measure_variant("fp32", conversion.graph, session, evaluation_set, source.info.labels)
    candidates, failed, calibration_faces = [fp32], dict[str, str](), 0
    if options.variants and data is not None:
        faces = load_split(
            data, "train", size_hw=shape[:2], colour=source.colour, limit=options.calibration_faces,
            seed=options.seed, labels=source.info.labels,
        ).images  # fmt: skip
        calibration_faces = len(faces)
        progress(f"quantizing on {calibration_faces} training faces")
        quantizer = Quantizer(conversion.graph, faces, folder, calibration=options.calibration)
        quantized, failed = evaluator.build_variants(quantizer, fp32)
        mixed = evaluator.build_mixed(quantizer, fp32, quantized, progress)
        candidates += [*quantized, *([mixed] if mixed else [])]
    progress(f"timing {' '.join(c.name for c in candidates)}")
    latencies_ms = measure_latencies_ms([c.session for c in candidates], [evaluation_set.images] * len(candidates))
    return Evaluation(
        source, options, evaluation_set, conversion, verdict, tuple(candidates), failed, latencies_ms, calibration_faces
    )


@dataclass(frozen=True, slots=True)
class _VariantEvaluator:
    """Evaluator that builds and measures the variants of one model under the same conditions."""

    source: Source
    options: ExportOptions
    evaluation_set: EvaluationSet
    folder: Path

    def open_session(self, name: VariantName, graph: onnx.ModelProto) -> ort.InferenceSession:
        """Open a variant with the runtime's loader, so that a graph that it rejects is detected here."""
        write_runtime_metadata(graph, self.source, self.options)
        path = self.folder / f"{name}.onnx"
        write_file(path, graph.SerializeToString(deterministic=True))
        return load_session(path)[0]

    def measure(
        self, name: VariantName, graph: onnx.ModelProto, fp32: Candidate, float_nodes: tuple[str, ...] = ()
    ) -> Candidate:
        """Measure one quantized variant."""
        return measure_variant(
            name, graph, self.open_session(name, graph), self.evaluation_set, self.source.info.labels, fp32=fp32,
            float_nodes=float_nodes,
        )  # fmt: skip

    def build_variants(self, quantizer: Quantizer, fp32: Candidate) -> tuple[list[Candidate], dict[str, str]]:
        """Build and measure every requested variant.

        Returns:
            The variants, and the errors of those that `auto` could not build.
        """
        candidates, failed = list[Candidate](), dict[str, str]()
        for name in self.options.variants:
            try:
                candidates.append(self.measure(name, quantizer.build(name), fp32))
            except ExportError as error:
                if self.options.quantize != "auto":
                    raise
                failed[name] = str(error)
        return candidates, failed

    def build_mixed(
        self, quantizer: Quantizer, fp32: Candidate, candidates: list[Candidate], progress: Progress
    ) -> Candidate | None:
        """Keep the most sensitive nodes in float32 if int8 loses too much accuracy.

        The number of float32 nodes is doubled from 1 up to half of all nodes, until the accuracy is kept.

        Returns:
            The first variant that keeps the accuracy, else the most accurate one. None if int8 keeps the accuracy
            or no mixed variant is more accurate than int8.
        """
        max_drop = MAX_DROP if self.options.max_drop is None else self.options.max_drop
        int8 = next((c for c in candidates if c.name == "int8"), None)
        if int8 is None or excess_loss(int8, max_drop) is None:
            return None
        progress("searching for the layers that are most sensitive to int8")
        sensitive = quantizer.rank_sensitive_nodes()
        best, count = int8, 1
        while count <= (len(sensitive) + 1) // 2:
            kept = sensitive[:count]
            mixed = self.measure("int8-mixed", quantizer.build("int8-mixed", keep_float=kept), fp32, kept)
            if best.scores is not None and mixed.scores is not None and mixed.scores.accuracy > best.scores.accuracy:
                best = mixed
            if excess_loss(mixed, max_drop) is None:
                break
            count *= 2
        return None if best is int8 else best
