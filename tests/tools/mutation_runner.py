"""Runs of `edgeinfer` with mutated models, cascades and face detection networks.

A model that the pure-Python reader rejects runs in the test process, where it cannot cause a crash. All others, which
onnxruntime parses, and all cascades and detection networks run in one child process. If the child dies, the mutation is
reported with the signal and the next one gets a new child.

The child reads one path per line from stdin and writes one JSON object per line to stdout:

    python -m tools.mutation_runner PICTURE model|cascade|detector
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from edgeinfer.errors import ModelError
from edgeinfer.model.card import read_card
from tools.cli import edgeinfer
from tools.mutations import Mutation

CPU_LIMIT_S, MEMORY_LIMIT = 5, 4 << 30
KINDS = {
    "model": (".onnx", ("--detector", "none", "--model")),
    "cascade": (".xml", ("--cascade",)),
    "detector": (".onnx", ("--detector", "yunet", "--detector-model")),
}
"""Suffix and options of each kind of file."""
TIMEOUT_S = 120  # for a child that hangs without using the CPU; generous for a busy machine


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a run with one model.

    Attributes:
        code: Exit code, or the negative number of the signal that ended the child.
        output: Everything that the command printed to stderr, with the model path replaced by MODEL.
        peak_mb: Peak resident memory in MiB; in the test process, its growth during the run.
        description: Index and description of the mutation.
    """

    code: int
    output: str
    peak_mb: float
    description: str = ""


class MutationRunner:
    """Context manager that runs mutations and owns the child process."""

    def __init__(self, picture: Path, folder: Path, *, kind: str = "model") -> None:
        self._picture, self._folder, self._kind = picture, folder, kind
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_child()
        if self._child is not None:
            self._reap(self._child)

    def kill_child(self) -> None:
        """Kill the child, as a crash does."""
        if self._child is not None:
            self._child.kill()

    def run(self, mutation: Mutation) -> Outcome:
        """Run one mutation in this process or in the child."""
        path = self._folder / f"{mutation.index}{KINDS[self._kind][0]}"
        path.write_bytes(mutation.data)
        if self._kind == "model" and _is_rejected(path):
            before_mb = reset_peak_mb()
            outcome = run_file(path, self._picture, self._kind)
            outcome = Outcome(outcome.code, outcome.output, outcome.peak_mb - before_mb)
        else:
            outcome = self._run_in_child(path)
        path.unlink()
        return Outcome(outcome.code, outcome.output, outcome.peak_mb, f"{mutation.index}: {mutation.description}")

    def _run_in_child(self, path: Path) -> Outcome:
        child = self._child or self._start()
        assert child.stdin is not None
        assert child.stdout is not None
        line = b""
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(f"{path}\n".encode())
            line = child.stdout.readline()
        return Outcome(**json.loads(line)) if line else Outcome(*self._reap(child), 0.0)

    def _start(self) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", "tools.mutation_runner", str(self._picture), self._kind]
        folder = Path(__file__).parents[1]
        self._child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, cwd=folder)
        return self._child

    def _reap(self, child: subprocess.Popen[bytes]) -> tuple[int, str]:
        """Return the exit code and stderr of a child that ends."""
        self._child = None
        with child:
            assert child.stderr is not None
            errors = child.stderr.read().decode(errors="replace")
        return child.returncode, errors


def _is_rejected(path: Path) -> bool:
    try:
        read_card(path)
    except ModelError:
        return True
    return False


def run_file(path: Path, picture: Path, kind: str) -> Outcome:
    """Process a picture with a model, cascade or detection network through the command line."""
    done = edgeinfer("run", picture, "--quiet", *KINDS[kind][1], path)
    return Outcome(done.returncode, (done.stdout + done.stderr).replace(str(path), "MODEL"), read_peak_mb())


def reset_peak_mb() -> float:
    """Set the peak resident memory of this process to its current resident memory and return that in MiB."""
    Path("/proc/self/clear_refs").write_text("5")
    return read_peak_mb()


def read_peak_mb() -> float:
    """Return the peak resident memory since the last reset in MiB."""
    match = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert match
    return int(match[1]) / 1024


def main(picture: Path, kind: str) -> None:
    """Run the files named on stdin, each with limited CPU time and memory."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with os.fdopen(os.dup(1), "w") as results:
        for line in sys.stdin:
            reset_peak_mb()
            # Without a handler, both signals end the process, even within native code.
            signal.setitimer(signal.ITIMER_PROF, CPU_LIMIT_S)
            signal.alarm(TIMEOUT_S)
            outcome = run_file(Path(line.rstrip("\n")), picture, kind)
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.alarm(0)
            print(json.dumps(asdict(outcome)), file=results, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
