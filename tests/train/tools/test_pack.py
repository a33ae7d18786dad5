from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer.errors import ModelError, ModelNotFoundError, OutputError, UsageError
from edgeinfer_train.networks.model import load_model


def test_packed_model_is_smaller_and_predicts_the_same(
    pack_tool: ModuleType, toy_run: Path, tmp_path: Path, grey_faces: NDArray[np.uint8]
) -> None:
    out = tmp_path / "small.keras"
    pack_tool.pack(toy_run, out)
    assert [path.name for path in tmp_path.iterdir()] == ["small.keras"]
    original, info = load_model(toy_run / "model.keras")
    packed, packed_info = load_model(out)
    assert packed_info == info
    assert out.stat().st_size < 0.65 * (toy_run / "model.keras").stat().st_size
    assert {w.dtype for w in packed.weights} == {"float32"}
    np.testing.assert_allclose(np.asarray(packed(grey_faces)), np.asarray(original(grey_faces)), atol=0.02)
    assert any((a != b).any() for a, b in zip(packed.get_weights(), original.get_weights(), strict=True))


def test_pack_rejects_invalid_models_and_outputs(pack_tool: ModuleType, tmp_path: Path, toy_run: Path) -> None:
    (tmp_path / "no.keras").write_text("nothing", encoding="utf-8")
    with pytest.raises(ModelNotFoundError):
        pack_tool.pack(tmp_path / "missing.keras", tmp_path / "x.keras")
    with pytest.raises(ModelError):
        pack_tool.pack(tmp_path / "no.keras", tmp_path / "x.keras")
    with pytest.raises(OutputError, match="cannot write"):
        pack_tool.pack(toy_run, tmp_path / "none" / "x.keras")
    (tmp_path / "folder.keras").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        pack_tool.pack(toy_run, tmp_path / "folder.keras")
    with pytest.raises(UsageError, match=r"expected a \.keras file"):
        pack_tool.pack(toy_run, tmp_path / "x.h5")


@pytest.mark.parametrize(("out", "code"), [("small.keras", 0), ("small.onnx", 2), ("none/small.keras", 6)])
def test_pack_command_exit_codes(
    run_tool: Callable[..., int], pack_tool: ModuleType, toy_run: Path, tmp_path: Path, out: str, code: int
) -> None:
    assert run_tool(pack_tool, toy_run, "--out", tmp_path / out) == code
    assert (tmp_path / out).is_file() == (code == 0)
