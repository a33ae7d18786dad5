"""Correction of logits for an expected distribution of the labels."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgeinfer.errors import UsageError

LabelPrior = Literal["natural", "balanced"] | Mapping[str, float]
"""Expected distribution of the labels: "natural" as in the training data, "balanced" uniform, or a share per label."""
MIN_TRAINED_SHARE = 1e-4
"""Lower bound on a label's share of the training data, because a model hardly learns rarer labels."""


def logit_offsets(prior: LabelPrior, labels: tuple[str, ...], trained: Mapping[str, float]) -> NDArray[np.float64]:
    """Return the offsets to add to the logits (logit adjustment, Menon et al. 2021, arXiv:2007.07314).

    Args:
        prior: Expected distribution of the labels. Shares may have any positive sum.
        labels: Labels of the model in the order of its logits.
        trained: Label to share in the training data.

    Returns:
        (K,) log of expected over trained share; -inf for a label with an expected share of 0.

    Raises:
        UsageError: `prior` is not a known name, its labels are not the model's, or its shares are invalid.
    """
    if prior == "natural":
        return np.zeros(len(labels))
    trained_shares = np.maximum([trained.get(label, 0.0) for label in labels], MIN_TRAINED_SHARE)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(_expected_shares(prior, labels)) - np.log(trained_shares / trained_shares.sum()))


def _expected_shares(prior: LabelPrior, labels: tuple[str, ...]) -> NDArray[np.float64]:
    """Return the expected shares in the order of the labels, (K,); they sum to 1."""
    if prior == "balanced":
        return np.full(len(labels), 1 / len(labels))
    if not isinstance(prior, Mapping):
        raise UsageError(f"invalid `prior` {prior!r}: expected natural, balanced, or a share for each label")
    if set(prior) != set(labels):
        label = sorted(set(prior) ^ set(labels), key=str)[0]
        problem = "unknown" if label in prior else "missing"
        raise UsageError(f"invalid `prior`: the label {label} is {problem}; expected a share for {', '.join(labels)}")
    shares = [prior[label] for label in labels]
    if not all(isinstance(n, int | float) and math.isfinite(n) and n >= 0 for n in shares) or not sum(shares) > 0:
        raise UsageError("invalid `prior`: expected shares of 0 or more, at least one of them above 0")
    return np.array(shares) / sum(shares)


def read_prior(text: str) -> LabelPrior:
    """Parse "natural", "balanced" or the path of a JSON file with a share for each label.

    Raises:
        UsageError: the file cannot be read, or does not contain a JSON object.
    """
    if text in ("natural", "balanced"):
        return "natural" if text == "natural" else "balanced"
    try:
        prior = json.loads(Path(text).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"invalid `prior` {text}: expected natural, balanced, or a readable JSON file ({error.strerror})"
        ) from error
    except ValueError as error:
        raise UsageError(f"invalid `prior` {text}: the file is not valid JSON ({error})") from error
    if not isinstance(prior, dict):
        raise UsageError(
            f'invalid `prior` {text}: expected one JSON object, for example {{"neutral": 0.4, "happy": 0.2, ...}}'
        )
    return prior
