"""Output that writes for how many seconds each expression was seen."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Self

import edgeinfer

LONGEST_STEP_S = 1.0
"""Longest time between two frames that is counted, in seconds; a longer one is a gap in the recording."""


class SecondsSink:
    """Sink that writes one JSON object at the end of a run, `{"source": …, "seconds": {label: seconds}}`.

    Two happy faces in view for a second count as two seconds.

    Attributes:
        written: Path of the file for the summary of the run; empty before its end.
    """

    def __init__(self, target: str) -> None:
        self._path, self._source = Path(target), ""
        self._seconds: Counter[str] = Counter()
        self._last_s: float | None = None
        self.written: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        """Check that the folder exists, before anything is processed.

        Raises:
            OutputError: There is no such folder.
        """
        if not self._path.absolute().parent.is_dir():
            raise edgeinfer.OutputError(f"cannot write {self._path}: the folder does not exist; create it first")
        return self

    def start(self, header: edgeinfer.RunHeader, summary: Callable[[], edgeinfer.RunSummary]) -> None:
        """Store the name of the source, and list every label."""
        self._source = header.source
        self._seconds.update(dict.fromkeys(header.labels, 0.0))

    def write(self, frame: edgeinfer.Frame, result: edgeinfer.Result) -> None:
        """Add the time since the last frame to the label of each face."""
        step_s = 0.0 if self._last_s is None else frame.timestamp_s - self._last_s
        self._last_s = frame.timestamp_s
        if 0 < step_s <= LONGEST_STEP_S:
            for face in result.faces:
                self._seconds[face.emotion.label] += step_s

    def __exit__(self, *_: object) -> None:
        """Write the file.

        Raises:
            OutputError: The file cannot be written.
        """
        seconds = {label: round(value, 3) for label, value in self._seconds.items()}
        text = json.dumps({"source": self._source, "seconds": seconds}, indent=2, ensure_ascii=False)
        try:
            self._path.write_text(f"{text}\n", encoding="utf-8")
        except OSError as error:
            raise edgeinfer.OutputError(f"cannot write {self._path}: {error.strerror}; choose another file") from error
        self.written = (str(self._path),)
