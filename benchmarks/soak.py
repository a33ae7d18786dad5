"""How a run fares for a long time against a camera that fails every few seconds.

    python benchmarks/soak.py [--minutes N] [--every SECONDS]

A server on the loopback network plays the demo clip as MJPEG, in changing sizes, and in turns stalls, breaks off,
refuses and sends noise. `edgeinfer run` reads it into JSONL and CSV, and is ended with SIGTERM. Its resident memory is
sampled every 5 seconds; the slope is a straight line through the second half of the samples.
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

from common import keep
from edgeinfer import open_source
from edgeinfer.model.card import asset_path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from tools.mjpeg_server import Behaviour, MjpegServer

FAILURES: tuple[Behaviour, ...] = ("stall", "die", "refuse", "garbage")
SIZES_WH = ((640, 360), (320, 180), (480, 270))
STALL_S, FAILING_S, SAMPLE_S = 2.0, 4.0, 5.0


def resident_mb(process: int) -> float:
    """Resident memory of a process in MB of 2**20 bytes."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def soak(server: MjpegServer, process: int, minutes: float, every_s: float) -> tuple[list[float], int]:
    """Let the server fail in turns; the samples of memory in MB, and how often it failed."""
    samples, failed = [], 0
    started = sampled = time.monotonic()
    changed, failures, sizes = started, itertools.cycle(FAILURES), itertools.cycle(SIZES_WH)
    while (now := time.monotonic()) < started + 60 * minutes:
        if server.behaviour == "play" and now > changed + every_s:
            # Refusing hurts nobody who is there already, so the connection is broken off first.
            server.behaviour = failure = next(failures)
            if failure == "refuse":
                server.behaviour = "die"
                time.sleep(0.2)
                server.behaviour = failure
            changed, failed = now, failed + 1
        elif server.behaviour != "play" and now > changed + FAILING_S:
            server.size_wh = next(sizes)
            server.behaviour, changed = "play", now
        if now > sampled + SAMPLE_S:
            samples.append(resident_mb(process))
            sampled = now
        time.sleep(0.05)
    return samples, failed


def check(jsonl: Path, table: Path) -> dict[str, Any]:
    """Read both outputs whole; what they tell."""
    lines = [json.loads(line) for line in jsonl.read_text(encoding="utf-8").splitlines()]
    frames = [line for line in lines if line["type"] == "frame"]
    numbers = [line["frame"] for line in frames]
    times = [line["time_s"] for line in frames]
    if lines[0]["type"] != "header" or lines[-1]["type"] != "summary":
        raise SystemExit("the JSONL does not begin with a header and end with a summary")
    if numbers != sorted(set(numbers)) or times != sorted(times):
        raise SystemExit("frames or times are out of order")
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    faces = sum(len(line["faces"]) for line in frames)
    if len(rows) - 1 != faces or {len(row) for row in rows} != {len(rows[0])}:
        raise SystemExit(f"the CSV holds {len(rows) - 1} whole rows for {faces} faces")
    states = [line["state"] for line in lines if line["type"] == "source"]
    return {
        "frames": len(frames),
        "faces": faces,
        "reconnects": lines[-1]["reconnects"],
        "states": {state: states.count(state) for state in sorted(set(states))},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--every", type=float, default=5.0, help="seconds of good pictures between two failures")
    options = parser.parse_args()
    with open_source(asset_path("demo.mp4")) as source:
        pictures = [frame.image for frame in source]
    with tempfile.TemporaryDirectory() as folder, MjpegServer(SIZES_WH[0], pictures=pictures) as server:
        jsonl, table = Path(folder) / "soak.jsonl", Path(folder) / "soak.csv"
        command = [sys.executable, "-m", "edgeinfer", "run", server.url, "--retries", "forever", "--stall-timeout",
                   str(STALL_S), "--quiet", "--out", str(jsonl), "--out", str(table)]  # fmt: skip
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as run:
            samples, failed = soak(server, run.pid, options.minutes, options.every)
            lives = server.served_connections
            run.send_signal(signal.SIGTERM)
            code = run.wait(timeout=30)
        told = check(jsonl, table)
    half = samples[len(samples) // 2 :]
    slope = float(np.polyfit(np.arange(len(half)) * SAMPLE_S / 60, half, 1)[0]) if len(half) > 1 else 0.0
    print(f"{options.minutes:g} minutes, {failed} failures: exit code {code}, {told['frames']} frames, all lines whole")
    print(f"connections that gave pictures {lives}, reconnects told {told['reconnects']}, states {told['states']}")
    print(f"memory {half[0]:.1f} MB at half time, {half[-1]:.1f} MB at the end, {slope:+.3f} MB a minute")
    figures = {"minutes": options.minutes, "failures": failed, "lives": lives, "exit_code": code}
    keep("soak", {**figures, **told, "mb_per_minute": slope, "raw": {"resident_mb": samples}})


if __name__ == "__main__":
    main()
