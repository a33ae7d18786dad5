"""How do we compare with other readers of expressions? The same frames and the same faces on one core.

    python benchmarks/peers.py CLIP [--data DATA] [--yunet FILE] [--cache FOLDER] [--peers NAME...]

Frames are decoded beforehand, and a frame counts from the picture in memory to its labels, in processor time, which
other programs on that core disturb little. The peers take turns; the figure is frames a second relative to the
plain loop, which searches every full frame with `detectMultiScale(grey, 1.1, 5)` and classifies every box with the
bundled model. With DATA, faces of its validation split are set into a frame each; a face that a peer does not find
is one that it does not name.

A peer is installed into an environment of its own in the cache. One that cannot be had or does not run is named, with
the reason, and left out.
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

from common import keep, set_into_frame
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
"""Its metadata ask for PyTorch, pandas and more, which its cascade path never uses."""
FER_PACKAGES = ("setuptools<81", "opencv-python-headless>=4.10,<5", "requests", "Pillow", "tensorflow>=2.16,<2.20")


class Unavailable(Exception):  # noqa: N818 - a fact, not a fault
    """A peer cannot be had or does not run here."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Something to compare with.

    Attributes:
        about: what runs, for the table.
        prepare: installs it as the options say; gives the command that WORK and RESULT are put behind.
    """

    about: str
    prepare: Callable[[argparse.Namespace], list[str]]


def call(command: list[str], *, core: int | None = None) -> None:
    """Run a program, on one core if one is given; its last line becomes the reason when it fails."""

    def bind() -> None:
        if core is not None:
            os.sched_setaffinity(0, {core})

    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "OPENCV_LOG_LEVEL": "SILENT"}
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=1800, env=quiet, preexec_fn=bind)
    except FileNotFoundError as error:
        raise Unavailable(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{command[0]} took more than half an hour") from error
    except subprocess.CalledProcessError as error:
        lines = [line.strip() for line in error.stderr.splitlines() if "Error" in line] or error.stderr.splitlines()[
            -1:
        ]
        raise Unavailable(lines[-1][:200] if lines else f"{command[0]} ended with {error.returncode}") from error


def here(*words: str) -> list[str]:
    """What this environment has already."""
    return [sys.executable, str(DRIVERS / "python_peer.py"), *words]


def yunet(options: argparse.Namespace) -> list[str]:
    """The detector's file is not part of the project."""
    if options.yunet is None or not options.yunet.is_file():
        raise Unavailable("give its file: --yunet FILE")
    return here("yunet", str(options.yunet))


def fer(options: argparse.Namespace) -> list[str]:
    """FER with the few packages that it runs on."""
    folder = options.cache.resolve() / "fer"
    python = folder / "bin" / "python"
    if not (folder / ".ready").exists():
        call([sys.executable, "-m", "venv", "--clear", str(folder)])
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        call([*pip, "--no-deps", *FER_BARE])
        call([*pip, *FER_PACKAGES])
        (folder / ".ready").touch()
    return [str(python), str(DRIVERS / "python_peer.py"), "fer"]


def node(name: str, options: argparse.Namespace) -> list[str]:
    """Packages for node; their models lie in them."""
    folder = options.cache.resolve() / "node"
    if not (folder / ".ready").exists():
        folder.mkdir(parents=True, exist_ok=True)
        call(["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts", *NODE_PACKAGES])
        (folder / ".ready").touch()
    return ["node", str(DRIVERS / "node_peer.mjs"), name, str(folder)]


PEERS = {
    "ours": Peer("edgeinfer", lambda _: here("ours")),
    "plain": Peer("cascade over every frame, our classifier", lambda _: here("plain")),
    "yunet": Peer("YuNet over every frame, our classifier", yunet),
    "fer": Peer("fer, its cascade and TensorFlow Lite", fer),
    "face-api": Peer("face-api, its tiny detector, on WASM", lambda options: node("face-api", options)),
    "human": Peer("Human, its own skipping of frames, on WASM", lambda options: node("human", options)),
}


def decode(clip: Path, count: int) -> Image:
    """The first frames of a clip, (count, H, W, 3) BGR uint8."""
    capture = cv2.VideoCapture(str(clip))
    frames: list[Image] = []
    while len(frames) < count:
        read, picture = capture.read()
        if not read:
            break
        frames.append(np.asarray(picture, dtype=np.uint8))
    capture.release()
    if len(frames) <= WARM_UP_FRAMES:
        raise SystemExit(f"{clip} is no video of more than {WARM_UP_FRAMES} frames")
    return np.stack(frames)


def draw_faces(data: Path | None, count: int) -> tuple[Image, list[str]]:
    """Faces set into frames, (count, 240, 240, 3), and their labels."""
    if data is None:
        return np.zeros((0, 240, 240, 3), np.uint8), []
    from edgeinfer_train.datasets.load import load_split, read_info  # noqa: PLC0415 - only the faces need it

    faces, names = load_split(data, "valid"), read_info(data).labels
    known = np.flatnonzero(faces.labels < len(names))
    chosen = np.random.default_rng(0).choice(known, min(count, len(known)), replace=False)
    frames = [cv2.cvtColor(set_into_frame(faces.images[index][:, :, 0]), cv2.COLOR_GRAY2BGR) for index in chosen]
    return np.asarray(frames, dtype=np.uint8), [names[faces.labels[index]] for index in chosen]


def write(work: Path, **pictures: Image) -> None:
    """Lay out what the drivers read."""
    sizes = {}
    for kind, images in pictures.items():
        (work / f"{kind}.bgr").write_bytes(images.tobytes())
        (work / f"{kind}.rgb").write_bytes(np.ascontiguousarray(images[..., ::-1]).tobytes())
        sizes[kind] = {"count": len(images), "height": images.shape[1], "width": images.shape[2]}
    (work / "sizes.json").write_text(json.dumps(sizes), encoding="utf-8")


def measure(commands: dict[str, list[str]], work: Path, rounds: int, problems: dict[str, str]) -> dict[str, list[Any]]:
    """What each peer told in each round; one that fails is taken out and its reason noted."""
    core = max(os.sched_getaffinity(0))
    told: dict[str, list[Any]] = {name: [] for name in commands}
    for number in range(rounds):
        for name, command in commands.items():
            if name in problems:
                continue
            result = work / f"{name}-{number}.json"
            try:
                call([*command, str(work), str(result)], core=core)
                told[name].append(json.loads(result.read_text(encoding="utf-8")))
            except Unavailable as reason:
                problems[name] = str(reason)
    return {name: rounds_told for name, rounds_told in told.items() if name not in problems}


def figures(told: dict[str, list[Any]], labels: list[str]) -> dict[str, Any]:
    """Each peer's speed relative to the plain loop of the same round, boxes and accuracy."""
    fps = {n: [1000 / statistics.mean(t["frame_ms"][WARM_UP_FRAMES:]) for t in rounds] for n, rounds in told.items()}
    found = {}
    for name, rounds in told.items():
        last = rounds[-1]
        named = [given for given in last["labels"] if given is not None]
        found[name] = {
            "about": PEERS[name].about,
            "version": last["version"],
            "ratio": statistics.median(a / b for a, b in zip(fps[name], fps[BASELINE], strict=True)),
            "boxes": sum(last["boxes"]),
            "raw_fps": fps[name],
        }
        if labels:
            right = sum(given == wanted for given, wanted in zip(last["labels"], labels, strict=True))
            found[name] |= {"faces_found": len(named) / len(labels), "accuracy": right / len(labels),
                            "accuracy_of_found": right / len(named) if named else 0.0}  # fmt: skip
    return found


def prepare(wanted: list[str], options: argparse.Namespace, problems: dict[str, str]) -> dict[str, list[str]]:
    """Install what is wanted; the command of each peer that is there."""
    commands = {}
    for name in wanted:
        print(f"preparing {name}", file=sys.stderr)
        try:
            commands[name] = PEERS[name].prepare(options)
        except Unavailable as reason:
            problems[name] = str(reason)
    return commands


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--data", type=Path, help="a folder made by `edgeinfer-train prepare`")
    parser.add_argument("--yunet", type=Path, help="a face_detection_yunet ONNX file")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "peers", help="where peers are installed")
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
        write(Path(folder), frames=frames, faces=faces)
        told = measure(commands, Path(folder), options.rounds, problems)
    if BASELINE not in told:
        raise SystemExit(f"the plain loop does not run: {problems[BASELINE]}")
    found = figures(told, labels)
    for name, each in found.items():
        read = f", {each['accuracy']:.3f} of {len(labels)} faces right" if labels else ""
        print(f"{name:10}{each['ratio']:8.2f} times the plain loop, {each['boxes']} boxes{read}")
    for name, reason in problems.items():
        print(f"{name:10}not measured: {reason}")
    size_wh = [frames.shape[2], frames.shape[1]]
    keep("peers", {"clip": options.clip.name, "size_wh": size_wh, "frames": len(frames), "faces": len(labels),
                   "peers": found, "not_measured": problems})  # fmt: skip


if __name__ == "__main__":
    main()
