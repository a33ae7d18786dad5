"""What a run loses to those who watch and listen.

    taskset -c 0 python benchmarks/listeners.py [CLIP] [--frames N] [--rounds N]

`edgeinfer run` reads a clip as fast as it can into JSONL: alone; and with a preview and MQTT at once, a Mosquitto on
the same core, one slow client on the preview's stream and one on its events, who take 2 kB ten times a second. Both
runs alternate; the first pair does not count. A live source asks for far less than a file does at full speed.
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

from common import keep
from edgeinfer.model.card import asset_path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from tools.broker import Broker
from tools.patience import until

PATHS = ("/stream.mjpg", "/events")
PIECE_BYTES, EVERY_S = 2048, 0.1


class SlowClient(threading.Thread):
    """Takes little at a time from one path until the server ends.

    Attributes:
        taken: bytes so far.
    """

    def __init__(self, port: int, path: str) -> None:
        super().__init__(daemon=True)
        self._port, self._path, self.taken = port, path, 0

    def run(self) -> None:
        """Connect as soon as somebody listens, then read slowly."""
        until(self._answers)
        pause = threading.Event()
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * PIECE_BYTES)
            client.connect(("127.0.0.1", self._port))
            client.sendall(f"GET {self._path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            try:
                while piece := client.recv(PIECE_BYTES):
                    self.taken += len(piece)
                    pause.wait(EVERY_S)
            except ConnectionError:
                pass

    def _answers(self) -> bool:
        with socket.socket() as knock:
            return knock.connect_ex(("127.0.0.1", self._port)) == 0


def frames_a_second(clip: Path, folder: Path, *options: str) -> float:
    """Of one run, as its summary says."""
    out = folder / "faces.jsonl"
    command = [sys.executable, "-m", "edgeinfer", "run", str(clip), "--out", str(out), "--threads", "1", "--quiet"]
    subprocess.run([*command, *options], check=True, stderr=subprocess.DEVNULL)
    return float(json.loads(out.read_text(encoding="utf-8").splitlines()[-1])["fps"])


def watched(clip: Path, folder: Path, broker: Broker) -> tuple[float, int]:
    """Frames a second with everybody attached, and the bytes that the slow clients took."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    clients = [SlowClient(port, path) for path in PATHS]
    for client in clients:
        client.start()
    rate = frames_a_second(clip, folder, "--preview", str(port), "--mqtt", f"mqtt://127.0.0.1:{broker.port}/bench")
    for client in clients:
        client.join()
    return rate, sum(client.taken for client in clients)


def repeated(clip: Path, path: Path, frames: int) -> Path:
    """A clip of so many frames."""
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
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clip", type=Path, nargs="?", default=asset_path("demo.mp4"))
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    pairs: list[tuple[float, float]] = []
    taken = 0
    with tempfile.TemporaryDirectory() as name, Broker() as broker:
        folder = Path(name)
        clip = repeated(options.clip, folder / "clip.mp4", options.frames)
        for _ in range(options.rounds + 1):
            alone = frames_a_second(clip, folder)
            together, bytes_taken = watched(clip, folder, broker)
            pairs.append((alone, together))
            taken += bytes_taken
    alone, together = (statistics.median(pair[side] for pair in pairs[1:]) for side in (0, 1))
    print(
        f"{options.frames} frames, median of {options.rounds} rounds; the slow clients took {taken / 1e6:.1f} MB in all"
    )
    print(f"with preview, MQTT and two slow clients {together / alone:.3f} of the frames a second without")
    keep("listeners", {"ratio": together / alone, "taken_bytes": taken, "raw_fps": pairs})


if __name__ == "__main__":
    main()
