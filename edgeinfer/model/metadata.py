"""Validation of the metadata of untrusted model files."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn, get_args

from edgeinfer.results import Colour

if TYPE_CHECKING:
    from edgeinfer.model.card import ModelCard

SCHEMA = 1
MAX_SIDE = 1024
MAX_LABELS = 1000
MAX_LABEL_LENGTH = 64
_MAX_DIGITS = 18
"""Maximum number of digits of an integer, so that it fits in 64 bits."""


def parse_json(text: str) -> Any:
    """Parse JSON text with finite numbers and integers of at most 64 bits.

    Raises:
        ValueError: The text is not valid JSON, or a number is out of range.
        RecursionError: The text is nested too deeply.
    """
    return json.loads(text, parse_constant=_reject_constant, parse_int=_integer, parse_float=_finite)


def parse_object(text: str) -> dict[str, Any]:
    """Parse JSON text that contains an object; see `parse_json`."""
    value = parse_json(text)
    if not isinstance(value, dict):
        raise ValueError("expected a JSON object")
    return value


def is_number(value: object) -> bool:
    """Return True for a finite int or float that is not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def find_violation(schema: str, spec: dict[str, Any], card: ModelCard) -> str | None:
    """Return the rule that the metadata violate, or None.

    Args:
        schema: Value of the key `edgeinfer.schema`.
        spec: Value of the key `edgeinfer.input`.
        card: Card with all other values.

    Returns:
        The predicate of a sentence with the file as its subject, or None if the metadata are valid.
    """
    if schema != str(SCHEMA):
        return f"uses schema {schema[:20]}, but this version supports schema {SCHEMA} only; update edgeinfer"
    if spec.get("layout") != "NHWC" or spec.get("dtype") != "uint8":
        return f"has a {str(spec.get('layout'))[:20]} {str(spec.get('dtype'))[:20]} input; expected NHWC uint8"
    if not are_labels(card.labels):
        return (
            f"has invalid labels; expected 2..{MAX_LABELS} different printable names of 1..{MAX_LABEL_LENGTH} "
            "characters without slashes"
        )
    if not all(_is_integer(side) and 8 <= side <= MAX_SIDE for side in card.size_hw):
        return f"has an input of {str(card.size_hw)[:40]} pixels; expected a height and width of 8..{MAX_SIDE}"
    channels = 1 if card.colour == "grey" else 3
    if card.colour not in get_args(Colour) or not _is_integer(card.channels) or card.channels != channels:
        return (
            f"has an input of {str(card.channels)[:20]} {str(card.colour)[:20]} channels; expected 1 grey channel or "
            "3 rgb or bgr channels"
        )
    if not (1e-3 <= card.temperature <= 1e3 and -0.4 <= card.margin <= 2):
        return (
            f"has a temperature of {card.temperature:g} and a crop margin of {card.margin:g}; "
            "expected 0.001..1000 and -0.4..2"
        )
    if len(card.prior) > MAX_LABELS or not all(is_number(share) and 0 <= share <= 1 for share in card.prior.values()):
        return "has an invalid prior; expected a share of 0..1 for each label"
    return None


def are_labels(labels: Sequence[Any]) -> bool:
    """Return True if all label names are valid and distinct, ignoring case, width and spaces."""
    if not (2 <= len(labels) <= MAX_LABELS and all(map(is_label, labels))):
        return False
    normalised = {" ".join(unicodedata.normalize("NFKC", label).casefold().split()) for label in labels}
    return len(normalised) == len(labels)


def is_label(label: object) -> bool:
    """Return True for a name that a model file may have."""
    return (
        isinstance(label, str)
        and 1 <= len(label) <= MAX_LABEL_LENGTH
        and label.isprintable()
        and label.strip(" .") != ""
        and not set(label) & {"/", "\\"}
    )


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a finite number")


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"an integer of {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number that is too large")
    return value
