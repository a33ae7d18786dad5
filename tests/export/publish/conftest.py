"""Options, fixtures and helpers shared by the tests of whole exports."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from edgeinfer.model.card import ModelCard
from edgeinfer.model.session import load_session
from edgeinfer_export.convert import source as source_module
from edgeinfer_export.convert.graph import Conversion
from edgeinfer_export.options import ExportOptions

from ..conftest import Graphs

INT8 = ExportOptions(quantize="int8", calibration_faces=20, margin=0.1, license="CC0-1.0")


def read_metadata(path: Path) -> ModelCard:
    return load_session(path)[1]


@pytest.fixture
def converted(graphs: Graphs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the conversion with the stored graph of edgenet, for tests of later steps."""
    content = graphs["edgenet"][1].SerializeToString()
    monkeypatch.setattr(
        source_module, "to_onnx", lambda _: Conversion(onnx.ModelProto.FromString(content), "stored", ())
    )
