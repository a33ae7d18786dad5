"""Cost of a run by frame size, number of faces and duration.

    taskset -c 0 python benchmarks/scaling.py PICTURE... [--rounds N] [--long N]

Heads cut out of the pictures sway over a textured background (see `made_clips.py`). The frames are in memory, so
decoding is not measured. The baseline is 640x360 with one face; times are CPU times. --long processes N frames and
reports the growth of resident memory from frame 1,000 to the last.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import cv2
import numpy as np

from common import save_results
from edgeinfer import load_pipeline
from edgeinfer.results import Image
from made_clips import Head, compose, cut_heads, make_background, sway

SIZES = ((640, 360), (960, 540), (1280, 720), (1920, 1080), (3840, 2160))
FACES = (1, 2, 4, 8, 16)
SECONDS = 2.0
PAGE_MB = 4096 / 2**20


def scene(picture: Image, heads: list[Head], size_wh: tuple[int, int], faces: int) -> list[Image]:
    """Return frames with the given number of swaying faces and sensor noise."""
    width, height = size_wh
    columns = max(1, min(faces, 4)) if faces <= 4 else 6
    side = 0.16 * height if faces > 4 else 0.24 * height
    moves = [
        sway((n % columns + 0.5) * width / columns, (n // columns + 0.6) * height / (faces / columns + 0.5),
             side * 0.8, 0.03 * width, 2 + n / 5)
        for n in range(faces)
    ]  # fmt: skip
    random = np.random.default_rng(0)
    grain = random.normal(0, 4, (height, width, 1))
    clean = compose([heads[n % len(heads)] for n in range(faces)], moves, make_background(picture, size_wh, 1), SECONDS)
    return [np.clip(frame + np.roll(grain, 7 * n), 0, 255).astype(np.uint8) for n, (frame, _) in enumerate(clean)]


def cost_ms(images: list[Image]) -> tuple[float, float]:
    """Return milliseconds and faces per frame, without the first frame."""
    pipeline = load_pipeline()
    pipeline(images[0])
    started, faces = time.process_time(), 0
    for image in images[1:]:
        faces += len(pipeline(image).faces)
    return 1000 * (time.process_time() - started) / (len(images) - 1), faces / (len(images) - 1)


def memory_growth_mb(images: list[Image], count: int) -> tuple[float, float]:
    """Return the growth of resident memory from frame 1,000 to the last frame, and its peak, in MiB."""
    pipeline, sizes_mb = load_pipeline(), []
    for number in range(count):
        pipeline(images[number % len(images)])
        if number % 1000 == 0:
            sizes_mb.append(int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE_MB)
    return sizes_mb[-1] - sizes_mb[1], max(sizes_mb)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long", type=int, default=0)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    pictures = [np.asarray(cv2.imread(str(path)), np.uint8) for path in options.pictures]
    heads = [head for picture in pictures for head in cut_heads(picture)]
    cases = {f"{width}x{height}": ((width, height), 1) for width, height in SIZES}
    cases |= {f"{count} faces": ((640, 360), count) for count in FACES[1:]}
    results: dict[str, dict[str, float]] = {}
    baseline = scene(pictures[0], heads, SIZES[0], 1)
    for name, (size_wh, count) in cases.items():
        images = scene(pictures[0], heads, size_wh, count)
        pairs = [(cost_ms(baseline)[0], *cost_ms(images)) for _ in range(options.rounds)]
        ratio = statistics.median(cost / base for base, cost, _ in pairs)
        results[name] = {"ratio": ratio, "ms": statistics.median(p[1] for p in pairs), "faces": pairs[0][2]}
        print(f"{name}: {ratio:.2f} times 640x360 with one face ({results[name]['faces']:.1f} faces per frame)")
    figures: dict[str, object] = {"cases": results}
    if options.long:
        growth, maximum = memory_growth_mb(baseline, options.long)
        print(f"resident memory from frame 1,000 to {options.long}: {growth:+.2f} MB, at most {maximum:.0f} MB")
        figures["memory_growth_mb"] = growth
    save_results("scaling", figures)


if __name__ == "__main__":
    main()
