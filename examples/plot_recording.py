"""Plot of the perceived expressions in a recording over time, one strip per face, as a PNG file.

Needs: edgeinfer, and pip install pandas matplotlib
Run:   edgeinfer run clip.mp4 --out faces.jsonl
       python plot_recording.py faces.jsonl faces.png     (or a .csv or .parquet file)
"""

import argparse
from itertools import cycle
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import edgeinfer

COLOURS = {  # the colours of the boxes in annotated frames
    "neutral": "#cccccc", "happy": "#f0e442", "surprise": "#e69f00", "sad": "#0072b2", "angry": "#d55e00",
    "disgust": "#009e73", "fear": "#cc79a7", "contempt": "#56b4e9",
}  # fmt: skip
MAX_FACES = 8
"""Number of plotted faces: those that were in view the longest."""
GAP_S = 0.5
"""Time out of view, in seconds, after which a strip is interrupted."""


def read(path: Path) -> pd.DataFrame:
    """Return one row per face and frame of the last run with faces."""
    table = edgeinfer.to_pandas(edgeinfer.read_results(path))
    if table.empty:
        raise SystemExit(f"{path} contains no faces; record some with: edgeinfer run clip.mp4 --out {path}")
    runs = (table["frame"].diff() < 0).cumsum()  # each run of --append begins at frame 0
    return table[runs == runs.max()]


def draw(table: pd.DataFrame, title: str, target: Path) -> None:
    """Plot the table and save it as an image."""
    labels = table.loc[:, "confidence":].columns[1:].difference(["roll", "yaw", "pitch"], sort=False)
    others = cycle(plt.colormaps["tab20"].colors)
    colours = [COLOURS[label] if label in COLOURS else next(others) for label in labels]
    tracks = sorted(table["track"].value_counts().index[:MAX_FACES])
    figure, axes = plt.subplots(
        len(tracks), sharex=True, sharey=True, squeeze=False, figsize=(10, 1.6 + 1.1 * len(tracks)),
        layout="constrained",
    )  # fmt: skip
    for axis, track in zip(axes[:, 0], tracks, strict=True):
        rows = table[table["track"] == track]
        for _, segment in rows.groupby((rows["time_s"].diff() > GAP_S).cumsum()):
            axis.stackplot(segment["time_s"], segment[labels].T, colors=colours)
        axis.set(ylim=(0, 1), yticks=(0, 0.5, 1), xlim=(0, table["time_s"].max()))
        axis.set_title(f"face {track}", loc="left", fontsize="medium")
    figure.suptitle(title)
    figure.supxlabel("time in s")
    figure.supylabel("probability")
    swatches = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in colours]
    figure.legend(swatches, labels, title="perceived\nexpression", loc="outside right upper", frameon=False)
    figure.savefig(target, dpi=150)


def main() -> None:
    """Plot the recording given on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("recording", type=Path)
    parser.add_argument("picture", type=Path)
    options = parser.parse_args()
    draw(read(options.recording), f"Perceived expressions in {options.recording.name}", options.picture)


if __name__ == "__main__":
    main()
