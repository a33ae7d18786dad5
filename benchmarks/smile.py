"""Does a neutral face that starts to smile read neutral, then happy?

    python benchmarks/smile.py DATA [--clips N] [--model MODEL.onnx]

Each clip shows a neutral and then a happy validation face, a second each at 30 frames a second, set into a frame,
through the whole pipeline. Read right: mostly neutral before the change, mostly happy from 0.4 s after it. The faces
are different people, so a pair may be ambiguous by itself; clips where the cascade finds no face are counted apart.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from common import keep, set_into_frame
from edgeinfer import EmotionClassifier, HaarDetector, Pipeline
from edgeinfer.results import Image
from edgeinfer_train.datasets.load import load_split, read_info

FPS = 30
SETTLED_S = 0.4


def read(pipeline: Pipeline, before: Image, after: Image) -> tuple[str, str] | None:
    """The label shown most in each half; None when a half shows no face."""
    pipeline.reset()
    shown: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for number in range(2 * FPS):
        time_s = number / FPS
        result = pipeline(before if time_s < 1 else after, timestamp_s=time_s)
        if time_s < 1 or time_s >= 1 + SETTLED_S:
            shown[time_s >= 1].update(face.emotion.label for face in result.faces)
    if not all(shown):
        return None
    first, second = (half.most_common(1)[0][0] for half in shown)
    return first, second


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("--clips", type=int, default=50)
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()

    faces, info = load_split(options.data, "valid"), read_info(options.data)
    random = np.random.default_rng(0)
    chosen = {
        name: random.choice(np.flatnonzero(faces.labels == info.labels.index(name)), options.clips, replace=False)
        for name in ("neutral", "happy")
    }
    classifier = EmotionClassifier.load(options.model)
    pipeline = Pipeline(HaarDetector(min_size=60), classifier)
    answers = [
        read(pipeline, *(set_into_frame(faces.images[index][:, :, 0]) for index in pair))
        for pair in zip(chosen["neutral"], chosen["happy"], strict=True)
    ]
    seen = [answer for answer in answers if answer]
    right = sum(answer == ("neutral", "happy") for answer in seen)
    print(f"{options.clips} clips, {len(seen)} with a face in both halves, {right} read neutral then happy")
    for (first, second), count in Counter(seen).most_common():
        print(f"{count:4}  {first} then {second}")
    data = f"{info.name} validation, neutral and happy by {info.label_mode}"
    keep(
        "smile",
        {"sha256": classifier.card.sha256, "data": data, "clips": options.clips, "seen": len(seen), "right": right},
    )


if __name__ == "__main__":
    main()
