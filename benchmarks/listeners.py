"""Frame rate of a run with a preview, MQTT and slow clients.

    taskset -c 0 python benchmarks/listeners.py [CLIP] [--frames N] [--rounds N]

`edgeinfer run` processes a clip at full speed into JSONL: first alone, then with a preview and MQTT, a Mosquitto broker
on the same core, and one slow client each on the preview's video stream and event stream, which read 2 kB ten times per
second. Both runs alternate; the first pair is not counted. The load of a live source is far lower than that of a file
at full speed.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import cv2

from common import save_results
from edgeinfer.model.card import asset_path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from tools.broker import Broker
from tools.patience import until

PATHS = ("/stream.mjpg", "/events")
CHUNK_BYTES, INTERVAL_S = 2048, 0.1


class SlowClient(threading.Thread):
    """Client that reads one path slowly until the server closes the connection.

    Attributes:
        received: Number of bytes read so far.
    """

    def __init__(self, port: int, path: str) -> None:
        super().__init__(daemon=True)
        self._port, self._path, self.received = port, path, 0

    def run(self) -> None:
        """Connect as soon as the server listens, then read slowly."""
        until(self._server_listens)
        pause = threading.Event()
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * CHUNK_BYTES)
            client.connect(("127.0.0.1", self._port))
            client.sendall(f"GET {self._path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            try:
                while chunk := client.recv(CHUNK_BYTES):
                    self.received += len(chunk)
                    pause.wait(INTERVAL_S)
            except ConnectionError:
                pass

    def _server_listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0


def measure_fps(clip: Path, folder: Path, *options: str) -> float:
    """Return the frame rate of one run from its summary."""
    out = folder / "faces.jsonl"
    command = [sys.executable, "-m", "edgeinfer", "run", str(clip), "--out", str(out), "--threads", "1", "--quiet"]
    command += ["--mode", "file"]  # with a preview, a file would play in real time
    subprocess.run([*command, *options], check=True, stderr=subprocess.DEVNULL)
    return float(json.loads(out.read_text(encoding="utf-8").splitlines()[-1])["fps"])


def measure_with_clients(clip: Path, folder: Path, broker: Broker) -> tuple[float, int]:
    """Return the frame rate with all listeners, and the number of bytes that the slow clients received."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    clients = [SlowClient(port, path) for path in PATHS]
    for client in clients:
        client.start()
    fps = measure_fps(clip, folder, "--preview", str(port), "--mqtt", f"mqtt://127.0.0.1:{broker.port}/bench")
    for client in clients:
        client.join()
    return fps, sum(client.received for client in clients)


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
    pairs: list[tuple[float, float]] = []
    received_bytes = 0
    with tempfile.TemporaryDirectory() as name, Broker() as broker:
        folder = Path(name)
        clip = repeat_clip(options.clip, folder / "clip.mp4", options.frames)
        for _ in range(options.rounds + 1):
            alone = measure_fps(clip, folder)
            together, count = measure_with_clients(clip, folder, broker)
            pairs.append((alone, together))
            received_bytes += count
    alone, together = (statistics.median(pair[side] for pair in pairs[1:]) for side in (0, 1))
    received_mb = received_bytes / 1e6
    print(f"{options.frames} frames, median of {options.rounds} rounds; slow clients received {received_mb:.1f} MB")
    print(f"with preview, MQTT and two slow clients {together / alone:.3f} of the frame rate without")
    save_results("listeners", {"ratio": together / alone, "taken_bytes": received_bytes, "raw_fps": pairs})


if __name__ == "__main__":
    main()
