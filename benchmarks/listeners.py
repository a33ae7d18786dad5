"""Cost of the outputs over the network: OSC, MQTT, the preview and its HTTP API, with fast and slow clients.

    taskset -c 0 python benchmarks/listeners.py [CLIP] [--frames N] [--rounds N]

`edgeinfer run` processes a clip at full speed into JSONL: alone, with each of these outputs, and with all of them
together; a Mosquitto broker and all clients run on the same core. The clients are a receiver of OSC, a client of
/api/events that reads at once, and one slow client each on the preview's video and event streams, which read 2 kB ten
times per second. The variants alternate; the first round is not counted. Printed are the processor time of the run,
which other programs hardly disturb, and its frame rate. The load of a live source is far lower than that of a file at
full speed.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2

from common import save_results, table
from edgeinfer.model.card import asset_path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from tools.broker import Broker
from tools.patience import until

CHUNK_BYTES, INTERVAL_S = 2048, 0.1
SLOW_PATHS, FAST_PATHS = ("/stream.mjpg", "/events"), ("/api/events",)
VARIANTS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "alone": ((), ()),
    "OSC": (("osc",), ()),
    "MQTT": (("mqtt",), ()),
    "preview without clients": (("preview",), ()),
    "preview with an API client": (("preview",), FAST_PATHS),
    "preview with two slow clients": (("preview",), SLOW_PATHS),
    "all together": (("osc", "mqtt", "preview"), (*FAST_PATHS, *SLOW_PATHS)),
}
"""Options, and paths that clients of the preview request, by variant."""


class Run(NamedTuple):
    """One run: processor time in ms per frame, frame rate, and number of bytes that the slow clients received."""

    cpu_ms: float
    fps: float
    slow_bytes: int


class Client(threading.Thread):
    """Client that reads one path until the server closes the connection.

    Attributes:
        path: The path.
        received: Number of bytes read so far.
    """

    def __init__(self, port: int, path: str) -> None:
        super().__init__(daemon=True)
        self._port, self.path, self.received = port, path, 0

    def run(self) -> None:
        """Connect as soon as the server listens, then read: slowly, if the path is that of a slow client."""
        until(self._server_listens)
        pause = threading.Event()
        slow = self.path in SLOW_PATHS
        with socket.socket() as client:
            if slow:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * CHUNK_BYTES)
            client.connect(("127.0.0.1", self._port))
            client.sendall(f"GET {self.path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            try:
                while chunk := client.recv(CHUNK_BYTES if slow else 1 << 16):
                    self.received += len(chunk)
                    if slow:
                        pause.wait(INTERVAL_S)
            except ConnectionError:
                pass

    def _server_listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0


def run_once(clip: Path, out: Path, options: Sequence[str]) -> tuple[float, float]:
    """Return the processor time of one run in seconds, with all its threads, and its frame rate."""
    command = [sys.executable, "-m", "edgeinfer", "run", str(clip), "--out", str(out), "--threads", "1", "--quiet"]
    command += ["--mode", "file"]  # with a preview, a file would play in real time
    with subprocess.Popen([*command, *options], stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the run ended with exit code {process.returncode}")
    summary = json.loads(out.read_text(encoding="utf-8").splitlines()[-1])
    return usage.ru_utime + usage.ru_stime, float(summary["fps"])


def measure(clip: Path, frames: int, folder: Path, broker: Broker, variant: str) -> Run:
    """Run one variant, with its clients."""
    names, paths = VARIANTS[variant]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        targets = {
            "osc": f"127.0.0.1:{receiver.getsockname()[1]}",
            "mqtt": f"mqtt://127.0.0.1:{broker.port}/bench",
            "preview": str(port),
        }
        clients = [Client(port, path) for path in paths]
        for client in clients:
            client.start()
        options = [word for name in names for word in (f"--{name}", targets[name])]
        cpu_s, fps = run_once(clip, folder / "faces.jsonl", options)
        for client in clients:
            client.join()
    return Run(1000 * cpu_s / frames, fps, sum(client.received for client in clients if client.path in SLOW_PATHS))


def repeat_clip(clip: Path, path: Path, frames: int) -> Path:
    """Write a clip with the given number of frames by repeating an existing one."""
    writer, count = None, 0
    while count < frames:
        source = cv2.VideoCapture(str(clip))
        while count < frames:
            found, picture = source.read()
            if not found:
                break
            if writer is None:
                size_wh = (picture.shape[1], picture.shape[0])
                writer = cv2.VideoWriter(
                    str(path), cv2.VideoWriter.fourcc(*"mp4v"), source.get(cv2.CAP_PROP_FPS), size_wh
                )
            writer.write(picture)
            count += 1
        source.release()
    if writer is not None:
        writer.release()
    return path


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clip", type=Path, nargs="?", default=asset_path("demo.mp4"))
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    runs: dict[str, list[Run]] = {variant: [] for variant in VARIANTS}
    with tempfile.TemporaryDirectory() as name, Broker() as broker:
        folder = Path(name)
        clip = repeat_clip(options.clip, folder / "clip.mp4", options.frames)
        for _ in range(options.rounds + 1):
            for variant in VARIANTS:
                runs[variant].append(measure(clip, options.frames, folder, broker, variant))
    counted = {variant: results[1:] for variant, results in runs.items()}
    cpu_ms = {variant: min(run.cpu_ms for run in results) for variant, results in counted.items()}
    fps = {variant: statistics.median(run.fps for run in results) for variant, results in counted.items()}
    rows = [(variant, f"{cpu_ms[variant]:.2f}", f"{fps[variant] / fps['alone']:.2f}") for variant in VARIANTS]
    print(f"{options.frames} frames, {options.rounds} rounds")
    print(table(("outputs", "processor time, ms per frame, minimum", "frame rate, median, relative to alone"), rows))
    slow_bytes = sum(run.slow_bytes for results in runs.values() for run in results)
    print(f"slow clients received {slow_bytes / 1e6:.1f} MB")
    save_results(
        "listeners",
        {"ratio": fps["all together"] / fps["alone"], "cpu_ms": cpu_ms, "taken_bytes": slow_bytes, "raw": counted},
    )


if __name__ == "__main__":
    main()
