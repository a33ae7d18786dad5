"""Criteria that exclude a variant from publication."""

from __future__ import annotations

from edgeinfer_export.options import MAX_F1_DROP
from edgeinfer_export.verify.measure import Candidate
from edgeinfer_export.verify.verdict import TOLERANCE


def batch_dependence(candidate: Candidate) -> str | None:
    """Return an error if the outputs for a face depend on the other faces in a batch, else None."""
    if candidate.batch_difference <= TOLERANCE:
        return None
    return f"its outputs depend on the other faces in a batch, by {candidate.batch_difference:g} (relative)"


def excess_loss(candidate: Candidate, max_drop: float) -> str | None:
    """Return an error if a variant is too inaccurate compared with float32 on the same faces, else None.

    Args:
        candidate: Variant measured on faces.
        max_drop: Largest accepted accuracy loss, 0..1. The macro-F1 loss may be up to `MAX_F1_DROP`.
    """
    change = candidate.change
    if change is None:
        return None
    if -change.accuracy > max_drop:
        return f"loses {-change.accuracy:.4f} of accuracy, more than {max_drop:g}"
    if -change.macro_f1 > MAX_F1_DROP:
        return f"loses {-change.macro_f1:.4f} of macro-F1, more than {MAX_F1_DROP:g}"
    return None
