"""Selection of the published variant from simulated measurements."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeinfer_export.errors import ExportError
from edgeinfer_export.options import PRESETS, ExportOptions, VariantName
from edgeinfer_export.selection.choice import choose
from edgeinfer_export.selection.criteria import batch_dependence, excess_loss
from edgeinfer_export.selection.evaluation import Evaluation
from edgeinfer_export.verify.measure import Candidate
from edgeinfer_train.evaluation.metrics import Change


def make_candidate(name: VariantName, *, drop: float = 0.0, f1_drop: float = 0.0, batch: float = 0.0) -> Candidate:
    change = None if name == "fp32" else Change(-drop, (-drop - 0.01, -drop + 0.01), -f1_drop, (-f1_drop, 0.0))
    nothing: Any = None
    return Candidate(name, nothing, nothing, 1, np.zeros((1, 2), np.float32), batch, 1.0, nothing, change)


def make_evaluation(options: ExportOptions, *variants: tuple[Candidate, float]) -> Evaluation:
    """Return an evaluation of variants with their latencies in milliseconds; float32 takes 1 ms."""
    nothing: Any = None
    measured = ((make_candidate("fp32"), 1.0), *variants)
    latencies_ms = np.array([[ms] * 3 for _, ms in measured])
    candidates = tuple(candidate for candidate, _ in measured)
    return Evaluation(nothing, options, nothing, nothing, nothing, candidates, {}, latencies_ms, 0)


AUTO = ExportOptions(quantize="auto")


@pytest.mark.parametrize(
    ("variants", "options", "expected"),
    [
        ([(make_candidate("int8"), 0.5), (make_candidate("float16"), 0.9)], AUTO, "int8"),
        ([(make_candidate("int8"), 1.5)], AUTO, "fp32"),
        ([(make_candidate("int8", drop=0.006), 0.5), (make_candidate("float16"), 0.9)], AUTO, "float16"),
        ([(make_candidate("int8", f1_drop=0.011), 0.5)], AUTO, "fp32"),
        ([(make_candidate("int8", drop=0.006), 0.5)], ExportOptions(quantize="auto", max_drop=0.01), "int8"),
        ([(make_candidate("int8", batch=0.01), 0.5)], AUTO, "fp32"),
        ([(make_candidate("int8", drop=-0.01), 0.5)], AUTO, "int8"),
        ([(make_candidate("int8"), 3.0)], ExportOptions(quantize="auto", target="cortex-a76"), "int8"),
        ([(make_candidate("int8", drop=0.1), 0.1)], ExportOptions(quantize="auto", target="cortex-a76"), "fp32"),
        ([(make_candidate("int8-reduced"), 3.0)], ExportOptions(quantize="auto", target="x86-avx2"), "int8-reduced"),
        ([], ExportOptions(quantize="auto", target="cortex-a72"), "fp32"),
    ],
    ids=[
        "fastest", "float32 is fastest", "accuracy loss", "macro-F1 loss", "larger max_drop", "batch dependence",
        "higher accuracy", "preset", "preset with accuracy loss", "seven bits", "no dot product",
    ],
)  # fmt: skip
def test_choice_and_outcomes(
    variants: list[tuple[Candidate, float]], options: ExportOptions, expected: VariantName
) -> None:
    choice = choose(make_evaluation(options, *variants))
    assert choice.name == expected
    assert [name for name, outcome in choice.outcomes.items() if outcome == "published"] == [expected]
    assert all(choice.outcomes.values())


@pytest.mark.parametrize("target", PRESETS)
def test_preset_rule_states_that_nothing_was_measured(target: Any) -> None:
    options = ExportOptions(quantize="auto", target=target)
    variants = [(make_candidate(name), 0.5) for name in options.variants]
    choice = choose(make_evaluation(options, *variants))
    assert choice.name == PRESETS[target].prefer[0]
    assert PRESETS[target].rule in choice.rule
    assert "not measured on this board" in choice.rule


def test_requested_int8_is_rejected_only_above_an_explicit_max_drop() -> None:
    int8 = (make_candidate("int8", drop=0.3), 1.0)
    assert choose(make_evaluation(ExportOptions(quantize="int8"), int8)).name == "int8"
    with pytest.raises(ExportError, match=r"rejected: int8 changes accuracy .* `max_drop` 0\.2"):
        choose(make_evaluation(ExportOptions(quantize="int8", max_drop=0.2), int8))


def test_variant_that_depends_on_the_batch_is_never_published() -> None:
    int8 = make_candidate("int8", batch=0.5)
    assert "depend on the other faces" in (batch_dependence(int8) or "")
    assert batch_dependence(make_candidate("int8", batch=float("nan"))) is not None
    with pytest.raises(ExportError, match="rejected: int8: its outputs depend"):
        choose(make_evaluation(ExportOptions(quantize="int8"), (int8, 1.0)))


def test_loss_equal_to_max_drop_is_accepted() -> None:
    assert excess_loss(make_candidate("int8", drop=0.005), 0.005) is None
    assert excess_loss(make_candidate("fp32"), 0.0) is None
