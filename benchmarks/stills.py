"""Faces found and false boxes in pictures with the cascade and with YuNet.

    pip install scikit-image
    python benchmarks/stills.py YUNET [PICTURE|CLIP...] [--data DATA] [--seed N] [--drawn FOLDER]

YUNET is a face_detection_yunet file; its boxes with a score of 0.7 or more are the faces in photographs and frames.
DATA is a folder from `edgeinfer-train prepare`, whose validation faces are pasted on photographs without faces. A box
is right if its centre is within 0.4 sides of a face and its side is 0.5 to 2.1 times as long.

The first table compares `detect` with `detect_still` of both detectors. The second one is about the cascade: it lists
the share of the faces that each method of confirmation keeps if its threshold is set so that 0.02 false boxes per
picture remain. "Fitted" is a logistic regression, cross-validated in two folds; `StillSearch.score` uses its rounded
weights.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from common import save_results
from edgeinfer import EmotionClassifier, HaarDetector, YuNetDetector
from edgeinfer.detection.cascade_files import load_cascade
from edgeinfer.detection.stills import StillSearch, count_hits
from edgeinfer.expression.preprocess import crop_face
from edgeinfer.results import Box, Image
from still_sets import Still, make_stills

FALSE_SHARE = 0.02
"""False boxes per picture at which opinions are compared."""


def matching_face(box: Box, faces: Sequence[Box]) -> int | None:
    """Return the index of the face that a box covers."""
    for index, face in enumerate(faces):
        side = (face.w * face.h) ** 0.5
        distance = max(abs(box.x + box.w / 2 - face.x - face.w / 2), abs(box.y + box.h / 2 - face.y - face.h / 2))
        if distance < 0.4 * side and 0.5 < box.w / side < 2.1:
            return index
    return None


def touches(box: Box, others: Sequence[Box]) -> bool:
    """Return True if a box covers a third of another one, or is covered by a third."""
    for other in others:
        width = min(box.xyxy[2], other.xyxy[2]) - max(box.x, other.x)
        height = min(box.xyxy[3], other.xyxy[3]) - max(box.y, other.y)
        if width > 0 and height > 0 and 3 * width * height > min(box.w * box.h, other.w * other.h):
            return True
    return False


@dataclass(slots=True)
class Score:
    """Sums over the pictures of one set."""

    pictures: int = 0
    faces: int = 0
    found: int = 0
    false: int = 0
    duplicates: int = 0

    def add(self, still: Still, boxes: Sequence[Box]) -> None:
        """Add the boxes of one picture."""
        matches = [matching_face(box, still.faces) for box in boxes]
        found = {match for match in matches if match is not None}
        self.pictures, self.faces, self.found = (
            self.pictures + 1,
            self.faces + len(still.faces),
            self.found + len(found),
        )
        self.duplicates += sum(match is not None for match in matches) - len(found)
        self.false += sum(
            match is None and not touches(box, still.ignored) for match, box in zip(matches, boxes, strict=True)
        )


def compare(stills: Sequence[Still], yunet: YuNetDetector, drawn: Path | None) -> dict[str, object]:
    """Print and return the results of both functions of both detectors for each set of pictures."""
    cascade = HaarDetector()
    functions: dict[str, Callable[[Image], list[Box]]] = {
        "cascade": cascade.detect,
        "cascade, still": cascade.detect_still,
        "yunet": yunet.detect,
        "yunet, still": yunet.detect_still,
    }
    scores: dict[str, dict[str, Score]] = {still.kind: {name: Score() for name in functions} for still in stills}
    seconds, pixels = (
        dict.fromkeys(functions, 0.0),
        sum(still.image.shape[0] * still.image.shape[1] for still in stills),
    )
    for number, still in enumerate(stills):
        found = {}
        for name, function in functions.items():
            started = time.process_time()
            found[name] = function(still.image)
            seconds[name] += time.process_time() - started
            scores[still.kind][name].add(still, found[name])
        if drawn:
            draw(drawn / f"{number:04d}.png", still, found)
    print(f"{'':34s}{'pictures':>9s}{'faces':>7s}" + "".join(f"{name:>16s}{'false':>7s}" for name in functions))
    for kind, by_name in scores.items():
        first = next(iter(by_name.values()))
        cells = "".join(f"{score.found:16d}{score.false:7d}" for score in by_name.values())
        print(f"{kind:34s}{first.pictures:9d}{first.faces:7d}{cells}")
    per_megapixel = {name: round(1e6 * value / pixels, 3) for name, value in seconds.items()}
    print(f"seconds of one core per megapixel: {per_megapixel}")
    sets = {
        kind: {name: [getattr(score, field) for field in Score.__slots__] for name, score in by_name.items()}
        for kind, by_name in scores.items()
    }
    return {"fields": list(Score.__slots__), "sets": sets, "seconds_per_megapixel": per_megapixel}


def draw(path: Path, still: Still, found: dict[str, list[Box]]) -> None:
    """Write a picture with its faces in green, and those found by the cascade in blue and by YuNet in red."""
    image = still.image.copy()
    for boxes, colour, width in (
        (still.faces, (0, 255, 0), 1),
        (found["cascade, still"], (255, 0, 0), 4),
        (found["yunet, still"], (0, 0, 255), 2),
    ):
        for box in boxes:
            cv2.rectangle(image, box.xyxy[:2], box.xyxy[2:], colour, width)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


class Opinions:
    """All opinions that were considered, each a function of the grey and the colour picture and a candidate.

    Attributes:
        seconds: Processor time of each so far.
    """

    def __init__(self, search: StillSearch) -> None:
        """Load the cascades and the expression model."""
        self._search, self._classifier = search, EmotionClassifier.load()
        self._strict = load_cascade(None)
        tree = load_cascade("haarcascade_frontalface_alt_tree")
        self._functions: dict[str, Callable[[Image, Image, Box], float]] = {
            "contrast of the box": lambda grey, _, box: float(grey[box.y : box.y + box.h, box.x : box.x + box.w].std()),
            "level weight of default": lambda grey, _, box: self._level_weight(grey, box),
            "confidence of the expression": lambda _, image, box: self._confidence(image, box),
            "hits of default": lambda grey, _, box: count_hits(self._strict, grey, box),
            "hits of alt_tree": lambda grey, _, box: count_hits(tree, grey, box),
        }
        self.seconds = dict.fromkeys((*self._functions, "hits of alt, hits of alt2, eyes"), 0.0)

    def of(self, image: Image, grey: Image, box: Box) -> dict[str, float]:
        """Return the opinions on one candidate."""
        values = {}
        for name, function in self._functions.items():
            started = time.process_time()
            values[name] = function(grey, image, box)
            self.seconds[name] += time.process_time() - started
        started = time.process_time()
        values["hits of alt"], values["hits of alt2"], values["eyes"] = self._search.examine(grey, box)
        self.seconds["hits of alt, hits of alt2, eyes"] += time.process_time() - started
        return values

    def _level_weight(self, grey: Image, box: Box) -> float:
        """Return the highest sum of the cascade's last stage near a candidate; 0 if no window reaches it."""
        around = grey[
            max(0, box.y - box.h // 3) : box.y + 4 * box.h // 3, max(0, box.x - box.w // 3) : box.x + 4 * box.w // 3
        ]
        scale = 30 / box.w
        small = cv2.resize(around, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        _, levels, weights = self._strict.detectMultiScale3(
            small, 1.05, 0, minSize=(22, 22), maxSize=(42, 42), outputRejectLevels=True
        )
        last = np.ravel(weights)[np.ravel(levels) >= 25]
        return float(last.max()) if len(last) else 0.0

    def _confidence(self, image: Image, box: Box) -> float:
        return self._classifier.classify([crop_face(image, box.xywh, self._classifier.margin)])[0].confidence


def compare_opinions(stills: Sequence[Still]) -> dict[str, object]:
    """Print and return the share of the faces among the candidates that each opinion keeps."""
    search = StillSearch(load_cascade(None))
    opinions = Opinions(search)
    rows: list[tuple[int, int | None, dict[str, float]]] = []
    for number, still in enumerate(stills):
        grey = np.asarray(cv2.cvtColor(still.image, cv2.COLOR_BGR2GRAY), np.uint8)
        for box in search.propose(grey):
            face = matching_face(box, still.faces)
            if face is not None or not touches(box, (*still.ignored, *still.faces)):
                rows.append((number, face, opinions.of(still.image, grey, box)))
    names = list(rows[0][2])
    values = {name: np.array([row[2][name] for row in rows]) for name in names}
    values["eyes"] = np.minimum(values["eyes"], 2)
    true = np.array([row[1] is not None for row in rows])
    terms = np.column_stack(
        [np.log1p(values["hits of alt"]), np.log1p(values["hits of alt2"]), values["eyes"], np.ones(len(rows))]
    )
    fold = np.array([row[0] for row in rows]) // 3 % 2
    values["alt, alt2 and eyes, fitted"] = np.where(
        fold == 0, terms @ fit(terms[fold == 1], true[fold == 1]), terms @ fit(terms[fold == 0], true[fold == 0])
    )
    values["alt, alt2 and eyes, rounded"] = terms @ (2, 1, 2, 0)
    faces = {(row[0], row[1]) for row in rows if row[1] is not None}
    allowed = round(FALSE_SHARE * len(stills))
    kept = {}
    for name, column in values.items():
        threshold = np.sort(column[~true])[::-1][allowed]
        found = {
            (row[0], row[1])
            for row, value in zip(rows, column, strict=True)
            if row[1] is not None and value > threshold
        }
        kept[name] = round(len(found) / len(faces), 3)
    weights = fit(terms, true).round(2).tolist()
    ms = {name: round(1000 * value / len(rows), 2) for name, value in opinions.seconds.items()}
    print(f"{len(rows)} candidates, {len(faces)} faces among them")
    for name in sorted(kept, key=lambda name: kept[name]):
        print(f"{name:34s}{kept[name]:.3f}")
    print(f"milliseconds per candidate: {ms}\nweights of alt, alt2, eyes and constant: {weights}")
    return {"candidates": len(rows), "faces": len(faces), "kept": kept, "ms_per_candidate": ms, "weights": weights}


def fit(terms: NDArray[np.float64], true: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the coefficients of a logistic regression by Newton's method, with a small penalty."""
    weights = np.zeros(terms.shape[1])
    for _ in range(30):
        probability = 1 / (1 + np.exp(-terms @ weights))
        gradient = terms.T @ (probability - true) + 0.1 * weights
        curvature = (terms.T * (probability * (1 - probability))) @ terms + 0.1 * np.eye(len(weights))
        weights -= np.linalg.solve(curvature, gradient)
    return weights


def validation_faces(data: Path | None) -> list[Image]:
    """Return the validation faces of a prepared data set, (48, 48) grey."""
    if data is None:
        return []
    from edgeinfer_train.datasets.load import load_split  # noqa: PLC0415 - only with --data

    return list(load_split(data, "valid").images[:, :, :, 0])


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("yunet", type=Path)
    parser.add_argument("sources", type=Path, nargs="*")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--drawn", type=Path)
    options = parser.parse_args()

    cv2.setNumThreads(1)
    reference = YuNetDetector(options.yunet)
    stills = list(make_stills(reference.detect, validation_faces(options.data), options.sources, options.seed))
    figures = compare(stills, reference, options.drawn)
    save_results("stills", {"seed": options.seed, **figures, "opinions": compare_opinions(stills)})


if __name__ == "__main__":
    main()
