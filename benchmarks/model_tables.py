"""Tables of the accuracy, confidence, time and memory of the bundled models."""

from __future__ import annotations

from typing import Any

from common import table
from edgeinfer import LABELS


def forms(results: dict[str, Any]) -> str:
    """Return the accuracy of the teachers and each variant of the bundled network."""
    rows = []
    for name, form in results["bundled_model"]["forms"].items():
        seven, eight = form["7"], form["8"]
        rows.append((name, f"{form['size_bytes'] / 1000:.0f} kB", interval(seven), f"{seven['macro_f1']:.4f}",
                     f"{seven['mean_recall']:.4f}", interval(eight)))  # fmt: skip
    return table(("network", "size", "seven labels", "macro-F1", "mean recall", "eight labels"), rows)


def interval(figures: dict[str, Any]) -> str:
    """Return the accuracy with its interval."""
    low, high = figures["accuracy_interval"]
    return f"{figures['accuracy']:.4f} [{low:.4f}, {high:.4f}]"


def signed_interval(change: dict[str, Any]) -> str:
    """Return a difference in accuracy with its interval."""
    low, high = change["accuracy_interval"]
    return f"{change['accuracy']:+.4f} [{low:+.4f}, {high:+.4f}]"


def labels(results: dict[str, Any]) -> str:
    """Return the figures of the int8 variant by label."""
    scores = results["bundled_model"]["forms"]["student, int8"]["7"]["per_class"]
    rows = [(n, str(s["count"]), f"{s['precision']:.3f}", f"{s['recall']:.3f}") for n in LABELS for s in [scores[n]]]
    return table(("label", "faces", "precision", "recall"), rows)


def doubt(results: dict[str, Any]) -> str:
    """Return the confidence on degraded faces and non-faces, and the effect of thresholds."""
    rows = []
    for name, figures in results["doubt"]["faces"].items():
        cells = []
        for threshold in ("0.5", "0.6", "0.7"):
            row = figures[threshold]
            cells.append(f"{row['share']:.2f}" + (f" ({row['precision']:.3f})" if "precision" in row else ""))
        accuracy = f"{figures['accuracy']:.3f}" if "accuracy" in figures else ""
        rows.append((name, f"{figures['count']:,}", accuracy, f"{figures['mean_confidence']:.3f}", *cells))
    heads = (f"share at {threshold} or above (precision)" for threshold in ("0.5", "0.6", "0.7"))
    return table(("faces", "count", "accuracy", "mean confidence", *heads), rows)


def thresholds(results: dict[str, Any]) -> str:
    """Return the suggestions for `unknown_below`."""
    rows = [
        (f"{row['error']:.0%}", f"{row['unknown_below']:.2f}", f"{row['share']:.2f}")
        for row in results["doubt"]["suggestions"]
    ]
    return table(("errors among known labels", "`--unknown-below`", "share of faces with a known label"), rows)


def model_choice(results: dict[str, Any]) -> str:
    """Return the accuracy, time and memory of the default and the larger model."""
    found = results["model_choice"]
    rows = [
        (
            name, f"{model['size_bytes'] / 1000:.0f} kB", interval(model["7"]), f"{model['7']['macro_f1']:.3f}",
            interval(model["8"]), f"{model['ratio']:.2f}", f"{model['peak_mb']:.0f} MB",
        )
        for name, model in ((name, found[name]) for name in ("default", "accurate"))
    ]  # fmt: skip
    head = ("model", "size", "accuracy", "macro-F1", "accuracy, majority", "relative latency", "memory")
    differences = ", majority ".join(signed_interval(change) for change in found["difference"].values())
    return f"{table(head, rows)}\n\nDifference in accuracy, paired by face: {differences}."


def crops(results: dict[str, Any]) -> str:
    """Return the accuracy by crop margin, on faces that the cascade detected."""
    figures = results["crop_margin"]
    by_margin = sorted((float(margin), value) for margin, value in figures["accuracy_by_margin"].items())
    rows = [(f"{margin:+.2f}", f"{value:.3f}") for margin, value in by_margin]
    return table(("margin", "accuracy"), rows)


def quantization(results: dict[str, Any]) -> str:
    """Return the variants of the bundled network by calibration method."""
    rows = []
    for calibration, forms in results["quantization"]["forms"].items():
        for form in forms:
            if form["name"] in ("fp32", "int8-dynamic", "float16") and calibration != "minmax":
                continue  # variants without calibration
            change = form["change"]
            rows.append((
                form["name"], calibration if form["name"] in ("int8", "int8-signed") else "",
                f"{form['size_bytes'] / 1000:.0f} kB",
                f"{form['accuracy']:.4f}", signed_interval(change) if change else "", f"{form['macro_f1']:.4f}",
                f"{form['ratio']:.2f}", f"{form['p95_ms'] / form['p50_ms']:.2f}",
            ))  # fmt: skip
    return table(
        ("variant", "calibration", "size", "accuracy", "change", "macro-F1", "relative latency (p50)", "p95 / p50"),
        rows,
    )


def corruptions(results: dict[str, Any]) -> str:
    """Return the accuracy and calibration error of the default and the larger model on corrupted faces."""
    models = [results["corruptions"]["models"][name] for name in ("edgenet-ferplus-int8", "accurate")]
    columns = [model[group] for group in ("all", "no_copy") for model in models]
    rows = [
        (kind, *(f"{column[kind]['accuracy']:.3f} ({column[kind]['calibration_error']:.3f})" for column in columns))
        for kind in columns[0] if kind != "difference"
    ]  # fmt: skip
    head = ("corruption", "default", "accurate", "default, without copies", "accurate, without copies")
    change, low, high = models[1]["all"]["difference"]
    return f"{table(head, rows)}\n\nDifference in the mean, paired by face: {change:+.4f} [{low:+.4f}, {high:+.4f}]."


def peer_corruptions(results: dict[str, Any]) -> str:
    """Return the accuracy of the models and other packages on corrupted faces."""
    accuracy = results["corruptions"]["peers"]["accuracy"]
    kinds = next(iter(accuracy.values()))
    rows = [(kind, *(f"{row[kind]:.2f}" for row in accuracy.values())) for kind in kinds]
    names = ("default" if name == "edgenet-ferplus-int8" else name for name in accuracy)
    return table(("corruption", *names), rows)
