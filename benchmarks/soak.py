"""Long run with a camera that fails every few seconds.

    python benchmarks/soak.py [--minutes N] [--every SECONDS]

A server on the loopback network streams the demo clip as MJPEG in changing sizes. In turn, it stalls, closes the
connection, refuses connections and sends random bytes. `edgeinfer run` writes JSONL and CSV and is stopped with
SIGTERM. Its resident memory is sampled every 5 seconds; the slope is a linear fit to the second half of the samples.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from common import save_results
from edgeinfer import open_source
from edgeinfer.model.card import asset_path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from tools.mjpeg_server import Behaviour, MjpegServer

FAILURES: tuple[Behaviour, ...] = ("stall", "die", "refuse", "garbage")
SIZES_WH = ((640, 360), (320, 180), (480, 270))
STALL_S, FAILURE_S, SAMPLE_S = 2.0, 4.0, 5.0


def resident_mb(process: int) -> float:
    """Return the resident memory of a process in MiB."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def soak(server: MjpegServer, process: int, minutes: float, every_s: float) -> tuple[list[float], int]:
    """Make the server fail in each way in turn; return the memory samples in MiB and the number of failures."""
    samples, failure_count = [], 0
    started = sampled = time.monotonic()
    changed, failures, sizes = started, itertools.cycle(FAILURES), itertools.cycle(SIZES_WH)
    while (now := time.monotonic()) < started + 60 * minutes:
        if server.behaviour == "play" and now > changed + every_s:
            # Refusal affects new connections only, so the current one is closed first.
            server.behaviour = failure = next(failures)
            if failure == "refuse":
                server.behaviour = "die"
                time.sleep(0.2)
                server.behaviour = failure
            changed, failure_count = now, failure_count + 1
        elif server.behaviour != "play" and now > changed + FAILURE_S:
            server.size_wh = next(sizes)
            server.behaviour, changed = "play", now
        if now > sampled + SAMPLE_S:
            samples.append(resident_mb(process))
            sampled = now
        time.sleep(0.05)
    return samples, failure_count


def check(jsonl: Path, table: Path) -> dict[str, Any]:
    """Check that both outputs are complete and return their figures."""
    lines = [json.loads(line) for line in jsonl.read_text(encoding="utf-8").splitlines()]
    frames = [line for line in lines if line["type"] == "frame"]
    numbers = [line["frame"] for line in frames]
    times = [line["time_s"] for line in frames]
    if lines[0]["type"] != "header" or lines[-1]["type"] != "summary":
        raise SystemExit("the JSONL output is incomplete: expected a header first and a summary last")
    if numbers != sorted(set(numbers)) or times != sorted(times):
        raise SystemExit("frames or times are out of order")
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    faces = sum(len(line["faces"]) for line in frames)
    if len(rows) - 1 != faces or {len(row) for row in rows} != {len(rows[0])}:
        raise SystemExit(f"the CSV output has {len(rows) - 1} rows; expected {faces} complete rows")
    states = [line["state"] for line in lines if line["type"] == "source"]
    return {
        "frames": len(frames),
        "faces": faces,
        "reconnects": lines[-1]["reconnects"],
        "states": {state: states.count(state) for state in sorted(set(states))},
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--every", type=float, default=5.0, help="seconds of normal operation between two failures")
    options = parser.parse_args()
    with open_source(asset_path("demo.mp4")) as source:
        pictures = [frame.image for frame in source]
    with tempfile.TemporaryDirectory() as folder, MjpegServer(SIZES_WH[0], pictures=pictures) as server:
        jsonl, table = Path(folder) / "soak.jsonl", Path(folder) / "soak.csv"
        command = [sys.executable, "-m", "edgeinfer", "run", server.url, "--retries", "forever", "--stall-timeout",
                   str(STALL_S), "--quiet", "--out", str(jsonl), "--out", str(table)]  # fmt: skip
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as run:
            samples, failure_count = soak(server, run.pid, options.minutes, options.every)
            connections = server.served_connections
            run.send_signal(signal.SIGTERM)
            code = run.wait(timeout=30)
        outputs = check(jsonl, table)
    half = samples[len(samples) // 2 :]
    slope = float(np.polyfit(np.arange(len(half)) * SAMPLE_S / 60, half, 1)[0]) if len(half) > 1 else 0.0
    summary = f"{options.minutes:g} minutes, {failure_count} failures: exit code {code}"
    print(f"{summary}, {outputs['frames']} frames, all complete")
    print(f"{connections} connections with pictures, {outputs['reconnects']} reconnects, states {outputs['states']}")
    print(f"memory {half[0]:.1f} MB at half time, {half[-1]:.1f} MB at the end, {slope:+.3f} MB per minute")
    figures = {"minutes": options.minutes, "failures": failure_count, "lives": connections, "exit_code": code}
    save_results("soak", {**figures, **outputs, "mb_per_minute": slope, "raw": {"resident_mb": samples}})


if __name__ == "__main__":
    main()
