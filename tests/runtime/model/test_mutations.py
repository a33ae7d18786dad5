"""Untrusted models: a run with a mutated model ends with a result or a one-line error."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest

from edgeinfer.model.card import find_model
from edgeinfer.model.session import MAX_WORKING_BYTES
from tools.mutation_runner import MutationRunner
from tools.mutations import Mutation, mutations
from tools.tiny_model import write_model

pytestmark = pytest.mark.slow

COUNTS = {"tiny": 700, "bundled": 300}
"""Number of mutations of each model."""
MAX_PEAK_MB = 300 + (MAX_WORKING_BYTES >> 20)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize(("kind", "count"), COUNTS.items(), ids=COUNTS)
def test_mutated_model_is_processed_or_rejected(tmp_path: Path, face_picture: Path, kind: str, count: int) -> None:
    model = find_model(None) if kind == "bundled" else write_model(tmp_path / "good.onnx")
    with MutationRunner(face_picture, tmp_path) as runner:
        outcomes = [runner.run(mutation) for mutation in mutations(model.read_bytes(), seed=1, count=count)]
    assert len(outcomes) == count
    wrong = [
        outcome
        for outcome in outcomes
        if outcome.code not in (0, 5)
        or outcome.output.count("\n") != (outcome.code == 5)
        or outcome.peak_mb > MAX_PEAK_MB
        or "bad_alloc" in outcome.output
    ]
    assert wrong == []
    codes = Counter(outcome.code for outcome in outcomes)
    assert min(codes[0], codes[5]) > count // 10, "some mutations are harmless and some are not"


def test_death_of_the_child_is_reported_and_the_child_is_restarted(tmp_path: Path, face_picture: Path) -> None:
    unchanged = Mutation(7, "unchanged", write_model(tmp_path / "good.onnx").read_bytes())
    with MutationRunner(face_picture, tmp_path) as runner:
        assert runner.run(unchanged).code == 0
        runner.kill_child()
        dead = runner.run(unchanged)
        assert (dead.code, dead.description) == (-signal.SIGKILL, "7: unchanged")
        assert runner.run(unchanged).code == 0
