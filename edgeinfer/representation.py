"""Representations of results for other programs: objects of the JSONL format, and HTML for notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgeinfer.errors import path_text

if TYPE_CHECKING:
    from edgeinfer.results import Frame, Pose, Result

POSE_COLUMNS = ("roll", "yaw", "pitch")
"""Last columns of CSV and Parquet if the detector estimates the orientation of heads."""
FACE_COLUMNS = ("track", "x", "y", "w", "h", "label", "confidence")
RESERVED_COLUMNS = ("source", "picture", "frame", "time_s", *FACE_COLUMNS, *POSE_COLUMNS)
"""Columns of CSV and Parquet other than those of the labels."""
_LABEL_SUFFIX = " (label)"


def result_object(result: Result, frame: Frame | None) -> dict[str, Any]:
    """Return the object of a frame's line in JSONL; see `Result.to_dict`."""
    index, picture = (result.index, result.picture) if frame is None else (frame.index, frame.picture)
    faces = [
        {
            "track": face.track_id,
            "box": list((face.box if frame is None else frame.source_box(face.box)).xywh),
            "label": face.emotion.label,
            "confidence": round(face.emotion.confidence, 4),
            "probabilities": rounded(face.emotion.probabilities),
            "raw": rounded(face.raw.probabilities),
            **({} if face.pose is None else {"pose": dict(zip(POSE_COLUMNS, pose_values(face.pose), strict=True))}),
        }
        for face in result.faces
    ]
    return {
        "type": "frame",
        **({} if index is None else {"frame": index}),
        **({} if picture is None else {"picture": path_text(picture)}),
        "time_s": round(result.timestamp_s if frame is None else frame.timestamp_s, 4),
        "faces": faces,
    }


def label_column(label: str, reserved: Sequence[str] = RESERVED_COLUMNS) -> str:
    """Return the column of a label in a table: its name, followed by "(label)" if another column has that name.

    Some readers ignore the case of column names, so it makes no difference.

    >>> label_column("happy"), label_column("X"), label_column("X (label)")
    ('happy', 'X (label)', 'X (label) (label)')
    """
    name = label
    while name.endswith(_LABEL_SUFFIX):
        name = name.removesuffix(_LABEL_SUFFIX)
    return label + _LABEL_SUFFIX if name.casefold() in reserved else label


def column_label(column: str) -> str:
    """Return the label of a column; the inverse of `label_column`.

    >>> [column_label(label_column(label)) for label in ("happy", "X", "X (label)", "sad (label)")]
    ['happy', 'X', 'X (label)', 'sad (label)']
    """
    label = column.removesuffix(_LABEL_SUFFIX)
    return label if label_column(label) == column else column


def pose_values(pose: Pose | None) -> tuple[float | None, ...]:
    """Return the values of `POSE_COLUMNS`: angles in degrees with one decimal, or None for each."""
    if pose is None:
        return (None,) * len(POSE_COLUMNS)
    return round(pose.roll, 1), round(pose.yaw, 1), round(pose.pitch, 1)


def rounded(probabilities: Mapping[str, float]) -> dict[str, float]:
    """Return probabilities rounded to four decimals, the precision of all output formats."""
    return {label: round(value, 4) for label, value in probabilities.items()}


def result_html(result: Result) -> str:
    """Return a table of the faces as HTML without scripts and external files."""
    from html import escape  # noqa: PLC0415 - only for notebooks

    caption = f"{result.timestamp_s:.2f} s" + ("" if result.picture is None else f", {result.picture}")
    rows = "".join(
        f"<tr><td>{face.track_id}</td><td>{escape(face.emotion.label)}</td>"
        f"<td>{100 * face.emotion.confidence:.0f} %</td><td>{_likeliest(face.emotion.probabilities)}</td>"
        f"<td>{', '.join(map(str, face.box.xywh))}</td></tr>"
        for face in result.faces
    )
    head = "<th>track</th><th>label</th><th>confidence</th><th>probabilities</th><th>x, y, w, h</th>"
    body = f"<tr>{head}</tr>{rows}" if rows else "<tr><td>no faces</td></tr>"
    return path_text(f"<table><caption>{escape(caption)}</caption>{body}</table>")


def _likeliest(probabilities: Mapping[str, float]) -> str:
    """Return the three most probable labels with a bar each, as HTML."""
    from html import escape  # noqa: PLC0415

    best = sorted(probabilities.items(), key=lambda item: -item[1])[:3]
    return " ".join(
        f'<meter min="0" max="1" value="{value:.2f}" title="{value:.2f}"></meter> {escape(label)}'
        for label, value in best
    )
