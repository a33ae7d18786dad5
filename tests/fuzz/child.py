"""Child process that checks inputs, so that a crash or a hang ends only the child.

The child reads one JSON list of target and path per line from stdin and writes one JSON object per line to stdout:

    python -m fuzz.child FOLDER
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import select
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Self

from tools.patience import PATIENCE

ADDRESS_SPACE_BYTES = 4 << 30
START_LIMIT_S, END_LIMIT_S = 120.0, 10.0
DETAIL_CHARACTERS = 3000


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one input.

    Attributes:
        time_s: Wall-clock time in seconds.
        memory_mb: Peak resident memory of the process in MiB.
    """

    time_s: float = 20.0 * PATIENCE
    memory_mb: float = 1024.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one input.

    Attributes:
        kind: "good", or the kind of failure.
        detail: Outcome of a good input, such as "exit 5"; otherwise a description of the failure.
        peak_mb: Peak resident memory of the process in MiB; 0 if it is unknown.
    """

    kind: Literal["good", "crash", "hang", "unexpected", "memory"]
    detail: str
    peak_mb: float = 0.0


class Child:
    """Context manager for a child process, which is started again after a crash or a hang."""

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        """Create the handle; the process is started with the first input.

        Args:
            folder: Folder for temporary files of the child.
            limits: Limits of each input; None for the default.
        """
        self._folder, self._limits = folder, limits or Limits()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, and kill it if it does not react."""
        if self._process is not None:
            with suppress(OSError):
                self._input(self._process).close()
            self._stop(self._process, END_LIMIT_S)

    def run(self, target: str, path: Path) -> Outcome:
        """Check one input."""
        process = self._process or self._start()
        with suppress(BrokenPipeError):
            self._input(process).write(json.dumps([target, str(path)]).encode() + b"\n")
        line = self._read_line(process, self._limits.time_s)
        if line is None:
            self._stop(process)
            return Outcome("hang", f"no result within {self._limits.time_s:g} s\n{self._log()}")
        if not line:
            code = self._stop(process, END_LIMIT_S)
            return Outcome("crash", f"{_describe(code)}\n{self._log()}")
        outcome = Outcome(**json.loads(line))
        if outcome.kind == "good" and outcome.peak_mb > self._limits.memory_mb:
            return Outcome("memory", f"{outcome.peak_mb:.0f} MiB of memory; {outcome.detail}", outcome.peak_mb)
        return outcome

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("EDGEINFER_")}
        environment["XDG_CONFIG_HOME"] = str(self._folder / "no-config")
        with (self._folder / "stderr").open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fuzz.child", str(self._folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
                cwd=Path(__file__).parents[1],
                env=environment,
            )
        if not self._read_line(self._process, START_LIMIT_S):
            self._stop(self._process)
            raise RuntimeError(f"the child process does not start\n{self._log()}")
        return self._process

    def _stop(self, process: subprocess.Popen[bytes], wait_s: float = 0.0) -> int:
        """Return the exit code of the process, which is killed if it does not end in time."""
        self._process = None
        with process:
            try:
                process.wait(wait_s)
            except subprocess.TimeoutExpired:
                process.kill()
        return process.returncode

    @staticmethod
    def _input(process: subprocess.Popen[bytes]) -> IO[bytes]:
        assert process.stdin is not None
        return process.stdin

    @staticmethod
    def _read_line(process: subprocess.Popen[bytes], limit_s: float) -> bytes | None:
        """Return a line, empty at the end of the output, or None after the time limit."""
        assert process.stdout is not None
        readable = select.select([process.stdout], [], [], limit_s)[0]
        return process.stdout.readline() if readable else None

    def _log(self) -> str:
        return "\n".join(
            path.read_text(errors="replace")[-DETAIL_CHARACTERS:]
            for name in ("stderr", "fault")
            if (path := self._folder / name).exists()
        ).strip()


def _describe(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def main(folder: Path) -> None:
    """Check the inputs that are named on stdin."""
    from fuzz.checks import CHECKS, Workspace
    from tools.mutation_runner import read_peak_mb, reset_peak_mb

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with (folder / "fault").open("w") as fault, os.fdopen(os.dup(1), "w") as results, Workspace(folder) as workspace:
        faulthandler.enable(fault)
        print("ready", file=results, flush=True)
        for line in sys.stdin:
            target, path = json.loads(line)
            reset_peak_mb()
            kind = "good"
            try:
                detail = CHECKS[target](workspace, Path(path))
            except Exception:
                kind, detail = "unexpected", traceback.format_exc()[-DETAIL_CHARACTERS:]
            result = {"kind": kind, "detail": detail, "peak_mb": round(read_peak_mb(), 1)}
            print(json.dumps(result), file=results, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
