"""A few mutated inputs for every fuzz target, and the detection of failures by the driver."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from fuzz.__main__ import TargetRun, main
from fuzz.cases import CASES, Case, cases
from fuzz.checks import CHECKS
from fuzz.child import Child, Limits

COUNT = 16
FAST_COUNT = 100
FAST = {"mjpeg", "webhook", "preview", "address"}
"""Targets that call one function instead of a command."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from /proc")


def fault_cases(*contents: bytes) -> Iterator[Case]:
    return iter([Case(content, ".txt") for content in contents])


@pytest.mark.parametrize("target", CASES)
def test_mutated_inputs_are_processed_or_refused(tmp_path: Path, target: str) -> None:
    count = FAST_COUNT if target in FAST else COUNT
    run = TargetRun(target, 1, tmp_path, tmp_path / "saved")
    run.run(duration_s=300, max_cases=count)
    assert run.tried == count
    assert run.failures == {}, [path.name for path in (tmp_path / "saved").iterdir()]
    assert run.details.total() == count


def test_every_target_has_a_check() -> None:
    assert set(CHECKS) - set(CASES) == {"fault"}


@pytest.mark.parametrize("target", CASES)
def test_cases_depend_only_on_the_seed(tmp_path: Path, target: str) -> None:
    first, second, other = (list(islice(cases(target, seed, tmp_path), 6)) for seed in (1, 1, 2))
    assert first == second
    assert first != other


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        pytest.param("crash", "SIGSEGV", id="crash"),
        pytest.param("hang", "no result within 1 s", id="hang"),
        pytest.param("unexpected", "ZeroDivisionError", id="unexpected"),
        pytest.param("memory", "MiB of memory", id="memory"),
    ],
)
def test_failure_is_detected_and_the_child_is_restarted(tmp_path: Path, content: str, detail: str) -> None:
    path = tmp_path / "fault.txt"
    with Child(tmp_path, Limits(time_s=1.0 if content == "hang" else 60.0, memory_mb=400)) as child:
        for expected in (content, "good", content):
            path.write_text(expected)
            outcome = child.run("fault", path)
            assert outcome.kind == expected
            assert expected == "good" or detail in outcome.detail


def test_failing_input_is_saved_and_can_be_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(CASES, "fault", lambda *_: fault_cases(b"good", b"unexpected", b"good"))
    run = TargetRun("fault", 3, tmp_path, tmp_path / "saved")
    run.run(duration_s=300, max_cases=3)
    assert (run.tried, run.failures, run.details) == (3, {"unexpected": 1}, {"good": 2})
    saved = tmp_path / "saved" / "fault-3-1.txt"
    assert saved.read_bytes() == b"unexpected"
    capsys.readouterr()
    assert main(["--replay", str(saved)]) == 1
    assert "fault-3-1.txt: unexpected: " in capsys.readouterr().out
    saved.write_bytes(b"good")
    assert main(["--replay", str(saved)]) == 0


def test_driver_prints_a_table_and_exits_with_1_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(CASES, "fault", lambda *_: fault_cases(*[b"crash"] * 1000))
    assert main(["fault", "--minutes", "0.02", "--save", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert "crash: SIGSEGV" in captured.out
    last, row = captured.out.splitlines()[-1], captured.out.splitlines()[-2].split()
    assert row[0] == "fault"
    assert int(row[1]) == int(row[2]) > 0
    assert last == f"{row[1]} cases, {row[1]} failures"


def test_unknown_target_is_a_usage_error() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["nosuch"])
    assert caught.value.code == 2
