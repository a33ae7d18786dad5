"""Sets of labels of different sizes, with names that outputs could confuse with their own syntax or columns."""

from __future__ import annotations

from edgeinfer import LABELS

LABEL_SETS: dict[str, tuple[str, ...]] = {
    "2": ("not smiling", "smiling"),
    "3": ("engagé", "müde", "скучающий"),
    "5": LABELS[:5],
    "7": LABELS,
    "8": (*LABELS, "contempt"),
    "12": (
        'a, b; "c"', "d+e #1 'f'", "x", "label", "unknown", "none", "怒り", "سعيد", "{{ value_json }}",
        "<b>|*_&amp;", "=1+1", "w" * 64,
    ),
}  # fmt: skip
"""Labels by the number of classes."""
