"""Generation of the tables in the documentation from the saved results.

    python benchmarks/tables.py [--check]

A table is enclosed in `<!-- table NAME -->` and `<!-- end -->`. With --check, nothing is written and the exit code is 1
if a table is out of date.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import dependency_matrix
import detector_tables
import install_size
import model_tables
import slow_board
from common import RESULTS, table

ROOT = Path(__file__).parents[1]
DOCUMENTS = (
    ROOT / "README.md", ROOT / "models" / "README.md", ROOT / "docs" / "peers.md", ROOT / "docs" / "speed.md",
    ROOT / "docs" / "service.md", ROOT / "docs" / "batch.md", ROOT / "docs" / "concepts.md",
    ROOT / "docs" / "own-faces.md", ROOT / "docs" / "systems.md",
)  # fmt: skip
SOURCE = RESULTS / "x86-64-intel-xeon-processor-2-cores.json"


def measured(results: dict[str, Any]) -> str:
    """Return the table of the README."""
    form, start, sizes = results["bundled_model"]["forms"]["student, int8"], results["startup"], results["install_size"]
    int8 = form["7"]
    low, high = int8["accuracy_interval"]
    rows = [
        ("size of the bundled int8 model", f"{form['size_bytes'] / 1000:.0f} kB", "`bundled_model.py`"),
        (
            f"accuracy on FERPlus validation ({int8['count']:,} faces, seven labels, argmax over ten votes)",
            f"{int8['accuracy']:.3f} [{low:.3f}, {high:.3f}]",
            "`bundled_model.py`",
        ),
        ("macro-F1 on the same faces, seven labels", f"{int8['macro_f1']:.3f}", "`bundled_model.py`"),
        (
            f"speed relative to the plain loop, geometric mean of {len(results['pipeline_vs_plain']['clips'])} clips",
            f"{results['pipeline_vs_plain']['ratio']:.0f} times as fast",
            "`pipeline_vs_plain.py`",
        ),
        ("peak resident memory until the first result", f"{start['peak_mb']:.0f} MB", "`startup.py`"),
        (
            "size of all wheels, 64-bit Raspberry Pi",
            f"{sizes['platforms']['linux_aarch64']['total_mb']:.0f} MB",
            "`install_size.py`",
        ),
    ]
    return table(("figure", "value", "script"), rows)


def figures(results: dict[str, Any]) -> str:
    """Return the figures that are in no other table."""
    model, start, sizes = results["bundled_model"], results["startup"], results["install_size"]
    listeners = results["listeners"]["cpu_ms"]
    form = model["forms"]["student, int8"]
    eight = form["8"]
    low, high = eight["accuracy_interval"]
    rows = [
        (f"accuracy of the eight-label model on FERPlus validation ({eight['count']:,} faces with a majority label)",
         f"{eight['accuracy']:.3f} [{low:.3f}, {high:.3f}]", "`bundled_model.py`"),
        ("mean recall over the seven labels with and without `--prior balanced`",
         f"{model['balanced_mean_recall']:.3f}, {form['7']['mean_recall']:.3f}", "`bundled_model.py`"),
        ("expected calibration error, by twofold cross-validation of the temperature",
         f"{model['calibration_error']['error_after']:.3f}", "`bundled_model.py`"),
        ("latency of one face relative to float32, one thread",
         f"{model['int8_to_fp32_time']:.2f}", "`bundled_model.py`"),
        ("latency of one face relative to MobileNetV2 at 96x96 in float32, one thread",
         f"{model['int8_to_baseline_time']:.2f}", "`bundled_model.py`"),
        ("time to the first result, relative to importing numpy, OpenCV and onnxruntime",
         f"{start['ratio']:.2f}", "`startup.py`"),
        ("processor time of a run with OSC, MQTT, preview, an API client and two slow clients, relative to one without",
         f"{listeners['all together'] / listeners['alone']:.2f}", "`listeners.py`"),
        ("size of all wheels, x86-64", f"{sizes['platforms']['linux_x86_64']['total_mb']:.0f} MB", "`install_size.py`"),
    ]  # fmt: skip
    return table(("figure", "value", "script"), rows)


def peers(results: dict[str, Any]) -> str:
    """Return the speed and accuracy of other packages."""
    found = results["peers"]["peers"]
    rows = [
        (each["about"], each["version"], f"{each['ratio']:.2f}", str(each["boxes"]), f"{each['faces_found']:.2f}",
         f"{each['accuracy']:.2f}")
        for each in sorted(found.values(), key=lambda each: -each["ratio"])
    ]  # fmt: skip
    measured = results["peers"]
    width, height = measured["size_wh"]
    caption = (
        f"{measured['frames']} frames of {width}x{height} with up to four faces; {measured['faces']} single faces."
    )
    head = ("package", "version", "relative frame rate", "boxes", "faces detected", "accuracy")
    return f"{table(head, rows)}\n\n{caption}"


def steady(results: dict[str, Any]) -> str:
    """Return label changes and agreement, by clip."""
    rows = [
        (name, str(clip["unsmoothed_changes"]), str(clip["label_changes"]), f"{clip['agreement']:.1%}")
        for name, clip in results["pipeline_vs_plain"]["clips"].items()
    ]
    return table(("clip", "label changes without smoothing", "label changes", "agreement of raw labels"), rows)


def scaling(results: dict[str, Any]) -> str:
    """Return the cost relative to 640x360 with one face."""
    cases = results["scaling"]["cases"]
    return table(("frames", "cost"), [(name, f"{case['ratio']:.1f}") for name, case in cases.items()])


def soak(results: dict[str, Any]) -> str:
    """Return the figures of a run with a camera that fails every few seconds."""
    figures, memory = results["soak"], results["soak"]["raw"]["resident_mb"]
    rows = [
        ("minutes", f"{figures['minutes']:g}"),
        ("camera failures", str(figures["failures"])),
        ("reconnects", str(figures["reconnects"])),
        ("frames, complete lines", f"{figures['frames']:,}, all"),
        ("resident memory at half time and at the end", f"{memory[len(memory) // 2]:.1f} MB, {memory[-1]:.1f} MB"),
        ("slope of the memory over the second half", f"{figures['mb_per_minute']:+.3f} MB per minute"),
    ]
    return table(("figure", "value"), rows)


def batch(results: dict[str, Any]) -> str:
    """Return the table of the costs of a batch."""
    speed, scale = results["batch"], results["batch_scale"]
    number = f"{scale['pictures']:,}"
    rows = [
        ("efficiency of two workers on two cores", f"{speed['efficiency']:.2f}"),
        ("time with one worker, relative to a shell loop of `edgeinfer run`", f"{speed['overhead']:.2f}"),
        ("speed of two Ray workers, relative to two local ones, without start-up", f"{speed['ray']:.2f}"),
        (f"planning of {number} pictures", f"{scale['planning_s']:.1f} s"),
        ("first new result after a kill with half of them done", f"{scale['first_result_after_kill_s']:.1f} s"),
        ("call with nothing to do", f"{scale['nothing_to_do_s']:.1f} s"),
        ("largest growth of the parent's memory over 10,000 pictures", f"{scale['growth_mb_per_10000']:.1f} MB"),
    ]
    return table(("figure", "value"), rows)


def pose(results: dict[str, Any]) -> str:
    """Return the table of the errors of the pose by yaw."""
    rows = [
        (f"{yaw}°", *(", ".join(f"{value:.1f}°" for value in errors[kind]) for kind in ("points", "model")))
        for yaw, errors in results["pose"]["views"].items()
    ]
    return table(("yaw", "roll, yaw, pitch: noise in the points", "and faces that differ from the model"), rows)


def confidence(results: dict[str, Any]) -> str:
    """Return the table of the confidence in tiny, rolled and turned faces."""
    rows = [
        (f"{row['kind']} {row['faces']}", f"{row['number']:,}",
         *(f"{row[name]:.1f} %" for name in ("accuracy", "confidence", "corrected")))
        for row in results["confidence"]["groups"]
    ]  # fmt: skip
    return table(("faces", "number", "accuracy", "mean confidence", "corrected"), rows)


def crop_shapes(results: dict[str, Any]) -> str:
    """Return the table of the crops made from YuNet's boxes."""
    clip, data = (
        next(value for name, value in results["detector_labels"].items() if part in name)
        for part in ("hamilton", "FERPlus")
    )
    rows = [
        (name, f"{clip[name]['agreement']:.1f} %", f"{row['agreement']:.1f} %", f"{row['accuracy']:.1f} %")
        for name, row in data.items()
        if name != "faces"
    ]
    heads = (f"clip with turned heads ({clip['faces']} faces)", f"FERPlus in frames ({data['faces']} faces)")
    return table(("crop", *heads, "accuracy there"), rows)


def own_faces(results: dict[str, Any]) -> str:
    """Return the accuracy after fine-tuning and its difference from the bundled model, by number of faces."""
    rows = []
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in results["own_faces"]["rows"]:
        groups.setdefault((row["task"], row["faces"]), []).append(row)
    for (task, faces), runs in sorted(groups.items()):
        mean = {name: sum(run[name] for run in runs) / len(runs) for name in ("tuned", "difference", "cpu_seconds")}
        low, high = (bound([run["interval"][end] for run in runs]) for end, bound in ((0, min), (1, max)))
        rows.append(
            (
                {"camera": "the bundled labels", "moods": "three other labels"}[task], f"{faces:,}", f"{len(runs)}",
                f"{runs[0]['bundled']:.3f}", f"{mean['tuned']:.3f}",
                f"{mean['difference']:+.3f} [{low:+.3f}, {high:+.3f}]", f"{mean['cpu_seconds']:.0f} s",
            )
        )  # fmt: skip
    head = ("labels", "faces", "seeds", "bundled model", "fine-tuned", "difference, extreme intervals", "CPU time")
    return table(head, rows)


TABLES = {
    "measured": measured, "figures": figures, "soak": soak, "peers": peers, "steady": steady, "scaling": scaling,
    "speed": detector_tables.speed, "found": detector_tables.found, "sizes": detector_tables.sizes,
    "batch": batch, "pose": pose, "confidence": confidence, "crop_shapes": crop_shapes,
    "own_faces": own_faces, "platforms": install_size.table, "versions": dependency_matrix.table,
    "slow_board": slow_board.table, "forms": model_tables.forms, "labels": model_tables.labels,
    "doubt": model_tables.doubt, "thresholds": model_tables.thresholds, "crops": model_tables.crops,
    "model_choice": model_tables.model_choice, "quantization": model_tables.quantization,
    "corruptions": model_tables.corruptions,
    "peer_corruptions": model_tables.peer_corruptions,
}  # fmt: skip


def render(text: str, results: dict[str, Any]) -> str:
    """Return a document with updated tables."""
    return re.sub(
        r"(<!-- table (\w+) -->\n).*?(<!-- end -->)",
        lambda match: f"{match[1]}{TABLES[match[2]](results)}\n{match[3]}",
        text,
        flags=re.DOTALL,
    )


def main() -> None:
    """Update or check the documents."""
    results = json.loads(SOURCE.read_text(encoding="utf-8"))
    stale = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        if render(text, results) != text:
            stale.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(render(text, results), encoding="utf-8")
    if stale and "--check" in sys.argv:
        raise SystemExit(f"out of date: {', '.join(stale)}; run python benchmarks/tables.py")


if __name__ == "__main__":
    main()
