"""Standard streams that are full, closed or without a reader."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeinfer.cli.app import app
from edgeinfer.cli.terminal import execute
from edgeinfer.diagnostics.measurement import Measurement
from tools.cli import process_state
from tools.patience import PATIENCE

COMMANDS = {
    "models": "models",
    "summary": "run --max-frames 2 --detector none",
    "jsonl": "run --max-frames 2 --detector none --out - --quiet",
}


def shell(command: str, **environment: str) -> tuple[int, str]:
    """Run an `edgeinfer` command with redirections in bash; return its exit code and its stderr."""
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m edgeinfer {command}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60 * PATIENCE, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(
    ("redirection", "reason"),
    [
        pytest.param("> /dev/full", "No space left on device", id="full"),
        pytest.param(">&-", "Bad file descriptor", id="closed"),
        pytest.param("| (exec 0<&-; sleep 0.1)", "Broken pipe", id="no-reader"),
    ],
)
def test_unwritable_stdout_exits_with_6(command: str, redirection: str, reason: str) -> None:
    code, error = shell(f"{command} {redirection}")
    assert code == 6, error
    assert error.startswith(f"edgeinfer: cannot write stdout: {reason}")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["--version"], ["devices"], ["config", "show"], ["bench", "--max-frames", "1"]],
    ids=" ".join,
)
def test_full_stdout_of_every_command_exits_with_6(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("edgeinfer.diagnostics.bench._measure_starts", lambda *_: Measurement("start", (1.0,)))
    with process_state(), Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        sys.argv = ["edgeinfer", *arguments]
        assert execute(app, "edgeinfer") == 6
    assert capfd.readouterr().err == "edgeinfer: cannot write stdout: No space left on device\n"


@pytest.mark.parametrize("command", ["models", "run --help"])
def test_unbuffered_stdout_is_also_checked(command: str) -> None:
    code, error = shell(f"{command} > /dev/full", PYTHONUNBUFFERED="1")
    assert (code, error.count("\n")) == (6, 1), error


@pytest.mark.parametrize("redirection", ["2>&-", "2> /dev/full", "<&- 2>&-"])
@pytest.mark.parametrize(
    ("command", "expected"),
    [
        pytest.param("run --max-frames 2 --detector none", 0, id="success"),
        pytest.param("run --max-frames 2 --detector none > /dev/full", 6, id="full-stdout"),
        pytest.param("run missing.mp4", 4, id="error"),
        pytest.param("run --no-such-option", 2, id="usage-error"),
    ],
)
def test_unwritable_stderr_keeps_the_exit_code(command: str, redirection: str, expected: int) -> None:
    assert shell(f"{command} {redirection}") == (expected, "")


def test_output_file_never_replaces_a_closed_stream(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    code, error = shell(f"run --max-frames 2 --detector none --quiet --out {path} <&- >&- 2>&-")
    assert (code, error) == (0, "")
    assert [line[:9] for line in path.read_text().splitlines()] == ['{"type":"'] * 4


def test_unencodable_text_is_escaped() -> None:
    program = (
        "import sys; from edgeinfer.system.streams import checked_streams\n"
        "with checked_streams(): print('caf\\udce9'); print('\\udce9', file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, env=environment)
    assert done.stdout == b"caf\\udce9\n"
    assert done.stderr == b"\\udce9\n"
