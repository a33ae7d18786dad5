"""Untrusted cascades and YuNet files: a run with a mutated file ends with a result or a one-line error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from edgeinfer.detection.cascade_files import find_cascade
from tools.cascade_mutations import cascade_mutations
from tools.cascades import lbp_cascade
from tools.mutation_runner import MutationRunner
from tools.mutations import Mutation, mutations

COUNT = 100
MAX_PEAK_MB = 600

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from /proc"),
]


def codes(picture: Path, folder: Path, kind: str, mutated: Iterable[Mutation]) -> Counter[int]:
    """Run mutations, check each outcome and return the number of each exit code."""
    with MutationRunner(picture, folder, kind=kind) as runner:
        outcomes = [runner.run(mutation) for mutation in mutated]
    wrong = [
        outcome
        for outcome in outcomes
        if outcome.code not in (0, 5)
        or outcome.output.count("\n") != (outcome.code == 5)
        or outcome.peak_mb > MAX_PEAK_MB
    ]
    assert wrong == []
    return Counter(outcome.code for outcome in outcomes)


@pytest.mark.parametrize("name", ["russian_plate_number", "lefteye_2splits", "license_plate_rus_16stages", "lbp"])
def test_mutated_cascade_is_processed_or_rejected(tmp_path: Path, face_picture: Path, name: str) -> None:
    content = lbp_cascade() if name == "lbp" else find_cascade(f"haarcascade_{name}").read_text()
    counted = codes(face_picture, tmp_path, "cascade", cascade_mutations(content.encode(), seed=1, count=COUNT))
    assert counted.total() == COUNT
    assert min(counted[0], counted[5]) > COUNT // 20, "some mutations are harmless and some are not"


def test_mutated_yunet_model_is_processed_or_rejected(tmp_path: Path, face_picture: Path, yunet: Path) -> None:
    counted = codes(face_picture, tmp_path, "detector", mutations(yunet.read_bytes(), seed=1, count=COUNT))
    assert min(counted[0], counted[5]) > COUNT // 10, "some mutations are harmless and some are not"
