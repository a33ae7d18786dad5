"""Latency and accuracy of each quantized variant of the bundled network.

    python benchmarks/quantization.py DATA

The script exports models/edgenet-ferplus.keras with `--quantize auto`, which creates all variants, compares them with
float32 on the validation split of DATA, and measures their latency in turn, with one face per call on one thread. This
is done for each of the three calibration methods. All comparisons use the same faces; intervals are 95 %, by bootstrap.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common import save_results
from edgeinfer import LABELS
from edgeinfer.system.stderr import silenced
from edgeinfer_export.options import CALIBRATIONS, Calibration, ExportOptions
from edgeinfer_export.publish.export import export_model
from edgeinfer_export.publish.report import ExportReport

KERAS = Path(__file__).parents[1] / "models" / "edgenet-ferplus.keras"


def export_variants(data: Path, calibration: Calibration) -> ExportReport:
    """Export all variants with one calibration method and return the report."""
    with tempfile.TemporaryDirectory() as folder, silenced():
        options = ExportOptions(labels=LABELS, quantize="auto", max_drop=1.0, calibration=calibration)
        return export_model(KERAS, Path(folder) / "model.onnx", data=data, options=options)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    variants: dict[str, Any] = {}
    for calibration in CALIBRATIONS:
        report = export_variants(options.data, calibration)
        variants[calibration] = [asdict(variant) for variant in report.variants]
        print(f"{calibration}, {report.count:,} faces of {report.dataset} {report.split}, {report.protocol}")
        print(f"{'variant':13}{'kB':>7}{'accuracy':>10}{'macro-F1':>10}{'p50 ms':>9}{'p95 ms':>9}{'to fp32':>9}")
        for v in report.variants:
            print(
                f"{v.name:13}{v.size_bytes / 1000:7.0f}{v.accuracy:10.4f}{v.macro_f1:10.4f}"
                f"{v.p50_ms:9.3f}{v.p95_ms:9.3f}{v.ratio:9.2f}"
            )
    save_results("quantization", {"protocol": f"{report.dataset} {report.split}, {report.protocol}", "forms": variants})


if __name__ == "__main__":
    main()
