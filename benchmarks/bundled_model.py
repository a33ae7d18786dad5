"""Reproduction, accuracy and latency of the bundled models and their teachers.

    python benchmarks/bundled_model.py DATA [--rounds N]

DATA has eight labels (`edgeinfer-train prepare ferplus SOURCE --classes 8`). The script exports
models/edgenet-ferplus.keras with seven and with eight labels, as float32 and as int8, and checks that the int8 graphs
are bit-identical to the bundled ones. The student, and the teachers if models/ contains them (models/README.md restores
them from the history), are evaluated on the validation split: seven labels by argmax over ten votes, without contempt;
the same without the faces of which the training split contains a pixel copy; and eight labels by Microsoft's majority
rule. Latencies are for one face per call of EmotionClassifier on one thread; calls alternate between the models, so
that noise affects all equally. The baseline is MobileNetV2 at 96x96 in float32 on onnxruntime.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import save_results
from corruptions import find_originals
from edgeinfer import LABELS, EmotionClassifier
from edgeinfer.expression.preprocess import model_input
from edgeinfer.expression.probabilities import log_softmax
from edgeinfer.model.card import asset_path, read_card
from edgeinfer.model.onnx_reader import graph_digest
from edgeinfer.system.stderr import silenced
from edgeinfer_export.options import ExportOptions
from edgeinfer_export.publish.export import export_model
from edgeinfer_export.publish.report import ExportReport
from edgeinfer_train.datasets.load import Faces, load_split, read_info
from edgeinfer_train.evaluation.evaluate import Network, load_network, measure
from edgeinfer_train.evaluation.metrics import Metrics
from edgeinfer_train.labels import EIGHT_LABELS, LabelMode
from edgeinfer_train.networks.model import ModelInfo, build_core, load_model, save_model
from edgeinfer_train.training.report import multiply_adds

MODELS = Path(__file__).parents[1] / "models"
KERAS = MODELS / "edgenet-ferplus.keras"
BUNDLED = {7: asset_path("edgenet-ferplus-int8.onnx"), 8: asset_path("edgenet-ferplus8-int8.onnx")}
NAMES = {7: LABELS, 8: EIGHT_LABELS}
PROTOCOLS: dict[str, tuple[LabelMode, int]] = {"7": ("argmax", 7), "no_copy": ("argmax", 7), "8": ("majority", 8)}
"""Label mode and number of labels by protocol. "no_copy" has the faces without a pixel copy in training."""
BASELINE, BASELINE_SIDE = "mobilenetv2 96x96 float32", 96


def export_student(folder: Path, data: Path, count: int, *, int8: bool) -> tuple[Path, ExportReport]:
    """Export the student with seven or eight labels."""
    options = ExportOptions(labels=NAMES[count], margin=read_card(BUNDLED[count]).margin)
    if int8:
        options = replace(options, quantize="int8", calibration="percentile")
    path = folder / (BUNDLED[count].name if int8 else f"edgenet-ferplus{count}-fp32.onnx")
    return path, export_model(KERAS, path, data=data, options=options)


def average(networks: list[Network]) -> Network:
    """Return a network whose probabilities are the mean of those of several networks.

    Its input has the smallest size of these networks, that of the data; pictures are enlarged for the others.
    """
    smallest = min(networks, key=lambda network: network.size_hw)

    def logits(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        probabilities = [np.exp(log_softmax(network.logits(resized(images, network)))) for network in networks]
        return np.asarray(np.log(np.mean(probabilities, axis=0)), dtype=np.float32)

    return replace(smallest, logits=logits)


def resized(images: NDArray[np.uint8], network: Network) -> NDArray[np.uint8]:
    """Return grey or colour pictures at the input size of a network."""
    if images.shape[1:3] == network.size_hw:
        return images
    return np.stack([model_input(image.squeeze(), size_hw=network.size_hw, colour=network.colour) for image in images])


def load_faces(network: Network, data: Path, protocol: str) -> Faces:
    """Return the validation faces of a protocol as inputs of a network."""
    mode, count = PROTOCOLS[protocol]
    faces = load_split(
        data, "valid", size_hw=network.size_hw, colour=network.colour, label_mode=mode, labels=NAMES[count]
    )
    return faces.take(find_originals(data, faces.names)) if protocol == "no_copy" else faces


def evaluate(network: Network, data: Path, protocol: str) -> Metrics:
    """Return the metrics of a network under a protocol."""
    mode, count = PROTOCOLS[protocol]
    faces = load_faces(network, data, protocol)
    return measure(network.with_labels(NAMES[count]), faces, read_info(data), "valid", label_mode=mode).metrics


def export_baseline(folder: Path) -> Path:
    """Export an untrained MobileNetV2, as latency does not depend on the weights."""
    keras, path = folder / "mobilenetv2.keras", folder / "mobilenetv2.onnx"
    prior = dict.fromkeys(LABELS, 1 / len(LABELS))
    core = build_core("mobilenetv2", len(LABELS), image_size=BASELINE_SIDE)
    save_model(core, ModelInfo("mobilenetv2", LABELS, "none", "none", prior, {}), keras)
    export_model(keras, path)
    return path


def measure_latencies(models: dict[str, Path], data: Path, rounds: int) -> dict[str, list[float]]:
    """Return the latency of each call in milliseconds, by model; calls alternate between the models."""
    classifiers = {name: EmotionClassifier.load(path) for name, path in models.items()}
    faces = [face[:, :, 0] for face in load_split(data, "valid", limit=64).images]
    times_ms: dict[str, list[float]] = {name: [] for name in models}
    for number in range(-50, rounds):  # fifty warm-up calls
        for name, classifier in classifiers.items():
            started = time.perf_counter_ns()
            classifier.classify([faces[number % len(faces)]])
            if number >= 0:
                times_ms[name].append((time.perf_counter_ns() - started) / 1e6)
    return times_ms


def to_json(metrics: Metrics, protocol: str) -> dict[str, Any]:
    """Return the metrics without the reliability diagram; for the faces without a copy, only the accuracy."""
    figures = metrics.to_mapping()
    kept = {"count", "accuracy", "accuracy_interval"} if protocol == "no_copy" else figures.keys() - {"reliability"}
    return {name: value for name, value in figures.items() if name in kept}


def report(name: str, size: int, metrics: dict[str, Metrics]) -> dict[str, Any]:
    """Print the figures of a network and return them as JSON values."""
    parts = []
    for protocol, figures in metrics.items():
        low, high = figures.accuracy_interval
        parts.append(f"{protocol}: {figures.accuracy:.4f} [{low:.4f}, {high:.4f}] macro-F1 {figures.macro_f1:.4f}")
    print(f"{name:18}{size / 1000:8.0f} kB  {'  '.join(parts)}")
    return {"size_bytes": size, **{protocol: to_json(figures, protocol) for protocol, figures in metrics.items()}}


def report_keras(data: Path) -> dict[str, Any]:
    """Print and return the figures of the student as a Keras model, and of the teachers that are in `MODELS`."""
    teachers = [load_network(path) for path in sorted(MODELS.glob("teacher-*.keras"))]
    forms = {}
    for teacher in teachers:
        metrics = {protocol: evaluate(teacher, data, protocol) for protocol in PROTOCOLS}
        forms[teacher.path.stem] = report(teacher.path.stem, teacher.path.stat().st_size, metrics)
    if len(teachers) > 1:
        together = {protocol: evaluate(average(teachers), data, protocol) for protocol in PROTOCOLS}
        size = sum(teacher.path.stat().st_size for teacher in teachers)
        forms["teachers, averaged"] = report("teachers, averaged", size, together)
    student = {protocol: evaluate(load_network(KERAS), data, protocol) for protocol in PROTOCOLS}
    forms["student, Keras"] = report("student, Keras", KERAS.stat().st_size, student)
    return forms


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=2000)
    options = parser.parse_args()
    data: Path = options.data
    forms = report_keras(data)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with silenced():
            plain = {count: export_student(folder, data, count, int8=False)[0] for count in NAMES}
            again = {count: export_student(folder, data, count, int8=True) for count in NAMES}
            mobile = export_baseline(folder)
        same = all(graph_digest(again[n][0].read_bytes()) == graph_digest(BUNDLED[n].read_bytes()) for n in NAMES)
        for name, paths in (("student, float32", plain), ("student, int8", BUNDLED)):
            figures = {key: evaluate(load_network(paths[count]), data, key) for key, (_, count) in PROTOCOLS.items()}
            forms[name] = report(name, paths[7].stat().st_size, figures)
        times_ms = measure_latencies({BASELINE: mobile, "float32": plain[7], "int8": BUNDLED[7]}, data, options.rounds)
    print(f"the exported int8 graphs are {'identical to' if same else 'DIFFERENT from'} the bundled ones")
    balanced = measure_balanced(BUNDLED[7], data)
    print(f"mean recall with the balanced prior, int8, seven labels: {balanced:.4f}")
    medians = {name: float(np.median(row)) for name, row in times_ms.items()}
    tails = {name: float(np.percentile(row, 95)) / medians[name] for name, row in times_ms.items()}
    for name in ("float32", "int8"):
        print(
            f"{name}: {medians[name] / medians[BASELINE]:.2f} of the time of {BASELINE}, p95 {tails[name]:.2f} of p50"
        )
    export_report = again[7][1]
    core = load_model(KERAS)[0]
    save_results(
        "bundled_model",
        {
            "sha256": read_card(BUNDLED[7]).sha256,
            "reproduced": same,
            "protocol": "FERPlus validation; seven labels by argmax over ten votes, eight by majority",
            "parameters": core.count_params(),
            "multiply_adds": multiply_adds(core),
            "agreement_with_fp32": export_report.chosen.agreement,
            "calibration_error": asdict(export_report.confidence) if export_report.confidence else None,
            "balanced_mean_recall": balanced,
            "int8_to_fp32_time": medians["int8"] / medians["float32"],
            "int8_to_baseline_time": medians["int8"] / medians[BASELINE],
            "int8_p95_to_p50": tails["int8"],
            "raw_ms": {
                name: [round(value, 4) for value in np.percentile(row, range(0, 101, 5))]
                for name, row in times_ms.items()
            },
            "forms": forms,
        },
    )


def measure_balanced(model: Path, data: Path) -> float:
    """Return the mean recall of a model with seven labels and the balanced prior."""
    network, info = load_network(model), read_info(data)
    faces = load_split(data, "valid", size_hw=network.size_hw, label_mode="argmax", labels=LABELS)
    return measure(network, faces, info, "valid", label_mode="argmax", prior="balanced").metrics.mean_recall


if __name__ == "__main__":
    main()
