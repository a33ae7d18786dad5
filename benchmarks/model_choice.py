"""Accuracy, time and memory of `--model accurate` and of the default model.

    python benchmarks/model_choice.py DATA [--rounds N]

DATA has eight labels (`edgeinfer-train prepare ferplus SOURCE --classes 8`). Both models have seven labels. They are
evaluated on the validation split: the argmax of ten votes over seven labels; the same without the faces of which the
training split contains a pixel copy; and faces with a majority among eight labels, where every face with contempt
counts as an error. The difference is paired by face, with a 95 % interval by bootstrap. Latencies are for one face per
call on one thread, and calls alternate between the models. Memory is the peak of a process that loads the model and
processes one frame of the demo clip.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundled_model import NAMES, PROTOCOLS, load_faces, measure_balanced, measure_latencies, to_json
from common import save_results
from edgeinfer.model.card import ACCURATE, find_model
from edgeinfer_train.evaluation.evaluate import Network, load_network
from edgeinfer_train.evaluation.metrics import change, score
from startup import first_result, run_process

MODELS = {"default": find_model(None), ACCURATE: find_model(ACCURATE)}


def predict(network: Network, images: NDArray[np.uint8], labels: tuple[str, ...]) -> NDArray[np.float32]:
    """Return the logits of the labels; those that the model lacks are never the largest."""
    logits = network.logits(images)
    lowest = logits.min(axis=1) - 20
    columns = [logits[:, network.labels.index(label)] if label in network.labels else lowest for label in labels]
    return np.stack(columns, axis=1)


def measure_accuracy(data: Path) -> dict[str, Any]:
    """Return the metrics of both models and their paired difference, by protocol."""
    networks = {name: load_network(path) for name, path in MODELS.items()}
    found: dict[str, Any] = {name: {} for name in (*MODELS, "difference")}
    for protocol, (_, count) in PROTOCOLS.items():
        faces, labels = load_faces(networks["default"], data, protocol), NAMES[count]
        logits = {name: predict(network, faces.images, labels) for name, network in networks.items()}
        for name in MODELS:
            found[name][protocol] = to_json(score(logits[name], faces.labels, labels), protocol)
        found["difference"][protocol] = asdict(change(logits["default"], logits[ACCURATE], faces.labels))
    for name, path in MODELS.items():
        found[name]["balanced_mean_recall"] = measure_balanced(path, data)
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=2000)
    options = parser.parse_args()
    figures = measure_accuracy(options.data)
    times_ms = measure_latencies(MODELS, options.data, options.rounds)
    for name, path in MODELS.items():
        median = float(np.median(times_ms[name]))
        figures[name] |= {
            "size_bytes": path.stat().st_size, "p50_ms": median,
            "ratio": median / float(np.median(times_ms["default"])),
            "p95_to_p50": float(np.percentile(times_ms[name], 95)) / median,
            "peak_mb": max(run_process(first_result(str(path)))[1] for _ in range(3)),
        }  # fmt: skip
        seven, no_copy, eight = (figures[name][protocol] for protocol in PROTOCOLS)
        print(
            f"{name:8} {seven['accuracy']:.4f} seven labels, {no_copy['accuracy']:.4f} without copies, "
            f"{eight['accuracy']:.4f} majority, macro-F1 {seven['macro_f1']:.4f}, "
            f"balanced mean recall {figures[name]['balanced_mean_recall']:.4f}, "
            f"{figures[name]['ratio']:.2f} times the latency ({median:.2f} ms), {figures[name]['peak_mb']:.0f} MB"
        )
    for protocol, difference in figures["difference"].items():
        low, high = difference["accuracy_interval"]
        print(f"difference, {protocol}: {difference['accuracy']:+.4f} [{low:+.4f}, {high:+.4f}]")
    save_results("model_choice", {"protocol": "FERPlus validation", **figures})


if __name__ == "__main__":
    main()
