"""Draws the perceived expressions of a recording over time, a strip for each face, as a PNG.

Needs: edgeinfer, and pip install pandas matplotlib
Run:   edgeinfer run clip.mp4 --out faces.jsonl
       python plot_recording.py faces.jsonl faces.png
"""

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

COLOURS = {
    "neutral": "#cfcfcf", "happy": "#f2b134", "surprise": "#3fb8af", "sad": "#3b6fb6", "angry": "#d1495b",
    "disgust": "#6a994e", "fear": "#7d5ba6", "contempt": "#8c6d46",
}  # fmt: skip
MOST_FACES, GAP_S = 8, 0.5
"""The faces that were in view the longest are drawn; where one was out of view for longer, its strip is interrupted."""


def read(path: Path) -> pd.DataFrame:
    """A row for each face in each frame: time_s, track, and a probability for each label. Of several runs, the last."""
    rows: list[dict[str, float]] = []
    with path.open(encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            if line["type"] == "header":
                rows.clear()
            elif line["type"] == "frame":
                time_s = line["time_s"]
                rows += [{"time_s": time_s, "track": face["track"], **face["probabilities"]} for face in line["faces"]]
    if not rows:
        raise SystemExit(f"{path} holds no faces; record them with: edgeinfer run clip.mp4 --out {path}")
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame, title: str, target: Path) -> None:
    """Write the picture."""
    labels = list(table.columns[2:])
    colours = [COLOURS.get(label, "black") for label in labels]
    longest = sorted(table["track"].value_counts().index[:MOST_FACES])
    figure, axes = plt.subplots(
        len(longest), sharex=True, sharey=True, squeeze=False, figsize=(10, 1.6 + 1.1 * len(longest)),
        layout="constrained",
    )  # fmt: skip
    for axis, track in zip(axes[:, 0], longest, strict=True):
        seen = table[table["track"] == track]
        for _, part in seen.groupby((seen["time_s"].diff() > GAP_S).cumsum()):
            axis.stackplot(part["time_s"], part[labels].T, colors=colours)
        axis.set(ylim=(0, 1), yticks=(0, 0.5, 1), xlim=(0, table["time_s"].max()))
        axis.set_title(f"face {track}", loc="left", fontsize="medium")
    figure.suptitle(title)
    figure.supxlabel("time in s")
    figure.supylabel("probability")
    swatches = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in colours]
    figure.legend(swatches, labels, title="perceived\nexpression", loc="outside right upper", frameon=False)
    figure.savefig(target, dpi=150)


def main() -> None:
    """Read, draw, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("recording", type=Path)
    parser.add_argument("picture", type=Path)
    options = parser.parse_args()
    draw(read(options.recording), f"Perceived expressions in {options.recording.name}", options.picture)


if __name__ == "__main__":
    main()
