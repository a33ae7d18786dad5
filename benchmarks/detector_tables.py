"""Tables of the results of `detectors.py` for the documentation."""

from __future__ import annotations

from typing import Any

from common import table


def found(results: dict[str, Any]) -> str:
    """Return recall and false boxes per frame, by clip."""
    rows = []
    for name, clip in results["detectors"]["clips"].items():
        scores = [clip["scores"][who] for who in ("plain", "cascade", "yunet")]
        cells = [f"{score['recall']:.3f} ({score['false_a_frame']:.2f})" for score in scores]
        rows.append((name, str(scores[0]["faces"]), *cells))
    return table(("clip", "faces", "plain loop", "edgeinfer", "edgeinfer with YuNet"), rows)


def speed(results: dict[str, Any]) -> str:
    """Return the speed of both detectors' runs relative to the plain loop, to decoding and to each other, by clip."""
    rows = []
    for name, clip in results["detectors"]["clips"].items():
        ms = clip["ms"]
        pairs = (("plain", "cascade"), ("plain", "yunet"), ("cascade", "decoding"), ("yunet", "decoding"),
                 ("cascade", "yunet"))  # fmt: skip
        ratios = [ms[slow] / ms[fast] for slow, fast in pairs]
        rows.append((name, *(f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}" for ratio in ratios)))
    head = ("clip", "plain loop / cascade", "plain loop / YuNet", "cascade / decoding", "YuNet / decoding",
            "cascade / YuNet")  # fmt: skip
    return table(head, rows)


def sizes(results: dict[str, Any]) -> str:
    """Return the cost of larger versions of clips relative to the original, without decoding."""
    figures = results["detectors"]["sizes"]
    rows = []
    for name, clip in figures.items():
        original = figures.get(name.rpartition("-")[0], clip)
        costs = [f"{clip['cost'][who] / original['cost'][who]:.2f}" for who in ("cascade", "yunet")]
        rows.append((name, *costs, *(f"{clip['scores'][who]['recall']:.3f}" for who in ("cascade", "yunet"))))
    return table(("clip", "cost with the cascade", "cost with YuNet", "found by the cascade", "found by YuNet"), rows)
