"""Speed and detection rate of a run compared with a plain loop.

    taskset -c 0 python benchmarks/pipeline_vs_plain.py [CLIP...] [--pictures FILE...] [--yunet FILE] [--rounds N]

The plain loop decodes, searches every full frame with `detectMultiScale(grey, 1.1, 5)` and the frontal cascade, and
classifies each box with the bundled model. It is compared with `edgeinfer.run` and a JSONL output. --pictures generates
clips from pictures (see `made_clips.py`); by default the demo clip is used. All variants take turns in one process on
one thread, with their models loaded. Times are CPU times, which other processes affect least.

--yunet takes the model file of that detector, which defines the ground truth at full size, see `face_runs`. YuNet is
also measured alone at 320x180, on every full frame with the classifier, and as the detector of `edgeinfer.run`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common import save_results
from edgeinfer import Box, EmotionClassifier, load_pipeline
from edgeinfer.detection.yunet import YuNetDetector
from edgeinfer.expression.preprocess import crop_face
from edgeinfer.model.card import asset_path
from edgeinfer.results import Image
from face_runs import boxes_of, frames, ground_truth, plain_detector, run_edgeinfer, run_loop, score
from made_clips import make


def small_yunet(path: Path) -> Callable[[Image], list[Box]]:
    """Return YuNet at 320x180; its boxes are not scaled to the frame."""
    detector = YuNetDetector(path)
    return lambda image: detector.detect(np.asarray(cv2.resize(image, (320, 180)), np.uint8))


def compare_labels(clip: Path, lines: list[dict[str, Any]], classifier: EmotionClassifier) -> dict[str, float]:
    """Compare the labels of a run with those of classifying the same boxes in every frame.

    Returns:
        Number of label changes of both, and the share of raw labels that are equal, more than 0.4 s away from a change
        of the per-frame label.
    """
    tracks: dict[int, list[tuple[float, str, str, str]]] = {}
    records = [line for line in lines if line["type"] == "frame"]
    for image, line in zip(frames(clip), records, strict=True):
        crops = [crop_face(image, tuple(face["box"]), classifier.margin) for face in line["faces"]]
        for face, emotion in zip(line["faces"], classifier.classify(crops), strict=True):
            raw = max(face["raw"], key=face["raw"].get)
            tracks.setdefault(face["track"], []).append((line["time_s"], face["label"], raw, emotion.label))
    changes, unsmoothed_changes, equal, counted = 0, 0, 0, 0
    for track in tracks.values():
        changes += sum(a[1] != b[1] for a, b in pairwise(track))
        change_times = [b[0] for a, b in pairwise(track) if a[3] != b[3]]
        unsmoothed_changes += len(change_times)
        stable = [row for row in track if all(abs(row[0] - time_s) > 0.4 for time_s in change_times)]
        counted += len(stable)
        equal += sum(row[2] == row[3] for row in stable)
    return {
        "label_changes": changes,
        "unsmoothed_changes": unsmoothed_changes,
        "agreement": equal / counted if counted else 1.0,
    }


def measure(clip: Path, out: Path, yunet: Path | None, rounds: int) -> dict[str, Any]:
    """Return all figures of one clip."""
    classifier = EmotionClassifier.load()
    plain, haar = plain_detector(), load_pipeline()
    runs: dict[str, Callable[[], Any]] = {
        "decoding": lambda: sum(1 for _ in frames(clip)),
        "plain": lambda: run_loop(clip, plain, classifier),
        "ours": lambda: run_edgeinfer(clip, out, haar),
    }
    if yunet:
        network = load_pipeline(detector="yunet", detector_model=yunet)
        full, small = YuNetDetector(yunet).detect, small_yunet(yunet)
        runs["yunet at 320x180 alone"] = lambda: run_loop(clip, small, None)
        runs["yunet on every frame"] = lambda: run_loop(clip, full, classifier)
        runs["ours with yunet"] = lambda: run_edgeinfer(clip, out, network)
    raw: dict[str, list[float]] = {name: [] for name in runs}
    last: dict[str, Any] = {}
    for _ in range(rounds):
        for name, function in runs.items():
            started = time.process_time()
            last[name] = function()
            raw[name].append(time.process_time() - started)
    lines = last["ours"]
    figures: dict[str, Any] = {
        "frames": last["decoding"],
        "stages_ms": lines[-1]["stages_ms"],
        "seconds": {name: statistics.median(times) for name, times in raw.items()},
        "raw_seconds": raw,
        **compare_labels(clip, lines, classifier),
    }
    if yunet:
        truth, candidates = ground_truth(clip, yunet)
        figures["found"] = {
            "plain": score(last["plain"], truth, candidates),
            "ours": score(boxes_of(lines), truth, candidates),
            "ours with yunet": score(boxes_of(last["ours with yunet"]), truth, candidates),
        }
    return figures


def report(clip: str, figures: dict[str, Any]) -> None:
    """Print the figures of one clip."""
    seconds = figures["seconds"]
    ratio = seconds["ours"] / seconds["decoding"]
    print(f"{clip}: {figures['frames']} frames; a run takes {ratio:.1f} times as long as decoding")
    for other in seconds:
        if other not in ("ours", "decoding"):
            print(f"    compared with {other}: {seconds[other] / seconds['ours']:.1f} times as fast")
    if "ours with yunet" in seconds:
        ratio = seconds["yunet on every frame"] / seconds["ours with yunet"]
        print(f"    run with yunet compared with yunet on every frame: {ratio:.1f} times as fast")
    for name, scores in figures.get("found", {}).items():
        print(f"    {name}: recall {scores['recall']:.3f} of {scores['faces']} faces, "
              f"{scores['false_a_frame']:.3f} false boxes per frame")  # fmt: skip
    print(f"    {figures['label_changes']} label changes, {figures['unsmoothed_changes']} without smoothing; "
          f"{figures['agreement']:.1%} of the raw labels agree")  # fmt: skip
    print("    stages, ms:", ", ".join(f"{n} {v.get('p50', 0):.2f}" for n, v in figures["stages_ms"].items()))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clips", type=Path, nargs="*")
    parser.add_argument("--pictures", type=Path, nargs="+", default=[])
    parser.add_argument("--yunet", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        generated = make(Path(folder), options.pictures) if options.pictures else []
        clips = [*options.clips, *generated] or [asset_path("demo.mp4")]
        results = {}
        for clip in clips:
            results[clip.stem] = measure(clip, Path(folder) / "x.jsonl", options.yunet, options.rounds)
            report(clip.stem, results[clip.stem])
    ratios = [figures["seconds"]["plain"] / figures["seconds"]["ours"] for figures in results.values()]
    mean = statistics.geometric_mean(ratios)
    print(f"geometric mean over {len(ratios)} clips: {mean:.1f} times as fast as the plain loop")
    save_results("pipeline_vs_plain", {"ratio": mean, "clips": results})


if __name__ == "__main__":
    main()
