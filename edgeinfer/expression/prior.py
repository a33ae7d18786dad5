"""How often each expression is expected where a model is used, as against where it was trained."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgeinfer.errors import UsageError

Prior = Literal["natural", "balanced"] | Mapping[str, float]
"""As it was trained; every expression as often as every other; or a share for each label."""
RAREST = 1e-4
"""Least share of the training labels that a shift goes by: rarer ones are hardly learned at all."""


def shift(prior: Prior, labels: tuple[str, ...], trained: Mapping[str, float]) -> NDArray[np.float64]:
    """What to add to the logits (logit adjustment, Menon et al. 2021, arXiv:2007.07314).

    Args:
        prior: what is expected.
        labels: of the model, in the order of its logits.
        trained: their shares in the training.

    Returns:
        (K,) log of expected over trained share; minus infinity for a label that is never expected.

    Raises:
        UsageError: `prior` is no such name, does not name the model's labels, or its shares are no shares.
    """
    if prior == "natural":
        return np.zeros(len(labels))
    known = np.maximum([trained.get(label, 0.0) for label in labels], RAREST)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(_expected(prior, labels)) - np.log(known / known.sum()))


def _expected(prior: Prior, labels: tuple[str, ...]) -> NDArray[np.float64]:
    """Shares in the order of the labels, which sum to 1."""
    if prior == "balanced":
        return np.full(len(labels), 1 / len(labels))
    if not isinstance(prior, Mapping):
        raise UsageError(f"the prior is {prior!r}; it must be natural, balanced, or a share for each label")
    if set(prior) != set(labels):
        wrong = sorted(set(prior) ^ set(labels), key=str)[0]
        does = "names" if wrong in prior else "leaves out"
        raise UsageError(f"the prior {does} {wrong}; this model's labels are {', '.join(labels)}")
    shares = [prior[label] for label in labels]
    if not all(isinstance(n, int | float) and math.isfinite(n) and n >= 0 for n in shares) or not sum(shares) > 0:
        raise UsageError("the prior must give each label a share of 0 or more, and one of them more than 0")
    return np.array(shares) / sum(shares)


def read_prior(text: str) -> Prior:
    """What `--prior` means: "natural", "balanced", or a JSON file with a share for each label.

    Raises:
        UsageError: there is no such file, or it holds no JSON object.
    """
    if text in ("natural", "balanced"):
        return "natural" if text == "natural" else "balanced"
    try:
        prior = json.loads(Path(text).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"the prior {text} is neither natural, balanced nor a file: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"the prior {text} is no JSON ({error})") from error
    if not isinstance(prior, dict):
        raise UsageError(f'the prior {text} must hold one JSON object such as {{"neutral": 0.4, "happy": 0.2, ...}}')
    return prior
