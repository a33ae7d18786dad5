"""Comparison with other expression recognition packages on the same frames and faces, on one core.

    python benchmarks/peers.py CLIP [--data DATA] [--yunet FILE] [--cache FOLDER] [--peers NAME...]

Frames are decoded in advance. The time of a frame is the CPU time from the picture in memory to its labels, which other
processes on that core barely affect. The peers take turns; their frame rates are relative to that of the plain loop,
which searches every full frame with `detectMultiScale(grey, 1.1, 5)` and classifies each box with the bundled model.
With --data, faces of the validation split are embedded in one frame each; a face that is not detected counts as wrong.

Each peer is installed in a separate environment in the cache. A peer that cannot be installed or fails is skipped, and
the reason is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common import embed_face, save_results
from edgeinfer.results import Image

DRIVERS = Path(__file__).parent / "drivers"
ROOT = Path(__file__).parents[1]
WARM_UP_FRAMES = 5
BASELINE = "plain"

NODE_PACKAGES = (
    "@vladmandic/face-api@1.7.15", "@vladmandic/human@3.3.6", "@tensorflow/tfjs@4.22.0",
    "@tensorflow/tfjs-backend-wasm@4.22.0",
)  # fmt: skip
FER_BARE = ("fer==25.10.3",)
"""FER, installed without its dependencies: PyTorch, pandas and others, which its cascade path does not use."""
FER_PACKAGES = ("setuptools<81", "opencv-python-headless>=4.10,<5", "requests", "Pillow", "tensorflow>=2.16,<2.20")


class Unavailable(Exception):  # noqa: N818 - an expected outcome
    """A peer cannot be installed or fails."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A package to compare with.

    Attributes:
        about: Description for the table.
        prepare: Function that installs the peer and returns its command, to which WORK and RESULT are appended.
    """

    about: str
    prepare: Callable[[argparse.Namespace], list[str]]


def call(command: list[str], *, core: int | None = None) -> None:
    """Run a program, optionally on one core; if it fails, raise `Unavailable` with its last line."""

    def bind() -> None:
        if core is not None:
            os.sched_setaffinity(0, {core})

    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "OPENCV_LOG_LEVEL": "SILENT"}
    try:
        subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=1800, env=environment, preexec_fn=bind
        )
    except FileNotFoundError as error:
        raise Unavailable(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{command[0]} took more than half an hour") from error
    except subprocess.CalledProcessError as error:
        lines = [line.strip() for line in error.stderr.splitlines() if "Error" in line] or error.stderr.splitlines()[
            -1:
        ]
        raise Unavailable(lines[-1][:200] if lines else f"{command[0]} ended with {error.returncode}") from error


def python_command(*arguments: str) -> list[str]:
    """Return the command of a peer in the current environment."""
    return [sys.executable, str(DRIVERS / "python_peer.py"), *arguments]


def prepare_yunet(options: argparse.Namespace) -> list[str]:
    """Return the command of YuNet, whose model file is not part of the repository."""
    if options.yunet is None or not options.yunet.is_file():
        raise Unavailable("its model file is required: --yunet FILE")
    return python_command("yunet", str(options.yunet))


def prepare_fer(options: argparse.Namespace) -> list[str]:
    """Install FER with the minimum of dependencies and return its command."""
    folder = options.cache.resolve() / "fer"
    python = folder / "bin" / "python"
    if not (folder / ".ready").exists():
        call([sys.executable, "-m", "venv", "--clear", str(folder)])
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        call([*pip, "--no-deps", *FER_BARE])
        call([*pip, *FER_PACKAGES])
        (folder / ".ready").touch()
    return [str(python), str(DRIVERS / "python_peer.py"), "fer"]


def prepare_node(name: str, options: argparse.Namespace) -> list[str]:
    """Install the Node.js packages, which contain their models, and return the command of one of them."""
    folder = options.cache.resolve() / "node"
    if not (folder / ".ready").exists():
        folder.mkdir(parents=True, exist_ok=True)
        call(["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts", *NODE_PACKAGES])
        (folder / ".ready").touch()
    return ["node", str(DRIVERS / "node_peer.mjs"), name, str(folder)]


PEERS = {
    "ours": Peer("edgeinfer", lambda _: python_command("ours")),
    "plain": Peer("cascade over every frame, our classifier", lambda _: python_command("plain")),
    "yunet": Peer("YuNet over every frame, our classifier", prepare_yunet),
    "fer": Peer("fer, its cascade and TensorFlow Lite", prepare_fer),
    "face-api": Peer("face-api, its tiny detector, on WASM", lambda options: prepare_node("face-api", options)),
    "human": Peer("Human, its own skipping of frames, on WASM", lambda options: prepare_node("human", options)),
}


def decode(clip: Path, count: int) -> Image:
    """Return the first frames of a clip as a (count, H, W, 3) BGR uint8 array."""
    capture = cv2.VideoCapture(str(clip))
    frames: list[Image] = []
    while len(frames) < count:
        read, picture = capture.read()
        if not read:
            break
        frames.append(np.asarray(picture, dtype=np.uint8))
    capture.release()
    if len(frames) <= WARM_UP_FRAMES:
        raise SystemExit(f"{clip} is not a video of more than {WARM_UP_FRAMES} frames")
    return np.stack(frames)


def draw_faces(data: Path | None, count: int) -> tuple[Image, list[str]]:
    """Return faces embedded in frames as a (count, 240, 240, 3) uint8 array, and their labels."""
    if data is None:
        return np.zeros((0, 240, 240, 3), np.uint8), []
    from edgeinfer_train.datasets.load import load_split, read_info  # noqa: PLC0415 - needed with --data only

    faces, names = load_split(data, "valid"), read_info(data).labels
    known = np.flatnonzero(faces.labels < len(names))
    chosen = np.random.default_rng(0).choice(known, min(count, len(known)), replace=False)
    frames = [cv2.cvtColor(embed_face(faces.images[index][:, :, 0]), cv2.COLOR_GRAY2BGR) for index in chosen]
    return np.asarray(frames, dtype=np.uint8), [names[faces.labels[index]] for index in chosen]


def write_pictures(work: Path, **pictures: Image) -> None:
    """Write the input files of the drivers."""
    sizes = {}
    for kind, images in pictures.items():
        (work / f"{kind}.bgr").write_bytes(images.tobytes())
        (work / f"{kind}.rgb").write_bytes(np.ascontiguousarray(images[..., ::-1]).tobytes())
        sizes[kind] = {"count": len(images), "height": images.shape[1], "width": images.shape[2]}
    (work / "sizes.json").write_text(json.dumps(sizes), encoding="utf-8")


def measure(commands: dict[str, list[str]], work: Path, rounds: int, problems: dict[str, str]) -> dict[str, list[Any]]:
    """Return the results of each peer in each round; a peer that fails is added to `problems` instead."""
    core = max(os.sched_getaffinity(0))
    results: dict[str, list[Any]] = {name: [] for name in commands}
    for number in range(rounds):
        for name, command in commands.items():
            if name in problems:
                continue
            result = work / f"{name}-{number}.json"
            try:
                call([*command, str(work), str(result)], core=core)
                results[name].append(json.loads(result.read_text(encoding="utf-8")))
            except Unavailable as reason:
                problems[name] = str(reason)
    return {name: values for name, values in results.items() if name not in problems}


def summarize(results: dict[str, list[Any]], labels: list[str]) -> dict[str, Any]:
    """Return the speed of each peer relative to the plain loop of the same round, its boxes and its accuracy."""
    fps = {n: [1000 / statistics.mean(t["frame_ms"][WARM_UP_FRAMES:]) for t in rounds] for n, rounds in results.items()}
    figures: dict[str, Any] = {}
    for name, rounds in results.items():
        last = rounds[-1]
        predicted = [label for label in last["labels"] if label is not None]
        figures[name] = {
            "about": PEERS[name].about,
            "version": last["version"],
            "ratio": statistics.median(a / b for a, b in zip(fps[name], fps[BASELINE], strict=True)),
            "boxes": sum(last["boxes"]),
            "raw_fps": fps[name],
        }
        if labels:
            correct = sum(given == label for given, label in zip(last["labels"], labels, strict=True))
            figures[name] |= {"faces_found": len(predicted) / len(labels), "accuracy": correct / len(labels),
                            "accuracy_of_found": correct / len(predicted) if predicted else 0.0}  # fmt: skip
    return figures


def prepare(names: list[str], options: argparse.Namespace, problems: dict[str, str]) -> dict[str, list[str]]:
    """Install peers and return the command of each one that is available."""
    commands = {}
    for name in names:
        print(f"preparing {name}", file=sys.stderr)
        try:
            commands[name] = PEERS[name].prepare(options)
        except Unavailable as reason:
            problems[name] = str(reason)
    return commands


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--data", type=Path, help="folder from `edgeinfer-train prepare`")
    parser.add_argument("--yunet", type=Path, help="face_detection_yunet ONNX file")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "peers", help="installation folder of the peers")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--faces", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    problems: dict[str, str] = {}
    commands = prepare(list(dict.fromkeys([BASELINE, *options.peers])), options, problems)
    frames = decode(options.clip, options.frames)
    faces, labels = draw_faces(options.data, options.faces)
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder), frames=frames, faces=faces)
        results = measure(commands, Path(folder), options.rounds, problems)
    if BASELINE not in results:
        raise SystemExit(f"the plain loop failed: {problems[BASELINE]}")
    figures = summarize(results, labels)
    for name, each in figures.items():
        accuracy = f", accuracy {each['accuracy']:.3f} on {len(labels)} faces" if labels else ""
        print(f"{name:10}{each['ratio']:8.2f} times the plain loop, {each['boxes']} boxes{accuracy}")
    for name, reason in problems.items():
        print(f"{name:10}not measured: {reason}")
    size_wh = [frames.shape[2], frames.shape[1]]
    save_results("peers", {"clip": options.clip.name, "size_wh": size_wh, "frames": len(frames), "faces": len(labels),
                   "peers": figures, "not_measured": problems})  # fmt: skip


if __name__ == "__main__":
    main()
