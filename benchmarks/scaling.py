"""How does the cost of a run grow with the frame, with the faces in view and with its length?

    taskset -c 0 python benchmarks/scaling.py PICTURE... [--rounds N] [--long N]

Heads cut out of the pictures sway over a textured ground (see `made_clips.py`). The pipeline gets frames from memory,
so that decoding is left out; the baseline is 640x360 with one face. What counts is the processor's time. With --long
so many frames are read and the growth of resident memory from frame 1,000 to the last is reported.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import cv2
import numpy as np

from common import keep
from edgeinfer import load_pipeline
from edgeinfer.results import Image
from made_clips import Head, act, cut_heads, ground, sway

SIZES = ((640, 360), (960, 540), (1280, 720), (1920, 1080), (3840, 2160))
FACES = (1, 2, 4, 8, 16)
SECONDS = 2.0
PAGE_MB = 4096 / 2**20


def scene(picture: Image, heads: list[Head], size_wh: tuple[int, int], faces: int) -> list[Image]:
    """Frames with so many swaying faces, noise included."""
    wide, high = size_wh
    columns = max(1, min(faces, 4)) if faces <= 4 else 6
    side = 0.16 * high if faces > 4 else 0.24 * high
    moves = [
        sway((n % columns + 0.5) * wide / columns, (n // columns + 0.6) * high / (faces / columns + 0.5),
             side * 0.8, 0.03 * wide, 2 + n / 5)
        for n in range(faces)
    ]  # fmt: skip
    random = np.random.default_rng(0)
    grain = random.normal(0, 4, (high, wide, 1))
    shown = act([heads[n % len(heads)] for n in range(faces)], moves, ground(picture, size_wh, 1), SECONDS)
    return [np.clip(frame + np.roll(grain, 7 * n), 0, 255).astype(np.uint8) for n, (frame, _) in enumerate(shown)]


def cost_ms(images: list[Image]) -> tuple[float, float]:
    """Milliseconds a frame after the first, and faces a frame."""
    pipeline = load_pipeline()
    pipeline(images[0])
    started, faces = time.process_time(), 0
    for image in images[1:]:
        faces += len(pipeline(image).faces)
    return 1000 * (time.process_time() - started) / (len(images) - 1), faces / (len(images) - 1)


def memory_growth_mb(images: list[Image], count: int) -> tuple[float, float]:
    """Growth of resident memory from frame 1,000 to the last, and the largest, in megabytes."""
    pipeline, sizes = load_pipeline(), []
    for number in range(count):
        pipeline(images[number % len(images)])
        if number % 1000 == 0:
            sizes.append(int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE_MB)
    return sizes[-1] - sizes[1], max(sizes)


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long", type=int, default=0)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    pictures = [np.asarray(cv2.imread(str(path)), np.uint8) for path in options.pictures]
    heads = [head for picture in pictures for head in cut_heads(picture)]
    cases = {f"{wide}x{high}": ((wide, high), 1) for wide, high in SIZES}
    cases |= {f"{count} faces": ((640, 360), count) for count in FACES[1:]}
    results: dict[str, dict[str, float]] = {}
    baseline = scene(pictures[0], heads, SIZES[0], 1)
    for name, (size_wh, count) in cases.items():
        images = scene(pictures[0], heads, size_wh, count)
        pairs = [(cost_ms(baseline)[0], *cost_ms(images)) for _ in range(options.rounds)]
        ratio = statistics.median(ours / base for base, ours, _ in pairs)
        results[name] = {"ratio": ratio, "ms": statistics.median(p[1] for p in pairs), "faces": pairs[0][2]}
        print(f"{name}: {ratio:.2f} times 640x360 with one face ({results[name]['faces']:.1f} faces a frame)")
    figures: dict[str, object] = {"cases": results}
    if options.long:
        growth, most = memory_growth_mb(baseline, options.long)
        print(f"resident memory from frame 1,000 to {options.long}: {growth:+.2f} MB, at most {most:.0f} MB here")
        figures["memory_growth_mb"] = growth
    keep("scaling", figures)


if __name__ == "__main__":
    main()
