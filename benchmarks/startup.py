"""What a first answer costs in a fresh process: time against the imports alone, and peak memory.

    python benchmarks/startup.py [--runs N]

The baseline is a process that imports numpy, OpenCV and onnxruntime and ends. Ours imports edgeinfer, loads the
bundled model and reads one frame of the demo clip, 640x360. Both start alternately; the first pair warms the disk
cache and does not count. Peak memory is the process's own VmHWM, since ru_maxrss starts at the size of the parent.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from common import keep
from edgeinfer.model.card import asset_path

BASELINE = "import numpy, cv2, onnxruntime"
OURS = f"""
import edgeinfer
pipeline = edgeinfer.load_pipeline()
with edgeinfer.open_source({str(asset_path("demo.mp4"))!r}) as source:
    assert pipeline(next(iter(source)).image).faces
"""
MEMORY = "\nprint(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"


def start(code: str) -> tuple[float, float]:
    """Seconds and megabytes of one fresh process."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code + MEMORY], capture_output=True, text=True, check=True)
    return time.perf_counter() - started, int(done.stdout) / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args()
    pairs = [(start(BASELINE), start(OURS)) for _ in range(options.runs + 1)][1:]
    baseline_s, ours_s = (statistics.median(pair[side][0] for pair in pairs) for side in (0, 1))
    peak_mb = max(ours[1] for _, ours in pairs)
    print(f"imports alone {baseline_s:.3f} s, first answer {ours_s:.3f} s, ratio {ours_s / baseline_s:.2f}")
    print(f"peak resident memory {peak_mb:.0f} MB")
    raw = {"baseline_s": [pair[0][0] for pair in pairs], "ours_s": [pair[1][0] for pair in pairs]}
    keep("startup", {"ratio": ours_s / baseline_s, "first_answer_s": ours_s, "peak_mb": peak_mb, "raw": raw})


if __name__ == "__main__":
    main()
