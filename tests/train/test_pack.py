from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer.errors import ModelError, ModelNotFoundError, OutputError
from edgeinfer_train.networks.model import load_model
from edgeinfer_train.pack import pack


def test_a_packed_model_is_half_the_size_and_answers_alike(
    toy_run: Path, tmp_path: Path, grey_faces: NDArray[np.uint8]
) -> None:
    out = tmp_path / "small.keras"
    pack(toy_run, out)
    assert [path.name for path in tmp_path.iterdir()] == ["small.keras"]
    whole, info = load_model(toy_run / "model.keras")
    small, same = load_model(out)
    assert same == info
    assert out.stat().st_size < 0.65 * (toy_run / "model.keras").stat().st_size
    assert {w.dtype for w in small.weights} == {"float32"}
    faces = grey_faces
    np.testing.assert_allclose(np.asarray(small(faces)), np.asarray(whole(faces)), atol=0.02)
    assert any((a != b).any() for a, b in zip(small.get_weights(), whole.get_weights(), strict=True))


def test_what_cannot_be_packed(tmp_path: Path, toy_run: Path) -> None:
    (tmp_path / "no.keras").write_text("nothing", encoding="utf-8")
    with pytest.raises(ModelNotFoundError):
        pack(tmp_path / "nobody.keras", tmp_path / "x.keras")
    with pytest.raises(ModelError):
        pack(tmp_path / "no.keras", tmp_path / "x.keras")
    with pytest.raises(OutputError, match="cannot write"):
        pack(toy_run, tmp_path / "none" / "x.keras")


@pytest.mark.parametrize(("out", "code"), [("small.keras", 0), ("small.onnx", 2), ("none/small.keras", 6)])
def test_the_command(command: Any, toy_run: Path, tmp_path: Path, out: str, code: int) -> None:
    done = command("pack", toy_run, "--out", tmp_path / out)
    assert done.code == code, done.err
    assert (tmp_path / out).is_file() == (code == 0)
