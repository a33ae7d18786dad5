"""A model's card as Markdown, from what its file says of itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from edgeinfer.errors import ModelError, one_line
from edgeinfer.model.card import ModelCard

WHAT_IT_DOES = (
    "It names the expression that an onlooker would perceive in the pixels of a face, **not what the person feels**: "
    "people smile when they are afraid and frown when they read."
)


def markdown(card: ModelCard, *, name: str | None = None) -> str:
    """Write a model's card.

    Args:
        card: of the file.
        name: its title; by default the file's name.

    Raises:
        ModelError: the report in the file's metadata is damaged.
    """
    parts = [f"# {name or card.name}", WHAT_IT_DOES, _use(card), _figures(card)]
    if card.report:
        try:
            parts += [section(card.report) for section in _SECTIONS]
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise ModelError(f"{card.name} carries a damaged report ({error!r}); export it again") from error
    parts += [
        f"## Intended use\n\n{card.intended_use}",
        f"## Prohibited use\n\n{card.prohibited_use}",
        f"## Licence\n\n{card.license} for the weights. Exported by edgeinfer {card.version}.",
    ]
    return "\n".join(map(one_line, "\n\n".join(part for part in parts if part).split("\n"))) + "\n"


def _use(card: ModelCard) -> str:
    height, width = card.size_hw
    return _table(
        ("what", "value"),
        [
            ("labels", ", ".join(card.labels)),
            ("input", f"{width}x{height} {card.colour}, raw uint8"),
            ("crop", f"the detector's box and {card.margin:+.0%} on each side"),
            ("temperature", f"{card.temperature:g}"),
            ("trained on", card.dataset),
            ("share of the training faces", ", ".join(f"{n} {share:.1%}" for n, share in card.prior.items())),
            ("file", f"{card.size_bytes / 1000:.0f} kB, sha256 {card.sha256}"),
        ],
    )


def _figures(card: ModelCard) -> str:
    """The headline, and recall by label."""
    told = {key: value for key, value in card.metrics.items() if not isinstance(value, dict)}
    rows = [(key.replace("_", " "), _text(value)) for key, value in told.items()]
    recall = card.metrics.get("recall")
    if isinstance(recall, dict):
        rows.append(("recall", ", ".join(f"{label} {value}" for label, value in recall.items())))
    return f"## Figures\n\n{_table(('figure', 'value'), rows)}" if rows else ""


def _forms(report: dict[str, Any]) -> str:
    head = ("form", "size", "accuracy", "against float32", "macro-F1", "against float32", "agreement", "p50", "p95",
            "time", "outcome")  # fmt: skip
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
    failed = "".join(f"\n- {name}: {reason}" for name, reason in report["failed"].items())
    where = f"{report['dataset']} {report['split']}, {report['protocol']}" if report["split"] else "generated pictures"
    return (
        f"## Forms\n\nMeasured on {report['count']:,} faces of {where}. Times are of one face a call on one thread of "
        f"{report['machine']}, all forms in turn; `time` is the median against float32's. Intervals are 95 %, by "
        f"bootstrap over the same faces.\n\n{_table(head, rows)}\n\nChosen: {report['rule']}."
        + (f"\n\nNot to be had:\n{failed}" if failed else "")
    )


def _verdict(report: dict[str, Any]) -> str:
    verdict, confidence, calibration = report["verdict"], report["confidence"], report["calibration"]
    said = [
        f"The float32 graph (opset {report['opset']}, {report['converter']}) differs from Keras by at most "
        f"{verdict['max_relative_difference']:g} of the largest logit, {verdict['verified']}; "
        f"{verdict['tolerance']:g} is allowed. A batch of eight differs from single faces by "
        f"{verdict['batch_difference']:g}."
    ]
    if calibration:
        said.append(
            f"Ranges of int8: {calibration['method']} over {calibration['faces']} training faces "
            f"(seed {calibration['seed']})."
        )
    if confidence:
        said.append(
            f"Confidence: expected calibration error (15 bins) {confidence['error_before']:.3f} at temperature 1 and "
            f"{confidence['error_after']:.3f} after fitting it, each half of the validation faces judged with what was "
            "fitted on the other."
        )
    return "## Verdict\n\n" + "\n\n".join(said)


def _training(report: dict[str, Any]) -> str:
    training = report["training"]
    commit = f" Code: commit {training['commit']}." if training["commit"] else ""
    said = (
        f"Backbone {training['backbone']}, exported from {report['source']}. Labels: {training['label_mode']}.{commit}"
    )
    if not training["settings"]:
        return f"## Training\n\n{said}"
    return (
        f"## Training\n\n{said}\n\n```\nedgeinfer-train fit DATA --config settings.toml --run RUN\n```\n\n"
        f"with `settings.toml`:\n\n```toml\n{_toml(training['settings'])}\n```"
    )


def _limits(report: dict[str, Any]) -> str:
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in (*report["limits"], *report["warnings"]))


_SECTIONS: tuple[Callable[[dict[str, Any]], str], ...] = (_forms, _verdict, _training, _limits)


def _toml(settings: dict[str, Any]) -> str:
    """Plain settings with at most one level of tables; JSON writes such values as TOML does."""
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
