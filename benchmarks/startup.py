"""Time to the first result in a new process, relative to the imports alone, and peak memory.

    python benchmarks/startup.py [--runs N]

The baseline is a process that imports numpy, OpenCV and onnxruntime and exits. The measured process imports edgeinfer,
loads the bundled model and processes one 640x360 frame of the demo clip. Both run alternately; the first pair warms
the disk cache and is not counted. Peak memory is VmHWM of the process, because ru_maxrss includes that of the parent.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from common import save_results
from edgeinfer.model.card import asset_path

BASELINE = "import numpy, cv2, onnxruntime"
MEMORY = "\nprint(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"


def first_result(model: str | None = None) -> str:
    """Return a program that loads a model, by default the bundled one, and processes one frame of the demo clip."""
    return f"""
import edgeinfer
pipeline = edgeinfer.load_pipeline(model={model!r})
with edgeinfer.open_source({str(asset_path("demo.mp4"))!r}) as source:
    assert pipeline(next(iter(source)).image).faces
"""


def run_process(code: str) -> tuple[float, float]:
    """Return the duration in seconds and the peak memory in MiB of one new process."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code + MEMORY], capture_output=True, text=True, check=True)
    return time.perf_counter() - started, int(done.stdout) / 1024


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args()
    pairs = [(run_process(BASELINE), run_process(first_result())) for _ in range(options.runs + 1)][1:]
    baseline_s, ours_s = (statistics.median(pair[side][0] for pair in pairs) for side in (0, 1))
    peak_mb = max(ours[1] for _, ours in pairs)
    print(f"imports alone {baseline_s:.3f} s, first result {ours_s:.3f} s, ratio {ours_s / baseline_s:.2f}")
    print(f"peak resident memory {peak_mb:.0f} MB")
    raw = {"baseline_s": [pair[0][0] for pair in pairs], "ours_s": [pair[1][0] for pair in pairs]}
    save_results("startup", {"ratio": ours_s / baseline_s, "first_answer_s": ours_s, "peak_mb": peak_mb, "raw": raw})


if __name__ == "__main__":
    main()
