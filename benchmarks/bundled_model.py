"""Is the bundled model what its Keras file gives, how well does it read faces, and what does int8 gain?

    python benchmarks/bundled_model.py DATA [--rounds N]

Exports models/edgenet-ferplus.keras again, as float32 and as int8, checks that the int8 graph is the bundled one, bit
for bit, and measures all three forms on the validation split of DATA. Times are of one face a call through
onnxruntime on one thread; float32 and int8 take turns, so that both meet the same noise.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from common import keep
from edgeinfer.model import INPUT_NAME, asset_path, load_session, read_card
from edgeinfer.onnx_file import graph_digest
from edgeinfer_export.export import export_model
from edgeinfer_export.options import ExportOptions
from edgeinfer_export.quiet import quiet
from edgeinfer_train.data import load_split
from edgeinfer_train.evaluate import evaluate

KERAS = Path(__file__).parents[1] / "models" / "edgenet-ferplus.keras"
BUNDLED = asset_path("edgenet-ferplus-int8.onnx")


def times_ms(models: tuple[Path, ...], data: Path, rounds: int) -> list[list[float]]:
    """Milliseconds of each call, a list a model, on faces in turn."""
    sessions = [load_session(path)[0] for path in models]
    faces = load_split(data, "valid", limit=64).images
    found: list[list[float]] = [[] for _ in models]
    for number in range(-50, rounds):  # the first fifty warm up
        face = faces[number % len(faces)][None]
        for session, times in zip(sessions, found, strict=True):
            started = time.perf_counter_ns()
            session.run(None, {INPUT_NAME: face})
            if number >= 0:
                times.append((time.perf_counter_ns() - started) / 1e6)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, quiet():
        fp32, int8 = Path(folder) / "edgenet-ferplus-fp32.onnx", Path(folder) / BUNDLED.name
        export_model(KERAS, fp32, data=options.data, options=ExportOptions(margin=read_card(BUNDLED).margin))
        chosen = ExportOptions(quantize="int8", calibration="percentile", margin=read_card(BUNDLED).margin)
        report = export_model(KERAS, int8, data=options.data, options=chosen)
        same = graph_digest(int8.read_bytes()) == graph_digest(BUNDLED.read_bytes())
        files = {"Keras float32": KERAS, "ONNX float32": fp32, "ONNX int8": BUNDLED}
        evaluations = {name: evaluate(path, options.data, split="valid").metrics for name, path in files.items()}
        sizes = {name: path.stat().st_size for name, path in files.items()}
        times = times_ms((fp32, BUNDLED), options.data, options.rounds)
    medians = [float(np.median(row)) for row in times]
    ratio = medians[1] / medians[0]
    print(f"exported again, the int8 graph is {'the bundled one' if same else 'NOT the bundled one'}")
    figures = {}
    for name, metrics in evaluations.items():
        low, high = metrics.accuracy_interval
        print(
            f"{name:14} {sizes[name] / 1000:7.0f} kB  accuracy {metrics.accuracy:.4f} [{low:.4f}, {high:.4f}]  "
            f"macro-F1 {metrics.macro_f1:.4f}  mean recall {metrics.mean_recall:.4f}"
        )
        figures[name] = {"size_bytes": sizes[name], **metrics.to_mapping()}
    print(f"one face, one thread: int8 takes {ratio:.2f} of the time of float32")
    keep(
        "bundled_model",
        {
            "sha256": read_card(BUNDLED).sha256,
            "reproduced": same,
            "protocol": "FERPlus validation, seven labels, argmax over ten votes, batch of any size",
            "agreement_with_fp32": report.chosen.agreement,
            "calibration_error": asdict(report.confidence) if report.confidence else None,
            "int8_to_fp32_time": ratio,
            "raw_ms": {
                name: [round(value, 4) for value in np.percentile(row, range(0, 101, 5))]
                for name, row in zip(("fp32_percentiles", "int8_percentiles"), times, strict=True)
            },
            "forms": figures,
        },
    )


if __name__ == "__main__":
    main()
