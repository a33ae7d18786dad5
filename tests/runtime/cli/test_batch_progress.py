"""Tests of the progress display and the final table of a batch."""

from __future__ import annotations

import io
import sys
from dataclasses import replace

import pytest

from edgeinfer.batch.engine import BatchSummary
from edgeinfer.batch.progress import BatchProgress
from edgeinfer.cli.batch_progress import LINE_S, MAX_SHOWN, BatchDisplay, format_batch_summary, format_progress

PROGRESS = BatchProgress(24, 5, 1, 2, 1000, 123.44, 322.4, ("a.mp4", "new\nline [red].mp4"))
SUMMARY = BatchSummary(24, 21, 3, 2, 6600, 5120, 31, 220.0, 12.5, (("b\t.mp4", "damaged\nfile"), ("c", "x" * 300)))


class Terminal(io.StringIO):
    """Stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (
            PROGRESS,
            "5 of 24 done, 1 failed, 123.4 frames/s, about 5 min 22 s left; in progress: a.mp4, new line [red].mp4",
        ),
        (
            replace(PROGRESS, failed=0, eta_s=None, running=()),
            "5 of 24 done, 123.4 frames/s, time left unknown",
        ),
    ],
    ids=["all", "start"],
)
def test_line(progress: BatchProgress, line: str) -> None:
    assert format_progress(progress) == line


def test_line_every_30_seconds_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    now_s = 0.0
    with BatchDisplay(enabled=True, clock_s=lambda: now_s) as display:
        for _ in range(90):
            now_s += 1
            display.update(PROGRESS)
    written = capsys.readouterr()
    assert written.err.splitlines() == [f"edgeinfer: {format_progress(PROGRESS)}"] * int(90 / LINE_S)
    assert written.out == ""


@pytest.mark.parametrize("terminal", [False, True])
def test_quiet_display_is_empty(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    now_s = 0.0
    with BatchDisplay(enabled=False, clock_s=lambda: now_s) as display:
        now_s = 100.0
        display.update(PROGRESS)
    assert stream.getvalue() == ""


def test_live_display_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    with BatchDisplay(enabled=True) as display:
        display.update(replace(PROGRESS, running=tuple(f"{number}[b].mp4" for number in range(MAX_SHOWN + 3))))
    shown = stream.getvalue()
    assert "5 of 24 done, 1 failed, 123.4 frames/s, about 5 min 22 s left" in shown
    assert f"  {MAX_SHOWN - 1}[b].mp4" in shown
    assert f"  {MAX_SHOWN}[b].mp4" not in shown
    assert "  and 3 more" in shown


def test_table() -> None:
    assert format_batch_summary(SUMMARY, "out") == "\n".join(
        [
            "sources  24: 19 done, 3 failed, 2 unchanged",
            "frames   6600",
            "faces    5120, 31 tracks in videos",
            "time     12.5 s",
            "speed    528.0 frames/s, 17.6 times real time",
            "failed   b .mp4: damaged file",
            f"failed   c: {'x' * 197}...",
            "         and 1 more",
            "results  out, with one row per source in batch.csv",
        ]
    )


def test_table_of_a_call_without_work() -> None:
    table = format_batch_summary(BatchSummary(3, 3, 0, 3, 0, 0, 0, 0.0, 0.0, ()), "out").splitlines()
    assert table[0] == "sources  3: 0 done, 0 failed, 3 unchanged"
    assert table[3:] == ["time     less than 0.01 s", "results  out, with one row per source in batch.csv"]
