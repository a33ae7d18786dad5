"""Log of an experiment: the perceived expression in each frame of a camera, with the stimulus that was shown.

The stimuli and the frames share one clock, `time.monotonic()`. The onset of a stimulus is the time at which its frame
was shown (PsychoPy's `flip` returns at the vertical blank); a frame belongs to the stimulus that was visible when the
frame arrived from the camera, however long its processing takes. The camera's own delay, usually one or two frames, is
constant: film a flashing screen to measure it.

Needs: edgeinfer, and pip install psychopy; without PsychoPy, the stimuli are printed in the terminal
Run:   python experiment_log.py trials.csv log.csv                 (camera 0)
       python experiment_log.py trials.csv log.csv --source clip.mp4
       trials.csv has the columns stimulus (a text or the path of a picture) and duration_s.
"""

import argparse
import csv
import threading
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import edgeinfer

try:
    from psychopy import visual
except ImportError:
    visual = None

COLUMNS = ("trial", "stimulus", "onset_s", "frame", "captured_s", "since_onset_s", "track", "label", "confidence")


@dataclass(frozen=True)
class Onset:
    """Beginning of a trial: its number from 1, its stimulus, and the time in seconds of `time.monotonic()`."""

    trial: int
    stimulus: str
    at_s: float


class ExpressionLog:
    """CSV file that a thread fills with one row per face and frame; a frame without faces has one row, too."""

    def __init__(self, path: Path, source: str) -> None:
        self._path, self._source = path, source
        self._onsets = [Onset(0, "", time.monotonic())]
        self._ready, self._stop = threading.Event(), threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        """Start the camera and wait for its first frame; raise the error if it has none."""
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error
        return self

    def mark(self, trial: int, stimulus: str, onset_s: float) -> None:
        """Begin a trial; raise the error if the camera was lost.

        Args:
            trial: Number of the trial, from 1.
            stimulus: Name of its stimulus.
            onset_s: Time at which it became visible, in seconds of `time.monotonic()`.
        """
        if self._error is not None:
            raise self._error
        self._onsets.append(Onset(trial, stimulus, onset_s))

    def __exit__(self, *_: object) -> None:
        """Stop the camera; raise the error that ended the thread, if any."""
        self._stop.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            pipeline = edgeinfer.load_pipeline()
            # In live mode a video file plays in real time, as a camera does.
            with self._path.open("w", newline="") as file, edgeinfer.open_source(self._source, mode="live") as source:
                rows = csv.writer(file)
                rows.writerow((*COLUMNS, *pipeline.classifier.labels))
                for frame in source:
                    self._ready.set()
                    result = pipeline(frame.image, timestamp_s=frame.timestamp_s)
                    rows.writerows(self._rows(frame, result))
                    if self._stop.is_set():
                        break
        except Exception as error:
            self._error = error
        finally:
            self._ready.set()

    def _rows(self, frame: edgeinfer.Frame, result: edgeinfer.Result) -> list[tuple[object, ...]]:
        """Return the rows of a frame; an index that is missing between two rows is a frame that was dropped as late."""
        captured_s = frame.captured_s or time.monotonic()
        onset = self._onsets[bisect_right(self._onsets, captured_s, key=lambda onset: onset.at_s) - 1]
        times = [f"{value:.4f}" for value in (captured_s, captured_s - onset.at_s)]
        shown = (onset.trial, onset.stimulus, f"{onset.at_s:.4f}", frame.index, *times)
        faces = [(face.track_id, face.emotion.label, *_values(face.emotion)) for face in result.faces]
        return [(*shown, *face) for face in faces] or [shown]


def _values(emotion: edgeinfer.Emotion) -> list[str]:
    """Return the confidence, and the probability of each label."""
    return [f"{value:.4f}" for value in (emotion.confidence, *emotion.probabilities.values())]


def open_display() -> Callable[[str], float]:
    """Return a function that shows a stimulus and returns the time of its onset, in seconds of `time.monotonic()`."""
    if visual is None:
        return print_stimulus
    window = visual.Window(fullscr=True)

    def show(stimulus: str) -> float:
        is_picture = Path(stimulus).is_file()
        (visual.ImageStim(window, stimulus) if is_picture else visual.TextStim(window, stimulus)).draw()
        window.flip()
        return time.monotonic()

    return show


def print_stimulus(stimulus: str) -> float:
    """Print a stimulus and return the time, in seconds of `time.monotonic()`."""
    print(stimulus, flush=True)
    return time.monotonic()


def main() -> None:
    """Show the stimuli of a file one after the other."""
    parser = argparse.ArgumentParser()
    parser.add_argument("trials", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("--source", default="0", help="camera, video or stream, as for edgeinfer run")
    options = parser.parse_args()
    with options.trials.open(newline="") as file:
        trials = list(csv.DictReader(file))
    show = open_display()
    with ExpressionLog(options.log, options.source) as log:
        for number, trial in enumerate(trials, 1):
            log.mark(number, trial["stimulus"], show(trial["stimulus"]))
            time.sleep(float(trial["duration_s"]))


if __name__ == "__main__":
    main()
