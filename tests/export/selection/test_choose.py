"""Which form is published, on made-up measurements."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeinfer_export.errors import ExportError
from edgeinfer_export.options import PRESETS, ExportOptions, VariantName
from edgeinfer_export.selection.choose import choose
from edgeinfer_export.selection.criteria import fault, loss
from edgeinfer_export.selection.study import Study
from edgeinfer_export.verify.measure import Candidate
from edgeinfer_train.evaluation.metrics import Change


def candidate(name: VariantName, *, drop: float = 0.0, f1_drop: float = 0.0, batch: float = 0.0) -> Candidate:
    change = None if name == "fp32" else Change(-drop, (-drop - 0.01, -drop + 0.01), -f1_drop, (-f1_drop, 0.0))
    nothing: Any = None
    return Candidate(name, nothing, nothing, 1, np.zeros((1, 2), np.float32), batch, 1.0, nothing, change)


def study(options: ExportOptions, *forms: tuple[Candidate, float]) -> Study:
    """Forms with their median times in milliseconds, float32 at 1."""
    nothing: Any = None
    every = ((candidate("fp32"), 1.0), *forms)
    times = np.array([[ms] * 3 for _, ms in every])
    return Study(nothing, options, nothing, nothing, nothing, tuple(c for c, _ in every), {}, times, 0)


AUTO = ExportOptions(quantize="auto")


@pytest.mark.parametrize(
    ("forms", "options", "expected"),
    [
        ([(candidate("int8"), 0.5), (candidate("float16"), 0.9)], AUTO, "int8"),
        ([(candidate("int8"), 1.5)], AUTO, "fp32"),
        ([(candidate("int8", drop=0.006), 0.5), (candidate("float16"), 0.9)], AUTO, "float16"),
        ([(candidate("int8", f1_drop=0.011), 0.5)], AUTO, "fp32"),
        ([(candidate("int8", drop=0.006), 0.5)], ExportOptions(quantize="auto", max_drop=0.01), "int8"),
        ([(candidate("int8", batch=0.01), 0.5)], AUTO, "fp32"),
        ([(candidate("int8", drop=-0.01), 0.5)], AUTO, "int8"),
        ([(candidate("int8"), 3.0)], ExportOptions(quantize="auto", target="cortex-a76"), "int8"),
        ([(candidate("int8", drop=0.1), 0.1)], ExportOptions(quantize="auto", target="cortex-a76"), "fp32"),
        ([(candidate("int8-reduced"), 3.0)], ExportOptions(quantize="auto", target="x86-avx2"), "int8-reduced"),
        ([], ExportOptions(quantize="auto", target="cortex-a72"), "fp32"),
    ],
    ids=[
        "fastest", "float32 may win", "accuracy lost", "macro-F1 lost", "more may be lost", "depends on the batch",
        "better is no loss", "preset by rule", "preset and accuracy", "seven bits", "no dot product",
    ],
)  # fmt: skip
def test_the_choice(forms: list[tuple[Candidate, float]], options: ExportOptions, expected: VariantName) -> None:
    found = choose(study(options, *forms))
    assert found.name == expected
    assert [name for name, outcome in found.outcomes.items() if outcome == "published"] == [expected]
    assert all(found.outcomes.values())


@pytest.mark.parametrize("target", PRESETS)
def test_a_preset_states_its_rule_and_that_nothing_was_measured_there(target: Any) -> None:
    options = ExportOptions(quantize="auto", target=target)
    forms = [(candidate(name), 0.5) for name in options.variants]
    found = choose(study(options, *forms))
    assert found.name == PRESETS[target].prefer[0]
    assert PRESETS[target].rule in found.rule
    assert "not measured on this board" in found.rule


def test_what_was_asked_for_is_refused_only_above_an_explicit_bound() -> None:
    form = (candidate("int8", drop=0.3), 1.0)
    assert choose(study(ExportOptions(quantize="int8"), form)).name == "int8"
    with pytest.raises(ExportError, match="refused: int8 changes accuracy"):
        choose(study(ExportOptions(quantize="int8", max_drop=0.2), form))


def test_what_depends_on_the_batch_is_never_published() -> None:
    form = candidate("int8", batch=0.5)
    assert "depend on the other faces" in (fault(form) or "")
    assert fault(candidate("int8", batch=float("nan"))) is not None
    with pytest.raises(ExportError, match="refused: int8: its answers depend"):
        choose(study(ExportOptions(quantize="int8"), (form, 1.0)))


def test_exactly_the_bound_is_no_loss() -> None:
    assert loss(candidate("int8", drop=0.005), 0.005) is None
    assert loss(candidate("fp32"), 0.0) is None
