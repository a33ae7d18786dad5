"""Model card as Markdown, from the metadata of the model file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from edgeinfer.errors import ModelError, one_line
from edgeinfer.model.card import ModelCard

DESCRIPTION = (
    "The model classifies the expression that an observer would perceive in a face, **not what the person feels**: "
    "people smile when they are afraid and frown when they read."
)


def markdown(card: ModelCard, *, name: str | None = None) -> str:
    """Return a model card as Markdown.

    Args:
        card: Card of the model.
        name: Title. Defaults to the name of the card.

    Raises:
        ModelError: The report in the metadata is damaged.
    """
    try:
        parts = [f"# {name or card.name}", DESCRIPTION, _use(card), _figures(card)]
        if card.report:
            parts += [section(card.report) for section in _SECTIONS]
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ModelError(
            f"{card.name} has a damaged report in its metadata ({one_line(repr(error))[:200]}); export it again"
        ) from error
    parts += [
        f"## Intended use\n\n{card.intended_use}",
        f"## Prohibited use\n\n{card.prohibited_use}",
        f"## Licence\n\n{card.license} for the weights. Exported by edgeinfer {card.version}.",
    ]
    return "\n".join(map(one_line, "\n\n".join(part for part in parts if part).split("\n"))) + "\n"


def _use(card: ModelCard) -> str:
    height, width = card.size_hw
    return _table(
        ("property", "value"),
        [
            ("labels", ", ".join(card.labels)),
            ("input", f"{width}x{height} {card.colour}, raw uint8"),
            ("crop", f"bounding box of the detector, {card.margin:+.0%} on each side"),
            ("temperature", f"{card.temperature:g}"),
            ("training data set", card.dataset),
            ("share of the training labels", ", ".join(f"{n} {share:.1%}" for n, share in card.prior.items())),
            ("file", f"{card.size_bytes / 1000:.0f} kB, sha256 {card.sha256}"),
        ],
    )


def _figures(card: ModelCard) -> str:
    """Return the table of the main figures and the recall by label."""
    plain = {key: value for key, value in card.metrics.items() if not isinstance(value, dict)}
    rows = [(key.replace("_", " "), _text(value)) for key, value in plain.items()]
    recall = card.metrics.get("recall")
    if isinstance(recall, dict):
        rows.append(("recall", ", ".join(f"{label} {value}" for label, value in recall.items())))
    return f"## Figures\n\n{_table(('figure', 'value'), rows)}" if rows else ""


def _variants(report: dict[str, Any]) -> str:
    head = ("variant", "size", "accuracy", "change", "macro-F1", "change", "agreement", "p50", "p95", "relative time",
            "outcome")  # fmt: skip
    rows = []
    for v in report["variants"]:
        change = v["change"] or dict.fromkeys(("accuracy", "accuracy_interval", "macro_f1", "macro_f1_interval"))
        rows.append(
            (
                v["name"], f"{v['size_bytes'] / 1000:.0f} kB",
                _share(v["accuracy"]), _change(change["accuracy"], change["accuracy_interval"]),
                _share(v["macro_f1"]), _change(change["macro_f1"], change["macro_f1_interval"]),
                _share(v["agreement"]), f"{v['p50_ms']:.2f} ms", f"{v['p95_ms']:.2f} ms", f"{v['ratio']:.2f}",
                v["outcome"] + (f"; float32: {', '.join(v['float_nodes'])}" if v["float_nodes"] else ""),
            )
        )  # fmt: skip
    failures = "".join(f"\n- {name}: {reason}" for name, reason in report["failed"].items())
    where = f"{report['dataset']} {report['split']}, {report['protocol']}" if report["split"] else "generated pictures"
    return (
        f"## Variants\n\nMeasured on {report['count']:,} faces of {where}. Latencies are for one face per call on one "
        f"thread of {report['machine']}, with the variants taking turns; `relative time` is the median divided by that "
        "of float32. `change` is the difference from float32 with its 95 % interval, by bootstrap over the same "
        f"faces.\n\n{_table(head, rows)}\n\nSelection: {report['rule']}."
        + (f"\n\nFailed variants:\n{failures}" if failures else "")
    )


def _verdict(report: dict[str, Any]) -> str:
    verdict, confidence, calibration = report["verdict"], report["confidence"], report["calibration"]
    paragraphs = [
        f"The float32 graph (opset {report['opset']}, {report['converter']}) differs from the original model by at "
        f"most {verdict['max_relative_difference']:g} of the largest logit ({verdict['tolerance']:g} allowed), "
        f"verified {verdict['verified']}. The logits of a batch of eight differ from those of single faces by "
        f"{verdict['batch_difference']:g}."
    ]
    if calibration:
        paragraphs.append(
            f"Calibration of int8: {calibration['method']} over {calibration['faces']} training faces "
            f"(seed {calibration['seed']})."
        )
    if confidence:
        paragraphs.append(
            f"Confidence: expected calibration error (15 bins) {confidence['error_before']:.3f} at temperature 1 and "
            f"{confidence['error_after']:.3f} at the fitted temperature, by twofold cross-validation on the validation "
            "faces."
        )
    return "## Verification\n\n" + "\n\n".join(paragraphs)


def _training(report: dict[str, Any]) -> str:
    training = report["training"]
    commit = training["commit"]
    code = f" Code: commit {commit}." if commit and not commit.endswith("-dirty") else ""
    summary = (
        f"Backbone {training['backbone']}, exported from {report['source']}. Labels: {training['label_mode']}.{code}"
    )
    if not training["settings"]:
        return f"## Training\n\n{summary}"
    return (
        f"## Training\n\n{summary}\n\n```\nedgeinfer-train fit DATA --config settings.toml --run RUN\n```\n\n"
        f"with `settings.toml`:\n\n```toml\n{_toml(training['settings'])}\n```"
    )


def _limits(report: dict[str, Any]) -> str:
    warnings = [f"{warning[:1].upper()}{warning[1:]}." for warning in report["warnings"]]
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in (*report["limits"], *warnings))


_SECTIONS: tuple[Callable[[dict[str, Any]], str], ...] = (_variants, _verdict, _training, _limits)


def _toml(settings: dict[str, Any]) -> str:
    """Return settings with at most one level of tables as TOML, which writes their values as JSON does."""
    plain = [f"{key} = {json.dumps(value)}" for key, value in settings.items() if not isinstance(value, dict)]
    for name, table in settings.items():
        if isinstance(table, dict):
            plain += ["", f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(plain)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _change(value: float | None, interval: list[float] | None) -> str:
    return "-" if value is None or interval is None else f"{value:+.4f} [{interval[0]:+.4f}, {interval[1]:+.4f}]"


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    cells = [[one_line(cell).replace("|", "/") for cell in row] for row in (head, ("---",) * len(head), *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)
