"""Validation of export options."""

from __future__ import annotations

from typing import Any

import pytest

from edgeinfer.errors import UsageError
from edgeinfer_export.options import ExportOptions


@pytest.mark.parametrize(
    "values",
    [
        {"quantize": "int4"},
        {"calibration_faces": 0},
        {"seed": -1},
        {"max_drop": -0.1, "quantize": "int8"},
        {"max_drop": 0.1},
        {"target": "cortex-a72"},
        {"target": "abacus", "quantize": "auto"},
        {"labels": ("happy",)},
        {"labels": ("happy", "happy")},
        {"calibration": "guess"},
        {"margin": -0.5},
        {"margin": float("nan")},
        {"license": " "},
    ],
    ids=lambda values: "-".join(f"{k}={v}" for k, v in values.items()),
)
def test_invalid_options_are_rejected(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"`{next(iter(values))}`"):
        ExportOptions(**values)
