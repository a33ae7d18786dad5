"""A model is data from a stranger: whatever is done to a good one, a run ends with an answer or one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from edgeinfer.model.card import find_model
from edgeinfer.model.session import MAX_WORKING_BYTES
from tools import mutations
from tools.tiny_model import write_model

COUNT = 500


@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
@pytest.mark.parametrize("which", ["tiny", "bundled"])
def test_a_damaged_model_answers_or_is_refused(tmp_path: Path, face_picture: Path, which: str) -> None:
    model = find_model(None) if which == "bundled" else write_model(tmp_path / "good.onnx")
    command = [sys.executable, mutations.__file__, *map(str, (model, face_picture, tmp_path, 1, COUNT))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == COUNT
    most_mb = 300 + (MAX_WORKING_BYTES >> 20)
    wrong = [
        r
        for r in results
        if r["code"] not in (0, 5)
        or r["said"].count("\n") != (r["code"] == 5)
        or r["peak_mb"] > most_mb
        or "bad_alloc" in r["said"]
    ]
    assert wrong == []
    codes = Counter(r["code"] for r in results)
    assert min(codes[0], codes[5]) > COUNT // 10, "some damage is harmless and some is not"
