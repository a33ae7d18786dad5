"""Criteria that exclude a form from publication."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeinfer_export.options import MAX_F1_DROP
from edgeinfer_export.verify.measure import Candidate
from edgeinfer_export.verify.verdict import TOLERANCE

if TYPE_CHECKING:
    pass


def fault(candidate: Candidate) -> str | None:
    """Why a form may not be published at all; None where it may."""
    if candidate.batch_difference <= TOLERANCE:
        return None
    return f"its answers depend on the other faces in a batch, by {candidate.batch_difference:g} relative"


def loss(candidate: Candidate, max_drop: float) -> str | None:
    """What a form loses more of than it may against float32 on the same faces; None where it keeps its accuracy.

    Args:
        candidate: measured on faces.
        max_drop: accuracy that it may lose, 0..1; macro-F1 may fall by 0.01.
    """
    change = candidate.change
    if change is None:
        return None
    if -change.accuracy > max_drop:
        return f"loses {-change.accuracy:.4f} of accuracy, more than {max_drop:g}"
    if -change.macro_f1 > MAX_F1_DROP:
        return f"loses {-change.macro_f1:.4f} of macro-F1, more than {MAX_F1_DROP:g}"
    return None
