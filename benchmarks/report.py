"""Size, time and memory of a report about 100 long recordings, and about 10,000 short ones.

    python benchmarks/report.py

The results are synthetic: two faces per frame whose expression and confidence change at random.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import save_results
from edgeinfer.results import LABELS

FPS = 30
LONG, SHORT = (100, 120.0), (10_000, 1.0)
"""Number of recordings, and the length of each in seconds."""


def write_result(path: Path, seconds: float, seed: int) -> None:
    """Write a JSONL result with two faces per frame."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    label, confidence = ["neutral", "happy"], [0.8, 0.6]
    model = {"name": "synthetic", "sha256": "0" * 64, "labels": list(LABELS)}
    header = {"type": "header", "schema": 1, "source": f"{path.stem}.mp4", "model": model, "versions": {}}
    shares = dict.fromkeys(LABELS, 0.1)
    with path.open("w") as file:
        file.write(json.dumps(header) + "\n")
        for frame in range(round(seconds * FPS)):
            faces = []
            for track in range(2):
                if chance.random() < 1 / 90:
                    label[track] = chance.choice(LABELS)
                confidence[track] = min(0.99, max(0.3, confidence[track] + chance.gauss(0, 0.01)))
                face = {"track": track + 1, "box": [100 * track, 50, 80, 80], "label": label[track]}
                faces.append(face | {"confidence": round(confidence[track], 4), "probabilities": shares, "raw": shares})
            line = {"type": "frame", "frame": frame, "time_s": round(frame / FPS, 4), "faces": faces}
            file.write(json.dumps(line, separators=(",", ":")) + "\n")
        file.write('{"type":"summary"}\n')


def measure(recordings: int, seconds: float) -> dict[str, Any]:
    """Write the results, and measure a report about them in a subprocess."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "results")
        folder.mkdir()
        for number in range(recordings):
            write_result(folder / f"day{number % 7}-{number:05}.jsonl", seconds, number)
        page = Path(name, "report.html")
        command = [sys.executable, "-m", "edgeinfer", "report", str(folder), "--out", str(page), "--group", r"day\d"]
        started_s = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        elapsed_s = time.perf_counter() - started_s
        peak_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        hours = recordings * seconds / 3600
        return {
            "recordings": recordings, "hours": hours, "elapsed_s": elapsed_s, "page_bytes": page.stat().st_size,
            "peak_mb": peak_kb / 1000,
        }  # fmt: skip


def main() -> None:
    """Run the benchmark."""
    figures = {}
    for name, (recordings, seconds) in (("short", SHORT), ("long", LONG)):
        found = figures[name] = measure(recordings, seconds)
        print(
            f"{recordings} recordings, {found['hours']:.1f} h in total: {found['elapsed_s']:.1f} s, "
            f"{found['page_bytes'] / 1e6:.2f} MB, {found['peak_mb']:.0f} MB of memory"
        )
    save_results("report", figures)


if __name__ == "__main__":
    main()
