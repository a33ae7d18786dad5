"""Run the fuzz targets in turn until the time is up, print a table, and exit with 1 if an input failed.

    python -m fuzz [--minutes 10] [--seed 1] [--save FOLDER] [TARGET ...]
    python -m fuzz --replay FILE ...

A failing input is saved as TARGET-SEED-NUMBER; `--replay` reads the target from that name.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fuzz.cases import CASES, cases
from fuzz.child import Child, Limits, Outcome

SLICE_S = 10.0
"""Minimum time per target and round, in seconds; each round starts a new child process."""
MAX_SAVED = 20
"""Maximum number of failing inputs saved per target."""
KINDS = ("crash", "hang", "unexpected", "memory")


class TargetRun:
    """Cases of one target and their outcomes.

    Attributes:
        target: Name of the target.
        tried: Number of cases.
        failures: Number of cases of each kind of failure.
        details: Number of good cases of each outcome, such as "exit 5".
        peak_mb: Largest peak resident memory in MiB.
    """

    def __init__(self, target: str, seed: int, folder: Path, save: Path, limits: Limits | None = None) -> None:
        """Prepare the cases.

        Args:
            target: Name of the target.
            seed: Seed of the mutations.
            folder: Existing folder for temporary files.
            save: Folder for failing inputs; created when it is needed.
            limits: Limits of each input; None for the default.
        """
        self.target, self.tried, self.peak_mb = target, 0, 0.0
        self.failures, self.details = Counter[str](), Counter[str]()
        self._seed, self._folder, self._save, self._limits = seed, folder, save, limits
        self._cases = cases(target, seed, folder)

    def run(self, duration_s: float, max_cases: int | None = None) -> None:
        """Try further cases in a new child process until a time or a number of cases is reached."""
        with Child(self._folder, self._limits) as child:
            end_s, last = time.monotonic() + duration_s, None if max_cases is None else self.tried + max_cases
            while time.monotonic() < end_s and self.tried != last:
                case = next(self._cases)
                path = self._folder / f"case{case.suffix}"
                path.write_bytes(case.data)
                self._count(child.run(self.target, path), path)

    def _count(self, outcome: Outcome, path: Path) -> None:
        self.peak_mb = max(self.peak_mb, outcome.peak_mb)
        if outcome.kind == "good":
            self.details[outcome.detail] += 1
        else:
            self.failures[outcome.kind] += 1
            if self.failures.total() <= MAX_SAVED:
                saved = self._save / f"{self.target}-{self._seed}-{self.tried}{path.suffix}"
                self._save.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, saved)
                print(f"{saved}: {outcome.kind}: {outcome.detail}", flush=True)
        self.tried += 1


def fuzz(targets: Sequence[str], *, minutes: float, seed: int, save: Path) -> list[TargetRun]:
    """Run targets in turn and return their counts.

    Args:
        targets: Names of the targets.
        minutes: Total time; the start of the processes adds a few seconds.
        seed: Seed of the mutations.
        save: Folder for failing inputs.
    """
    rounds = max(1, int(60 * minutes / (SLICE_S * len(targets))))
    slice_s = 60 * minutes / (rounds * len(targets))
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        runs = []
        for target in targets:
            (own := Path(folder, target)).mkdir()
            runs.append(TargetRun(target, seed, own, save))
        for number in range(1, rounds + 1):
            for run in runs:
                run.run(slice_s)
            print(f"round {number} of {rounds}: {sum(run.tried for run in runs)} cases", file=sys.stderr, flush=True)
    return runs


def table(runs: Sequence[TargetRun]) -> str:
    """Return the counts of all targets as text."""
    heads = ("target", "cases", "crashes", "hangs", "unexpected", "memory", "peak MiB")
    lines = ["{:10}{:>8}{:>9}{:>7}{:>12}{:>8}{:>10}  outcomes".format(*heads)]
    for run in runs:
        failures = [run.failures[kind] for kind in KINDS]
        details = ", ".join(f"{detail}: {count}" for detail, count in sorted(run.details.items()))
        numbers = "{:>8}{:>9}{:>7}{:>12}{:>8}{:>10.0f}".format(run.tried, *failures, run.peak_mb)
        lines.append(f"{run.target:10}{numbers}  {details}")
    total = sum(run.tried for run in runs)
    lines.append(f"{total} cases, {sum(run.failures.total() for run in runs)} failures")
    return "\n".join(lines)


def replay(paths: Sequence[Path]) -> bool:
    """Check saved inputs again and print each outcome; return True if all are good."""
    good = True
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, Child(Path(folder)) as child:
        for path in paths:
            outcome = child.run(path.name.partition("-")[0], path.absolute())
            print(f"{path}: {outcome.kind}: {outcome.detail}", flush=True)
            good = good and outcome.kind == "good"
    return good


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="fuzz", description="Fuzz the parsers of untrusted input.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"default: all of {' '.join(CASES)}")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", type=Path, default=Path("build", "fuzz"), metavar="FOLDER")
    parser.add_argument("--replay", action="store_true", help="the arguments are saved inputs, not targets")
    options = parser.parse_args(arguments)
    if options.replay:
        return 0 if replay([Path(path) for path in options.targets]) else 1
    if unknown := set(options.targets) - set(CASES):
        parser.error(f"unknown target {', '.join(sorted(unknown))}; expected {', '.join(CASES)}")
    runs = fuzz(options.targets or list(CASES), minutes=options.minutes, seed=options.seed, save=options.save)
    print(table(runs))
    return 1 if any(run.failures for run in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
