"""Correction of logits for an expected distribution of the labels."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeinfer.errors import UsageError, one_line, shown_path
from edgeinfer.system.paths import local_path

LabelPrior = Literal["natural", "balanced"] | Mapping[str, float]
"""Expected label distribution: "natural" (as in the training data), "balanced" (uniform), or a share per label."""
MAX_SHARE = 1e9
"""Maximum share; shares may have any sum, so they may also be counts."""
MAX_BYTES = 2**20
"""Maximum size of a prior file, in bytes."""
SHOWN_LABELS = 12
"""Number of labels that a message lists."""
MIN_TRAINED_SHARE = 1e-4
"""Lower bound on a label's share of the training data, because a model hardly learns rarer labels."""


def logit_offsets(prior: LabelPrior, labels: tuple[str, ...], trained: Mapping[str, float]) -> NDArray[np.float64]:
    """Return the offsets to add to the logits (logit adjustment, Menon et al. 2021, arXiv:2007.07314).

    Args:
        prior: Expected distribution of the labels. Shares may have any positive sum.
        labels: Labels of the model in the order of its logits.
        trained: Map from label to share of the training data.

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
        raise UsageError(f"invalid `prior` {str(prior)[:100]!r}: expected natural, balanced, or a share for each label")
    if set(prior) != set(labels):
        label = sorted(set(prior) ^ set(labels), key=str)[0]
        problem = "unknown" if label in prior else "missing"
        more = f" and {len(labels) - SHOWN_LABELS} more labels" if len(labels) > SHOWN_LABELS else ""
        raise UsageError(
            f"invalid `prior`: the label {one_line(str(label)[:64])} is {problem}; expected a share for "
            f"{', '.join(labels[:SHOWN_LABELS])}{more}"
        )
    shares = [prior[label] for label in labels]
    if not all(_is_share(share) for share in shares) or not any(shares):
        raise UsageError(f"invalid `prior`: expected shares of 0..{MAX_SHARE:g}, at least one of them above 0")
    scaled = np.array(shares, dtype=np.float64) / max(shares)
    return np.asarray(scaled / scaled.sum())


def _is_share(share: object) -> bool:
    return isinstance(share, int | float) and not isinstance(share, bool) and 0 <= share <= MAX_SHARE


def read_prior(text: str) -> LabelPrior:
    """Parse "natural", "balanced" or the path of a JSON file with a share for each label.

    Raises:
        UsageError: the file cannot be read, or does not contain a JSON object.
    """
    if text in ("natural", "balanced"):
        return "natural" if text == "natural" else "balanced"
    path = local_path(text, UsageError)
    shown = shown_path(text)
    try:
        if not path.is_file():  # opening a FIFO would block
            raise FileNotFoundError(errno.ENOENT, "no such file" if not path.exists() else "not a regular file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"invalid `prior` {shown}: expected natural, balanced, or a readable JSON file ({error.strerror})"
        ) from error
    if len(data) > MAX_BYTES:
        raise UsageError(f"invalid `prior` {shown}: the file is larger than {MAX_BYTES >> 10} kB")
    try:
        prior = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
        raise UsageError(f"invalid `prior` {shown}: the file is not valid JSON ({reason})") from error
    if not isinstance(prior, dict):
        raise UsageError(
            f'invalid `prior` {shown}: expected one JSON object, for example {{"neutral": 0.4, "happy": 0.2, ...}}'
        )
    return prior


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of a JSON object.

    Raises:
        ValueError: A key occurs twice.
    """
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a label occurs twice")
    return members
