"""Classification of a neutral face that starts to smile.

    python benchmarks/smile.py DATA [--clips N] [--model MODEL.onnx]

Each clip shows a neutral and then a happy validation face for one second each at 30 fps, embedded in a frame, and is
processed by the whole pipeline. It counts as correct if the most frequent label is neutral before the change and happy
from 0.4 s after it. The two faces are different people, so a pair may be ambiguous. Clips in which the cascade detects
no face are counted separately.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from common import embed_face, save_results
from edgeinfer import EmotionClassifier, HaarDetector, Pipeline
from edgeinfer.results import Image
from edgeinfer_train.datasets.load import load_split, read_info

FPS = 30
SETTLED_S = 0.4


def classify_clip(pipeline: Pipeline, before: Image, after: Image) -> tuple[str, str] | None:
    """Return the most frequent label of each half, or None if no face was detected in one of them."""
    pipeline.reset()
    labels: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for number in range(2 * FPS):
        time_s = number / FPS
        result = pipeline(before if time_s < 1 else after, timestamp_s=time_s)
        if time_s < 1 or time_s >= 1 + SETTLED_S:
            labels[time_s >= 1].update(face.emotion.label for face in result.faces)
    if not all(labels):
        return None
    first, second = (half.most_common(1)[0][0] for half in labels)
    return first, second


def main() -> None:
    """Run the benchmark."""
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
    results = [
        classify_clip(pipeline, *(embed_face(faces.images[index][:, :, 0]) for index in pair))
        for pair in zip(chosen["neutral"], chosen["happy"], strict=True)
    ]
    detected = [result for result in results if result]
    correct = sum(result == ("neutral", "happy") for result in detected)
    print(
        f"{options.clips} clips, {len(detected)} with a face in both halves, {correct} classified as neutral then happy"
    )
    for (first, second), count in Counter(detected).most_common():
        print(f"{count:4}  {first} then {second}")
    data = f"{info.name} validation, neutral and happy by {info.label_mode}"
    save_results(
        "smile",
        {
            "sha256": classifier.card.sha256,
            "data": data,
            "clips": options.clips,
            "seen": len(detected),
            "right": correct,
        },
    )


if __name__ == "__main__":
    main()
