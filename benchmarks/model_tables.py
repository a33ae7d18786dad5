"""Tables of the accuracy, confidence, time and memory of the bundled models."""

from __future__ import annotations

from typing import Any

from common import table
from edgeinfer import LABELS

MODELS = {"edgenet-ferplus-int8": "default", "accurate": "accurate"}
"""Name in the tables by name of the model file."""


def forms(results: dict[str, Any]) -> str:
    """Return the accuracy of the teachers and each variant of the bundled network."""
    rows = []
    for name, form in results["bundled_model"]["forms"].items():
        seven, eight = form["7"], form["8"]
        rows.append((name, f"{form['size_bytes'] / 1000:.0f} kB", interval(seven), interval(form["no_copy"]),
                     f"{seven['macro_f1']:.4f}", f"{seven['mean_recall']:.4f}", interval(eight)))  # fmt: skip
    head = ("network", "size", "seven labels", "seven, without copies", "macro-F1", "mean recall", "eight labels")
    return table(head, rows)


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
    """Return the accuracy and confidence of the default and the larger model on degraded faces and non-faces."""
    models = [results["doubt"]["models"][name]["faces"] for name in MODELS]
    rows = []
    for kind in (kind for kind in models[0] if kind in models[1]):
        figures = [model[kind] for model in models]
        count = figures[0]["count"]
        rows.append((
            kind if count == models[0]["unmodified"]["count"] else f"{kind} ({count})",
            *(f"{each['accuracy']:.3f}" if "accuracy" in each else "" for each in figures),
            *(f"{each['mean_confidence']:.3f}" for each in figures),
            *(f"{each['share']:.2f}" + (f" ({each['precision']:.3f})" if "precision" in each else "")
              for each in (each["0.5"] for each in figures)),
        ))  # fmt: skip
    columns = ("accuracy", "mean confidence", "0.5 or above")
    heads = (f"{column}: {model}" for column in columns for model in MODELS.values())
    return table(("faces", *heads), rows)


def thresholds(results: dict[str, Any]) -> str:
    """Return the suggestions for `unknown_below`."""
    rows = [
        (MODELS[name], f"{row['error']:.0%}", f"{row['unknown_below']:.2f}", f"{row['share']:.2f}")
        for name in MODELS
        for row in results["doubt"]["models"][name]["suggestions"]
    ]
    return table(("model", "errors among known labels", "`--unknown-below`", "share of faces with a known label"), rows)


def model_choice(results: dict[str, Any]) -> str:
    """Return the accuracy, time and memory of the default and the larger model."""
    found = results["model_choice"]
    rows = [
        (
            name, f"{model['size_bytes'] / 1000:.0f} kB", interval(model["7"]), interval(model["no_copy"]),
            f"{model['7']['macro_f1']:.3f}", interval(model["8"]), f"{model['ratio']:.2f}",
            f"{model['peak_mb']:.0f} MB",
        )
        for name, model in ((name, found[name]) for name in MODELS.values())
    ]  # fmt: skip
    head = (
        "model", "size", "accuracy", "accuracy, without copies", "macro-F1", "accuracy, majority", "relative latency",
        "memory",
    )  # fmt: skip
    seven, no_copy, eight = (signed_interval(found["difference"][protocol]) for protocol in ("7", "no_copy", "8"))
    return (
        f"{table(head, rows)}\n\nDifference in accuracy, paired by face: {seven}, without copies {no_copy}, majority "
        f"{eight}."
    )


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
    models = [results["corruptions"]["models"][name] for name in MODELS]
    columns = [model[group] for group in ("all", "no_copy") for model in models]
    rows = [
        (kind, *(f"{column[kind]['accuracy']:.3f} ({column[kind]['calibration_error']:.3f})" for column in columns))
        for kind in columns[0] if kind != "difference"
    ]  # fmt: skip
    head = ("corruption", "default", "accurate", "default, without copies", "accurate, without copies")
    change, low, high = models[1]["all"]["difference"]
    intervals = (column[kind]["interval"] for column in columns for kind, *_ in rows if kind != "mean")
    widest = max((end - start) / 2 for start, end in intervals)
    pooled, halves = columns[0]["none"]["calibration_error"], results["bundled_model"]["calibration_error"]
    return (
        f"{table(head, rows)}\n\nDifference in the mean, paired by face: {change:+.4f} [{low:+.4f}, {high:+.4f}].\n"
        f"The 95 % intervals of single corruptions are at most ±{widest:.3f}.\n\n"
        f"Without corruption, the calibration error of the default is {pooled:.3f} over all faces at the published\n"
        f"temperature, and {halves['error_after']:.3f} by twofold cross-validation of it, as in the model card."
    )


def peer_corruptions(results: dict[str, Any]) -> str:
    """Return the accuracy of the models and other packages on corrupted faces."""
    accuracy = results["corruptions"]["peers"]["accuracy"]
    kinds = next(iter(accuracy.values()))
    rows = [(kind, *(f"{row[kind]:.2f}" for row in accuracy.values())) for kind in kinds]
    return table(("corruption", *(MODELS.get(name, name) for name in accuracy)), rows)
